#include "common/fault.h"
#include "common/files.h"
#include "trainer/tokenizer/tokenizer_json.h"
#include "trainer/tokenizer/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

enum status tokenizer_write_json(const struct tokenizer *self, const char *path)
{
    char *text = NULL;
    enum status status = tokenizer_json_make(&self->recipe, &text);
    if (status == STATUS_OK) {
        status = files_write_atomic(path, text, strlen(text), 0644);
    }
    free(text);
    return status;
}

enum status tokenizer_write(const struct tokenizer *self, const char *folder)
{
    char path[FILES_PATH_MAX];
    char *config = NULL;
    enum status status = files_join(folder, "tokenizer.json", path);
    if (status == STATUS_OK) {
        status = tokenizer_write_json(self, path);
    }
    if (status == STATUS_OK) {
        status = files_join(folder, "tokenizer_config.json", path);
    }
    if (status == STATUS_OK) {
        status = tokenizer_json_make_config(&self->recipe, &config);
    }
    if (status == STATUS_OK) {
        status = files_write_atomic(path, config, strlen(config), 0644);
    }
    free(config);
    return status;
}

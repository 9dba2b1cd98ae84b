/* Hands every file that it is given, or that lies in a folder that it is given, to a target. An
 * input that fails ends the program, after its name. A folder that is not there is empty; without
 * a single input it fails. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_replay.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

enum { PATH_BYTES = 4096, INPUT_BYTES_MAX = 16 << 20 };

static size_t count;

bool fuzz_replays(void)
{
    return true;
}

static int replay_file(const char *path)
{
    static uint8_t bytes[INPUT_BYTES_MAX];
    FILE *in = fopen(path, "rb");
    if (in == NULL) {
        (void)fprintf(stderr, "%s cannot be read.\n", path);
        return EX_NOINPUT;
    }
    size_t size_bytes = fread(bytes, 1, sizeof bytes, in);
    (void)fclose(in);
    /* Of just this size, so that a sanitizer sees what is read behind it. */
    uint8_t *input = fuzz_own_alloc(size_bytes);
    memcpy(input, bytes, size_bytes);
    (void)printf("%s\n", path);
    (void)fflush(stdout);
    (void)LLVMFuzzerTestOneInput(input, size_bytes);
    fuzz_own_free(input);
    count++;
    return 0;
}

static int replay_folder(const char *path)
{
    DIR *folder = opendir(path);
    int code = 0;
    for (struct dirent *entry = NULL;
         folder != NULL && code == 0 && (entry = readdir(folder)) != NULL;) {
        char name[PATH_BYTES];
        if (entry->d_name[0] != '.') {
            (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
            code = replay_file(name);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return code;
}

int main(int argc, char **argv)
{
    int code = 0;
    for (int i = 1; i < argc && code == 0; i++) {
        struct stat facts;
        bool is_file = stat(argv[i], &facts) == 0 && S_ISREG(facts.st_mode);
        code = is_file ? replay_file(argv[i]) : replay_folder(argv[i]);
    }
    if (code == 0 && count == 0) {
        (void)fprintf(stderr, "There is no input: give files, or folders that hold some.\n");
        return EX_USAGE;
    }
    (void)printf("%zu inputs\n", count);
    return code;
}

/* Requests to a coordinator that serves: what is read is asked again the same. */
#include "coordinator/server/control.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* jansson takes up to 100 bytes for one of JSON; a request is short. */
enum { BASE_BYTES = 100 * CONTROL_REQUEST_BYTES_MAX };

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct control_request request;
    struct control_request again;
    char *text = NULL;
    fuzz_memory_begin();
    enum status status = control_decode((const char *)data, size_bytes, &request);
    fuzz_memory_end(size_bytes, BASE_BYTES);
    if (status != STATUS_OK || control_encode(&request, &text) != STATUS_OK) {
        CHECK(status != STATUS_OK || !fuzz_is_calm());
        return;
    }
    status = control_decode(text, strlen(text), &again);
    CHECK(status == STATUS_OK || !fuzz_is_calm());
    if (status == STATUS_OK) {
        CHECK(again.command == request.command && again.wait_ms == request.wait_ms);
        CHECK(again.has_codec == request.has_codec &&
              again.settings.codec == request.settings.codec);
        CHECK(again.settings.learning_rate == request.settings.learning_rate);
        CHECK(again.settings.target_batch == request.settings.target_batch);
    }
    free(text);
}

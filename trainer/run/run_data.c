#include "trainer/run/run_data.h"

#include "common/fault.h"

enum status run_data_open(const struct run_config *config, enum dataset_split split,
                          struct dataset **out)
{
    enum status status = dataset_open(config->data_folder, split, out);
    if (status != STATUS_OK || !config->has_data_manifest) {
        return status;
    }
    struct digest found = dataset_manifest_digest(*out);
    if (!digest_equal(&found, &config->data_manifest)) {
        dataset_close(*out);
        *out = NULL;
        status = fault(STATUS_BAD_CONFIG,
                       "%s holds other data than the run was made with; set data.path to those, or "
                       "build them again from the same text with the same options",
                       config->data_folder);
    }
    return status;
}

#include "tests/fuzz/seeds.h"

#include "common/check.h"
#include "proto/little_endian.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

enum { PATH_BYTES = 4096 };

static const char *folder;

void seed_write(const char *target, const char *name, const uint8_t *data, size_t size_bytes)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", folder, target);
    (void)mkdir(path, 0777); /* it may be there */
    (void)snprintf(path, sizeof path, "%s/%s/seed-%s", folder, target, name);
    FILE *out = fopen(path, "wb");
    CHECK(out != NULL);
    CHECK(fwrite(data, 1, size_bytes, out) == size_bytes);
    CHECK(fclose(out) == 0);
}

void seed_bytes(struct seed *self, const void *data, size_t size_bytes)
{
    CHECK(size_bytes <= sizeof self->bytes - self->size_bytes);
    memcpy(self->bytes + self->size_bytes, data, size_bytes);
    self->size_bytes += size_bytes;
}

static void put(struct seed *self, uint64_t value, unsigned size_bytes)
{
    uint8_t bytes[sizeof value];
    little_endian_put(bytes, value, size_bytes);
    seed_bytes(self, bytes, size_bytes);
}

void seed_u8(struct seed *self, uint8_t value)
{
    put(self, value, (unsigned)sizeof value);
}

void seed_u32(struct seed *self, uint32_t value)
{
    put(self, value, (unsigned)sizeof value);
}

void seed_u64(struct seed *self, uint64_t value)
{
    put(self, value, (unsigned)sizeof value);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "Give one folder, in which the seeds shall lie.\n");
        return EX_USAGE;
    }
    folder = argv[1];
    (void)mkdir(folder, 0777);
    seeds_gateway();
    seeds_journal();
    seeds_members();
    seeds_proto();
    seeds_wire();
    return 0;
}

/* seeds - first inputs for the targets whose format is binary, made by the real encoders. What a
 * format's version changes makes old ones useless: then scripts/fuzz --seeds makes new ones. */
#ifndef DUGNAD_TESTS_FUZZ_SEEDS_H
#define DUGNAD_TESTS_FUZZ_SEEDS_H

#include <stddef.h>
#include <stdint.h>

/* Writes FOLDER/target/name, where FOLDER is the program's argument. */
void seed_write(const char *target, const char *name, const uint8_t *data, size_t size_bytes);

/* An input that is put together: as fuzz_take_* reads it. */
struct seed {
    uint8_t bytes[1 << 18];
    size_t size_bytes;
};
void seed_u8(struct seed *self, uint8_t value);
void seed_u32(struct seed *self, uint32_t value);
void seed_u64(struct seed *self, uint64_t value);
void seed_bytes(struct seed *self, const void *data, size_t size_bytes);

void seeds_gateway(void);
void seeds_journal(void);
void seeds_members(void);
void seeds_proto(void);
void seeds_wire(void);

#endif

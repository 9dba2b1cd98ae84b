/* Bits as in the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2A (CPUID),
 * volume 1 section 13.3 (XCR0), and Linux' Documentation/arch/x86/xstate.rst. */
#include "trainer/backend/cpu_features.h"

#ifndef __x86_64__

struct cpu_features cpu_features_here(void)
{
    return (struct cpu_features){0};
}

#else

#include <cpuid.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    XCR0_AVX = 0x6,             /* SSE and AVX registers are saved */
    XCR0_AVX512 = 0xe6,         /* masks and the wide registers too */
    XCR0_TILES = 0x60000,       /* TILECFG and TILEDATA */
    XFEATURE_TILEDATA = 18,     /* the kernel's number of TILEDATA */
    GET_XCOMP_SUPPORT = 0x1021, /* ARCH_GET_XCOMP_SUPP of <asm/prctl.h>, from Linux 5.16 */
};

struct registers {
    unsigned eax, ebx, ecx, edx;
};

static struct registers cpuid(unsigned leaf, unsigned subleaf)
{
    struct registers r = {0};
    (void)__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
    return r;
}

static bool has(unsigned value, unsigned bit)
{
    return (value >> bit & 1U) != 0;
}

static uint64_t xcr0(void)
{
    uint32_t low = 0;
    uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool covers(uint64_t enabled, uint64_t wanted)
{
    return (enabled & wanted) == wanted;
}

/* Tiles are 8 KiB a thread, so Linux gives them only to those who ask. */
static bool kernel_gives_tiles(void)
{
    uint64_t supported = 0;
    return syscall(SYS_arch_prctl, GET_XCOMP_SUPPORT, &supported) == 0 &&
           (supported >> XFEATURE_TILEDATA & 1U) != 0;
}

struct cpu_features cpu_features_here(void)
{
    struct registers basic = cpuid(1, 0);
    struct registers extended = cpuid(7, 0);
    struct registers more = extended.eax >= 1 ? cpuid(7, 1) : (struct registers){0};
    uint64_t enabled = has(basic.ecx, 27) ? xcr0() : 0; /* OSXSAVE: xgetbv exists */
    bool avx = covers(enabled, XCR0_AVX);
    struct cpu_features here = {
        .avx2 = avx && has(extended.ebx, 5),
        .fma = avx && has(basic.ecx, 12),
        .avx512 = covers(enabled, XCR0_AVX512) && has(extended.ebx, 16) && has(extended.ebx, 17) &&
                  has(extended.ebx, 28) && has(extended.ebx, 30) && has(extended.ebx, 31),
    };
    here.avx512_bf16 = here.avx512 && has(more.eax, 5);
    here.amx_bf16 = here.avx512 && covers(enabled, XCR0_TILES) && has(extended.edx, 22) &&
                    has(extended.edx, 24) && kernel_gives_tiles();
    return here;
}

#endif

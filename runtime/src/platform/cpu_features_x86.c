#if defined(__x86_64__)
#include <cpuid.h>

#include "platform/cpu_features.h"

// Where the processor tells of a feature: a bit of a register of a CPUID leaf, and what
// the operating system must save for it to be usable.
typedef enum state_t { STATE_NONE, STATE_AVX, STATE_AVX512, STATE_AMX, STATE_APX } state_t;
typedef enum register_t { EAX, EBX, ECX, EDX } register_t;
typedef struct feature_t {
  char name[20];
  uint32_t leaf;
  uint8_t subleaf;
  uint8_t bit;
  uint8_t reg;
  uint8_t state;
} feature_t;

#define EXTENDED 0x80000000u
static const feature_t features[] = {
    {"cx8", 1, 0, 8, EDX, STATE_NONE},
    {"cmov", 1, 0, 15, EDX, STATE_NONE},
    {"mmx", 1, 0, 23, EDX, STATE_NONE},
    {"fxsr", 1, 0, 24, EDX, STATE_NONE},
    {"sse", 1, 0, 25, EDX, STATE_NONE},
    {"sse2", 1, 0, 26, EDX, STATE_NONE},
    {"x87", 1, 0, 0, EDX, STATE_NONE},
    {"sse3", 1, 0, 0, ECX, STATE_NONE},
    {"pclmul", 1, 0, 1, ECX, STATE_NONE},
    {"ssse3", 1, 0, 9, ECX, STATE_NONE},
    {"fma", 1, 0, 12, ECX, STATE_AVX},
    {"cx16", 1, 0, 13, ECX, STATE_NONE},
    {"sse4.1", 1, 0, 19, ECX, STATE_NONE},
    {"sse4.2", 1, 0, 20, ECX, STATE_NONE},
    {"crc32", 1, 0, 20, ECX, STATE_NONE},
    {"movbe", 1, 0, 22, ECX, STATE_NONE},
    {"popcnt", 1, 0, 23, ECX, STATE_NONE},
    {"aes", 1, 0, 25, ECX, STATE_NONE},
    {"xsave", 1, 0, 27, ECX, STATE_NONE},
    {"avx", 1, 0, 28, ECX, STATE_AVX},
    {"f16c", 1, 0, 29, ECX, STATE_AVX},
    {"rdrnd", 1, 0, 30, ECX, STATE_NONE},
    {"sahf", EXTENDED + 1, 0, 0, ECX, STATE_NONE},
    {"lzcnt", EXTENDED + 1, 0, 5, ECX, STATE_NONE},
    {"sse4a", EXTENDED + 1, 0, 6, ECX, STATE_NONE},
    {"prfchw", EXTENDED + 1, 0, 8, ECX, STATE_NONE},
    {"xop", EXTENDED + 1, 0, 11, ECX, STATE_AVX},
    {"lwp", EXTENDED + 1, 0, 15, ECX, STATE_NONE},
    {"fma4", EXTENDED + 1, 0, 16, ECX, STATE_AVX},
    {"tbm", EXTENDED + 1, 0, 21, ECX, STATE_NONE},
    {"mwaitx", EXTENDED + 1, 0, 29, ECX, STATE_NONE},
    {"64bit", EXTENDED + 1, 0, 29, EDX, STATE_NONE},
    {"clzero", EXTENDED + 8, 0, 0, EBX, STATE_NONE},
    {"rdpru", EXTENDED + 8, 0, 4, EBX, STATE_NONE},
    {"wbnoinvd", EXTENDED + 8, 0, 9, EBX, STATE_NONE},
    {"fsgsbase", 7, 0, 0, EBX, STATE_NONE},
    {"sgx", 7, 0, 2, EBX, STATE_NONE},
    {"bmi", 7, 0, 3, EBX, STATE_NONE},
    {"avx2", 7, 0, 5, EBX, STATE_AVX},
    {"bmi2", 7, 0, 8, EBX, STATE_NONE},
    {"invpcid", 7, 0, 10, EBX, STATE_NONE},
    {"rtm", 7, 0, 11, EBX, STATE_NONE},
    {"avx512f", 7, 0, 16, EBX, STATE_AVX512},
    {"evex512", 7, 0, 16, EBX, STATE_AVX512},
    {"avx512dq", 7, 0, 17, EBX, STATE_AVX512},
    {"rdseed", 7, 0, 18, EBX, STATE_NONE},
    {"adx", 7, 0, 19, EBX, STATE_NONE},
    {"avx512ifma", 7, 0, 21, EBX, STATE_AVX512},
    {"clflushopt", 7, 0, 23, EBX, STATE_NONE},
    {"clwb", 7, 0, 24, EBX, STATE_NONE},
    {"avx512cd", 7, 0, 28, EBX, STATE_AVX512},
    {"sha", 7, 0, 29, EBX, STATE_NONE},
    {"avx512bw", 7, 0, 30, EBX, STATE_AVX512},
    {"avx512vl", 7, 0, 31, EBX, STATE_AVX512},
    {"avx512vbmi", 7, 0, 1, ECX, STATE_AVX512},
    {"pku", 7, 0, 4, ECX, STATE_NONE},
    {"waitpkg", 7, 0, 5, ECX, STATE_NONE},
    {"avx512vbmi2", 7, 0, 6, ECX, STATE_AVX512},
    {"shstk", 7, 0, 7, ECX, STATE_NONE},
    {"gfni", 7, 0, 8, ECX, STATE_NONE},
    {"vaes", 7, 0, 9, ECX, STATE_AVX},
    {"vpclmulqdq", 7, 0, 10, ECX, STATE_AVX},
    {"avx512vnni", 7, 0, 11, ECX, STATE_AVX512},
    {"avx512bitalg", 7, 0, 12, ECX, STATE_AVX512},
    {"avx512vpopcntdq", 7, 0, 14, ECX, STATE_AVX512},
    {"rdpid", 7, 0, 22, ECX, STATE_NONE},
    {"kl", 7, 0, 23, ECX, STATE_NONE},
    {"cldemote", 7, 0, 25, ECX, STATE_NONE},
    {"movdiri", 7, 0, 27, ECX, STATE_NONE},
    {"movdir64b", 7, 0, 28, ECX, STATE_NONE},
    {"enqcmd", 7, 0, 29, ECX, STATE_NONE},
    {"uintr", 7, 0, 5, EDX, STATE_NONE},
    {"avx512vp2intersect", 7, 0, 8, EDX, STATE_AVX512},
    {"serialize", 7, 0, 14, EDX, STATE_NONE},
    {"tsxldtrk", 7, 0, 16, EDX, STATE_NONE},
    {"pconfig", 7, 0, 18, EDX, STATE_NONE},
    {"amx-bf16", 7, 0, 22, EDX, STATE_AMX},
    {"avx512fp16", 7, 0, 23, EDX, STATE_AVX512},
    {"amx-tile", 7, 0, 24, EDX, STATE_AMX},
    {"amx-int8", 7, 0, 25, EDX, STATE_AMX},
    {"sha512", 7, 1, 0, EAX, STATE_AVX},
    {"sm3", 7, 1, 1, EAX, STATE_AVX},
    {"sm4", 7, 1, 2, EAX, STATE_AVX},
    {"raoint", 7, 1, 3, EAX, STATE_NONE},
    {"avxvnni", 7, 1, 4, EAX, STATE_AVX},
    {"avx512bf16", 7, 1, 5, EAX, STATE_AVX512},
    {"cmpccxadd", 7, 1, 7, EAX, STATE_NONE},
    {"amx-fp16", 7, 1, 21, EAX, STATE_AMX},
    {"hreset", 7, 1, 22, EAX, STATE_NONE},
    {"avxifma", 7, 1, 23, EAX, STATE_AVX},
    {"movrs", 7, 1, 31, EAX, STATE_NONE},
    {"avxvnniint8", 7, 1, 4, EDX, STATE_AVX},
    {"avxneconvert", 7, 1, 5, EDX, STATE_AVX},
    {"amx-complex", 7, 1, 8, EDX, STATE_AMX},
    {"avxvnniint16", 7, 1, 10, EDX, STATE_AVX},
    {"prefetchi", 7, 1, 14, EDX, STATE_NONE},
    {"usermsr", 7, 1, 15, EDX, STATE_NONE},
    {"avx10.1", 7, 1, 19, EDX, STATE_AVX512},
    {"avx10.1-512", 7, 1, 19, EDX, STATE_AVX512},
    {"apxf", 7, 1, 21, EDX, STATE_APX},
    {"egpr", 7, 1, 21, EDX, STATE_APX},
    {"push2pop2", 7, 1, 21, EDX, STATE_APX},
    {"ppx", 7, 1, 21, EDX, STATE_APX},
    {"ndd", 7, 1, 21, EDX, STATE_APX},
    {"ccmp", 7, 1, 21, EDX, STATE_APX},
    {"nf", 7, 1, 21, EDX, STATE_APX},
    {"cf", 7, 1, 21, EDX, STATE_APX},
    {"zu", 7, 1, 21, EDX, STATE_APX},
    {"xsaveopt", 0xd, 1, 0, EAX, STATE_NONE},
    {"xsavec", 0xd, 1, 1, EAX, STATE_NONE},
    {"xsaves", 0xd, 1, 3, EAX, STATE_NONE},
    {"ptwrite", 0x14, 0, 4, EBX, STATE_NONE},
    {"widekl", 0x19, 0, 2, EBX, STATE_NONE},
    {"amx-fp8", 0x1e, 1, 4, EAX, STATE_AMX},
    {"amx-tf32", 0x1e, 1, 6, EAX, STATE_AMX},
    {"amx-avx512", 0x1e, 1, 7, EAX, STATE_AMX},
    {"amx-movrs", 0x1e, 1, 8, EAX, STATE_AMX},
};

static bool read_leaf(uint32_t leaf, uint32_t subleaf, uint32_t out_registers[4]) {
  if (leaf > __get_cpuid_max(leaf & EXTENDED, NULL)) return false;
  __cpuid_count(leaf, subleaf, out_registers[EAX], out_registers[EBX], out_registers[ECX], out_registers[EDX]);
  return true;
}

// Does the operating system keep the registers of |state| for each thread?
static bool state_saved(state_t state) {
  // Bits of XCR0: SSE and AVX; masks and the upper halves; tile configuration and data; r16-r31.
  static const uint64_t needed[] = {0, 0x6, 0xe6, 0x60000, 0x80000};
  if (state == STATE_NONE) return true;
  uint32_t registers[4];
  if (!read_leaf(1, 0, registers) || (registers[ECX] >> 27 & 1u) == 0) return false;
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const uint64_t saved = (uint64_t)high << 32 | low;
  return (saved & needed[state]) == needed[state];
}

mlirage_string_t mlirage_cpu_isa(void) { return mlirage_string("x86_64"); }

bool mlirage_cpu_has(mlirage_string_t feature) {
  for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); ++i) {
    const feature_t* known = &features[i];
    if (!mlirage_string_equal(mlirage_string(known->name), feature)) continue;
    uint32_t registers[4];
    if (known->subleaf != 0) {  // leaf 7 says how many subleaves it has
      if (!read_leaf(known->leaf, 0, registers)) return false;
      if (known->leaf == 7 && registers[EAX] < known->subleaf) return false;
    }
    return read_leaf(known->leaf, known->subleaf, registers) && (registers[known->reg] >> known->bit & 1u) != 0 &&
           state_saved((state_t)known->state);
  }
  return false;
}
#else
typedef int mlirage_cpu_features_x86_is_empty_t;
#endif

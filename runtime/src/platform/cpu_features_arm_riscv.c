#if !defined(__x86_64__)
#include "platform/cpu_features.h"

#if defined(__linux__)
#include <sys/auxv.h>
#else
// Elsewhere only what the runtime itself was compiled for is known to be there.
#define AT_HWCAP 16
#define AT_HWCAP2 26
static unsigned long getauxval(unsigned long type) {
  (void)type;
  return 0;
}
#endif

typedef struct feature_t {
  char name[16];
  uint8_t bit;
  bool second;  // of AT_HWCAP2
} feature_t;

#if defined(__aarch64__)
static const char* const isa = "aarch64";
// Always there in ARMv8-A as this runtime is compiled for.
static const char* const baseline[] = {"v8a", "fp-armv8", "neon", "outline-atomics"};
static const feature_t features[] = {
    {"aes", 3, false},         {"sha2", 6, false},     {"crc", 7, false},     {"lse", 8, false},
    {"fullfp16", 10, false},   {"rdm", 12, false},     {"jsconv", 13, false}, {"complxnum", 14, false},
    {"rcpc", 15, false},       {"sha3", 17, false},    {"sm4", 18, false},    {"dotprod", 20, false},
    {"sve", 22, false},        {"fp16fml", 23, false}, {"dit", 24, false},    {"flagm", 27, false},
    {"ssbs", 28, false},       {"sb", 29, false},      {"sve2", 1, true},     {"i8mm", 13, true},
    {"bf16", 14, true},        {"bti", 17, true},      {"sme", 23, true},     {"sve2-aes", 2, true},
    {"sve2-bitperm", 4, true}, {"sve2-sha3", 5, true}, {"sve2-sm4", 6, true}, {"altnzcv", 7, true},
    {"fptoint", 8, true},      {"rand", 16, true},
};
#elif defined(__arm__)
static const char* const isa = "armv7";
static const char* const baseline[] = {"v7", "thumb2"};
static const feature_t features[] = {
    {"neon", 12, false}, {"vfp3", 13, false}, {"vfp4", 16, false}, {"d32", 19, false},
    {"fp16", 22, false}, {"aes", 0, true},    {"sha2", 2, true},   {"crc", 4, true},
};
#elif defined(__riscv)
#define LETTER(c) ((uint8_t)((c) - 'a'))
static const char* const isa = sizeof(void*) == 8 ? "riscv64" : "riscv32";
static const char* const baseline[] = {"zicsr", "zifencei"};
static const feature_t features[] = {
    {"m", LETTER('m'), false}, {"a", LETTER('a'), false}, {"f", LETTER('f'), false},
    {"d", LETTER('d'), false}, {"c", LETTER('c'), false}, {"v", LETTER('v'), false},
};
#else
static const char* const isa = "unknown";
static const char* const baseline[] = {""};
static const feature_t features[] = {{"", 0, false}};
#endif

mlirage_string_t mlirage_cpu_isa(void) { return mlirage_string(isa); }

bool mlirage_cpu_has(mlirage_string_t feature) {
  for (size_t i = 0; i < sizeof(baseline) / sizeof(baseline[0]); ++i) {
    if (mlirage_string_equal(mlirage_string(baseline[i]), feature)) return true;
  }
  for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); ++i) {
    if (!mlirage_string_equal(mlirage_string(features[i].name), feature)) continue;
    return (getauxval(features[i].second ? AT_HWCAP2 : AT_HWCAP) >> features[i].bit & 1u) != 0;
  }
  return false;
}
#else
typedef int mlirage_cpu_features_arm_riscv_is_empty_t;
#endif

#if !defined(__x86_64__)
#define _GNU_SOURCE
#include "platform/cpu_features.h"

#if defined(__linux__)
#include <sys/auxv.h>
#if defined(__riscv)
#include <unistd.h>
// asm/hwprobe.h, which older headers lack.
#define RISCV_HWPROBE 258
#define RISCV_HWPROBE_KEY_IMA_EXT_0 4
#endif
#else
// Elsewhere only what the runtime itself was compiled for is known to be there.
#define AT_HWCAP 16
#define AT_HWCAP2 26
static unsigned long getauxval(unsigned long type) {
  (void)type;
  return 0;
}
#endif

enum { HWCAP, HWCAP2, HWPROBE };

typedef struct feature_t {
  char name[16];
  uint8_t bit;
  uint8_t word;  // which word it is a bit of
} feature_t;

#if defined(__aarch64__)
static const char* const isa = "aarch64";
// Always there in ARMv8-A as this runtime is compiled for.
static const char* const baseline[] = {"v8a", "fp-armv8", "neon", "outline-atomics"};
static const feature_t features[] = {
    {"aes", 3, HWCAP},           {"sha2", 6, HWCAP},       {"crc", 7, HWCAP},       {"lse", 8, HWCAP},
    {"fullfp16", 10, HWCAP},     {"rdm", 12, HWCAP},       {"jsconv", 13, HWCAP},   {"complxnum", 14, HWCAP},
    {"rcpc", 15, HWCAP},         {"sha3", 17, HWCAP},      {"sm4", 18, HWCAP},      {"dotprod", 20, HWCAP},
    {"sve", 22, HWCAP},          {"fp16fml", 23, HWCAP},   {"dit", 24, HWCAP},      {"flagm", 27, HWCAP},
    {"ssbs", 28, HWCAP},         {"sb", 29, HWCAP},        {"sve2", 1, HWCAP2},     {"i8mm", 13, HWCAP2},
    {"bf16", 14, HWCAP2},        {"bti", 17, HWCAP2},      {"sme", 23, HWCAP2},     {"sve2-aes", 2, HWCAP2},
    {"sve2-bitperm", 4, HWCAP2}, {"sve2-sha3", 5, HWCAP2}, {"sve2-sm4", 6, HWCAP2}, {"altnzcv", 7, HWCAP2},
    {"fptoint", 8, HWCAP2},      {"rand", 16, HWCAP2},
};

// "sve256": SVE registers of 256 bits or more.
static bool has_vector_length(mlirage_string_t feature) {
  bool is_256 = mlirage_string_equal(feature, mlirage_string("sve256"));
  if (!is_256 && !mlirage_string_equal(feature, mlirage_string("sve512"))) return false;
  if ((getauxval(AT_HWCAP) >> 22 & 1u) == 0) return false;  // the instruction below would trap
  register uint64_t bytes __asm__("x0");
  __asm__(".inst 0x04bf5020" : "=r"(bytes));  // rdvl x0, #1, by number: this file is compiled without SVE
  return bytes * 8 >= (is_256 ? 256u : 512u);
}
#elif defined(__arm__)
static const char* const isa = "armv7";
static const char* const baseline[] = {"v7", "thumb2"};
static const feature_t features[] = {
    {"neon", 12, HWCAP}, {"vfp3", 13, HWCAP}, {"vfp4", 16, HWCAP}, {"d32", 19, HWCAP},
    {"fp16", 22, HWCAP}, {"aes", 0, HWCAP2},  {"sha2", 2, HWCAP2}, {"crc", 4, HWCAP2},
};
#elif defined(__riscv)
#define LETTER(c) ((uint8_t)((c) - 'a'))
static const char* const isa = sizeof(void*) == 8 ? "riscv64" : "riscv32";
static const char* const baseline[] = {"zicsr", "zifencei"};
static const feature_t features[] = {
    {"m", LETTER('m'), HWCAP}, {"a", LETTER('a'), HWCAP}, {"f", LETTER('f'), HWCAP}, {"d", LETTER('d'), HWCAP},
    {"c", LETTER('c'), HWCAP}, {"v", LETTER('v'), HWCAP}, {"zba", 3, HWPROBE},       {"zbb", 4, HWPROBE},
    {"zbs", 5, HWPROBE},       {"zfh", 27, HWPROBE},      {"zvfh", 30, HWPROBE},
};

// "zvl256b": vector registers of 256 bits or more.
static bool has_vector_length(mlirage_string_t feature) {
  if (feature.size < 5 || !mlirage_string_starts_with(feature, mlirage_string("zvl")) ||
      feature.data[feature.size - 1] != 'b')
    return false;
  uint64_t bits = 0;
  for (size_t i = 3; i + 1 < feature.size; ++i) {
    if (feature.data[i] < '0' || feature.data[i] > '9' || bits > 65536) return false;
    bits = bits * 10 + (uint64_t)(feature.data[i] - '0');
  }
  if ((getauxval(AT_HWCAP) >> LETTER('v') & 1u) == 0) return false;  // the register below would trap
  unsigned long bytes;
  __asm__("csrr %0, 0xc22" : "=r"(bytes));  // vlenb, by number: this file is compiled without V
  return bytes * 8 >= bits;
}
#else
static const char* const isa = "unknown";
static const char* const baseline[] = {""};
static const feature_t features[] = {{"", 0, HWCAP}};
#endif

static uint64_t word_of(uint8_t word) {
#if defined(__riscv) && defined(__linux__)
  if (word == HWPROBE) {
    struct {
      int64_t key;
      uint64_t value;
    } pair = {RISCV_HWPROBE_KEY_IMA_EXT_0, 0};
    // Kernels before 6.4 do not know the call, and leave nothing set.
    return syscall(RISCV_HWPROBE, &pair, 1, 0, NULL, 0) == 0 && pair.key >= 0 ? pair.value : 0;
  }
#endif
  return getauxval(word == HWCAP2 ? AT_HWCAP2 : AT_HWCAP);
}

mlirage_string_t mlirage_cpu_isa(void) { return mlirage_string(isa); }

bool mlirage_cpu_has(mlirage_string_t feature) {
  for (size_t i = 0; i < sizeof(baseline) / sizeof(baseline[0]); ++i) {
    if (mlirage_string_equal(mlirage_string(baseline[i]), feature)) return true;
  }
  for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); ++i) {
    if (!mlirage_string_equal(mlirage_string(features[i].name), feature)) continue;
    return (word_of(features[i].word) >> features[i].bit & 1u) != 0;
  }
#if defined(__riscv) || defined(__aarch64__)
  return has_vector_length(feature);
#else
  return false;
#endif
}
#else
typedef int mlirage_cpu_features_arm_riscv_is_empty_t;
#endif

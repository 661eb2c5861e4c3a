// The embedded ELF loader against good and hostile files, and formats against the CPU.
#include "check.h"
#include "platform/cpu_features.h"
#include "platform/platform.h"

static mlirage_status_t load(mlirage_device_t* device, const char* format, const uint8_t* bytes, size_t size,
                             mlirage_error_t* error) {
  mlirage_executable_t* executable = NULL;
  const mlirage_status_t status =
      mlirage_executable_create(device, mlirage_string(format), (mlirage_bytes_t){bytes, size}, &executable, error);
  CHECK((status == MLIRAGE_OK) == (executable != NULL));
  mlirage_executable_release(executable);
  return status;
}

static void test_formats(mlirage_device_t* device) {
  CHECK(mlirage_string_equal(mlirage_cpu_isa(), mlirage_string("x86_64")));
  CHECK(mlirage_device_supports(device, mlirage_string("embedded-elf-x86_64")));
  CHECK(mlirage_device_supports(device, mlirage_string("embedded-elf-x86_64:")));
  CHECK(mlirage_device_supports(device, mlirage_string("system-elf-x86_64:+sse2,+cmov,-avx512f")));
  CHECK(mlirage_device_supports(device, mlirage_string("embedded-elf-x86_64:+64bit,-nonsense")));
  CHECK(!mlirage_device_supports(device, mlirage_string("embedded-elf-x86_64:+nonsense")));
  CHECK(!mlirage_device_supports(device, mlirage_string("embedded-elf-x86_64:sse2")));
  CHECK(!mlirage_device_supports(device, mlirage_string("embedded-elf-x86_64x")));
  CHECK(!mlirage_device_supports(device, mlirage_string("embedded-elf-aarch64")));
  CHECK(!mlirage_device_supports(device, mlirage_string("")));
  CHECK(!mlirage_device_supports(device, mlirage_string("embedded-elf-")));
  // Whatever gcc compiled this for is there, too.
#if defined(__AVX2__)
  CHECK(mlirage_cpu_has(mlirage_string("avx2")));
#endif
  CHECK(!mlirage_cpu_has(mlirage_string("")) && !mlirage_cpu_has(mlirage_string("av")));
}

// Every byte of the tables that the loader reads, changed; and every length.
static void test_hostile(mlirage_device_t* device, const uint8_t* good, size_t size) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  uint8_t* bytes = malloc(size);
  CHECK(bytes != NULL);
  for (size_t length = 0; length < size; length += length < 1024 ? 1 : 61) {
    // An exact copy, so that a sanitizer sees reads behind the end.
    uint8_t* cut = malloc(length == 0 ? 1 : length);
    CHECK(cut != NULL);
    memcpy(cut, good, length);
    const mlirage_status_t status = load(device, "embedded-elf-x86_64", cut, length, &error);
    CHECK(status == MLIRAGE_OK || status == MLIRAGE_INVALID_MODULE);
    free(cut);
  }
  free(bytes);
}

// Random changes to everything but machine code, which is trusted, and what says where
// the code and its query function are.
static uint64_t random_state = 0x9e3779b97f4a7c15u;
static uint64_t random_number(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static size_t fuzz(mlirage_device_t* device, const uint8_t* good, size_t size, bool (*is_safe)(size_t offset)) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  uint8_t* bytes = malloc(size);
  CHECK(bytes != NULL);
  const uint64_t end = mlirage_platform_now_ns() + options.seconds * 1000000000u;
  size_t count = 0;
  static const uint64_t values[] = {0,          1,          7,          0x40,           0xfff,     0x1000,
                                    0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX / 2, UINT64_MAX};
  for (; mlirage_platform_now_ns() < end; ++count) {
    memcpy(bytes, good, size);
    const size_t changes = 1 + random_number() % 4;
    for (size_t c = 0; c < changes; ++c) {
      const size_t width = (size_t)1 << random_number() % 4;
      const size_t offset = random_number() % (size - width);
      if (!is_safe(offset) || !is_safe(offset + width - 1)) continue;
      uint64_t value = random_number() % 3 == 0 ? random_number() : values[random_number() % 11];
      if (random_number() % 4 == 0) value = size - random_number() % 64;
      memcpy(bytes + offset, &value, width);
    }
    const mlirage_status_t status = load(device, "embedded-elf-x86_64", bytes, size, &error);
    CHECK(status == MLIRAGE_OK || status == MLIRAGE_INVALID_MODULE || status == MLIRAGE_UNSUPPORTED ||
          status == MLIRAGE_OUT_OF_MEMORY);
  }
  free(bytes);
  return count;
}

// Ranges of the file that stay: code, its program header, the symbol table.
static size_t kept[3][2];
static bool may_change(size_t offset) {
  for (size_t i = 0; i < 3; ++i) {
    if (offset >= kept[i][0] && offset < kept[i][1]) return false;
  }
  return true;
}

static uint64_t field(const uint8_t* bytes, size_t offset, size_t width) {
  uint64_t value = 0;
  memcpy(&value, bytes + offset, width);
  return value;
}

// Where the file has what lies at |address| of the image.
static size_t file_offset(const uint8_t* bytes, uint64_t address) {
  const size_t headers = (size_t)field(bytes, 32, 8);
  for (size_t i = 0; i < field(bytes, 56, 2); ++i) {
    const size_t at = headers + i * 56;
    const uint64_t start = field(bytes, at + 16, 8);
    if (field(bytes, at, 4) == 1 && address >= start && address - start < field(bytes, at + 32, 8)) {
      return (size_t)(field(bytes, at + 8, 8) + address - start);
    }
  }
  CHECK(!"the address is in no segment");
  return 0;
}

// The symbol table ends where the names begin, unless a hash table lies between.
static void find_symbols(const uint8_t* bytes, size_t dynamic) {
  uint64_t symbols = 0;
  uint64_t end = 0;
  for (; field(bytes, dynamic, 8) != 0; dynamic += 16) {
    const uint64_t value = field(bytes, dynamic + 8, 8);
    if (field(bytes, dynamic, 8) == 6) symbols = value;
    if (field(bytes, dynamic, 8) == 5 && end == 0) end = value;
    if (field(bytes, dynamic, 8) == 4) end = symbols + 24 * field(bytes, file_offset(bytes, value) + 4, 4);
  }
  kept[2][0] = file_offset(bytes, symbols);
  kept[2][1] = kept[2][0] + (size_t)(end - symbols);
}

static void find_kept(const uint8_t* bytes) {
  const size_t headers = (size_t)field(bytes, 32, 8);
  for (size_t i = 0; i < field(bytes, 56, 2); ++i) {
    const size_t at = headers + i * 56;
    if (field(bytes, at, 4) == 2) find_symbols(bytes, (size_t)field(bytes, at + 8, 8));
    if (field(bytes, at, 4) != 1 || (field(bytes, at + 4, 4) & 1) == 0) continue;
    kept[0][0] = (size_t)field(bytes, at + 8, 8);
    kept[0][1] = kept[0][0] + (size_t)field(bytes, at + 32, 8);
    kept[1][0] = at;
    kept[1][1] = at + 56;
  }
  CHECK(kept[0][1] > kept[0][0] && kept[2][1] > kept[2][0]);
}

static void test_system_loader(mlirage_device_t* device, const uint8_t* bytes, size_t size) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  // What the compiler packed has no sections, and only the embedded loader can map it.
  if (field(bytes, 60, 2) != 0) CHECK_OK(load(device, "system-elf-x86_64", bytes, size, &error));
  CHECK_FAILS(MLIRAGE_INVALID_MODULE, load(device, "system-elf-x86_64", (const uint8_t*)"no library", 10, &error));
  CHECK_FAILS(MLIRAGE_INVALID_MODULE, load(device, "system-elf-x86_64", bytes, 0, &error));
}

void test_elf(void) {
  counting_t counting = {0, 0, 0};
  mlirage_device_t* device = create_device("local-sync", counting_allocator(&counting), 1);
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  size_t size = 0;
  uint8_t* bytes = read_kernels(&size);
  test_formats(device);
  CHECK_OK(load(device, "embedded-elf-x86_64", bytes, size, &error));
  test_system_loader(device, bytes, size);
  test_hostile(device, bytes, size);
  find_kept(bytes);
  printf("%zu changed executables\n", fuzz(device, bytes, size, may_change));
  free(bytes);
  mlirage_device_release(device);
  CHECK(counting.live == 0);
}

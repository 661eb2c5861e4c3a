// Bare metal: one thread, no clock, no protection of pages. For builds without the
// other files of this folder.
#include "platform/platform.h"

uint64_t mlirage_platform_now_ns(void) { return 0; }

bool mlirage_platform_wait(uint32_t* word, uint32_t expected, uint64_t timeout_ns) {
  (void)word;
  (void)expected;
  (void)timeout_ns;
  return false;
}

void mlirage_platform_wake(uint32_t* word, uint32_t count) {
  (void)word;
  (void)count;
}

size_t mlirage_platform_page_size(void) { return 64; }

// Executables are loaded where the linker put them (static library loader) instead.
mlirage_status_t mlirage_platform_pages_allocate(size_t size, void** out_pages) {
  (void)size;
  *out_pages = NULL;
  return MLIRAGE_UNSUPPORTED;
}

mlirage_status_t mlirage_platform_pages_protect(void* pages, size_t size, mlirage_page_access_t access) {
  (void)pages;
  (void)size;
  (void)access;
  return MLIRAGE_UNSUPPORTED;
}

void mlirage_platform_pages_free(void* pages, size_t size) {
  (void)pages;
  (void)size;
}

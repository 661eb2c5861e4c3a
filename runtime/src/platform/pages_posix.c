#if defined(__unix__) || defined(__APPLE__)
#define _GNU_SOURCE
#define _DARWIN_C_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "platform/platform.h"

size_t mlirage_platform_page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

mlirage_status_t mlirage_platform_pages_allocate(size_t size, void** out_pages) {
  *out_pages = NULL;
  void* pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return MLIRAGE_OUT_OF_MEMORY;
  *out_pages = pages;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_platform_pages_protect(void* pages, size_t size, mlirage_page_access_t access) {
  if (access == MLIRAGE_PAGE_EXECUTE) __builtin___clear_cache((char*)pages, (char*)pages + size);
  const int protection = access == MLIRAGE_PAGE_EXECUTE ? PROT_READ | PROT_EXEC : PROT_READ;
  return mprotect(pages, size, protection) == 0 ? MLIRAGE_OK : MLIRAGE_IO;
}

void mlirage_platform_pages_free(void* pages, size_t size) {
  if (pages != NULL) munmap(pages, size);
}
#else
typedef int mlirage_pages_posix_is_empty_t;
#endif

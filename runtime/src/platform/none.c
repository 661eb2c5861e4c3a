// Bare metal: no files, no protection of pages. With wait_none.c and lock.c it takes the place
// of the other files of this folder.
#include "platform/platform.h"

//===--- No files ---------------------------------------------------------------===

static mlirage_status_t no_files(mlirage_error_t* error) {
  return mlirage_fail(error, MLIRAGE_UNSUPPORTED, "this build of the runtime has no files");
}

mlirage_status_t mlirage_platform_file_open(const char* path, bool writable, int* out_descriptor,
                                            mlirage_error_t* error) {
  (void)path, (void)writable;
  *out_descriptor = -1;
  return no_files(error);
}

mlirage_status_t mlirage_platform_file_duplicate(int descriptor, int* out_descriptor, mlirage_error_t* error) {
  (void)descriptor;
  *out_descriptor = -1;
  return no_files(error);
}

void mlirage_platform_file_close(int descriptor) { (void)descriptor; }

mlirage_status_t mlirage_platform_file_length(int descriptor, uint64_t* out_length, mlirage_error_t* error) {
  (void)descriptor;
  *out_length = 0;
  return no_files(error);
}

mlirage_status_t mlirage_platform_file_read(int descriptor, uint64_t offset, void* memory, size_t length,
                                            mlirage_error_t* error) {
  (void)descriptor, (void)offset, (void)memory, (void)length;
  return no_files(error);
}

mlirage_status_t mlirage_platform_file_write(int descriptor, uint64_t offset, const void* memory, size_t length,
                                             mlirage_error_t* error) {
  (void)descriptor, (void)offset, (void)memory, (void)length;
  return no_files(error);
}

//===--- No pages ---------------------------------------------------------------===

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

// Parameters of files: mapped, or read at once.
#include "base/memory.h"
#include "mlirage/runtime.h"
#include "platform/platform.h"

static void unmap(void* self, mlirage_mutable_bytes_t memory) {
  (void)self;
  mlirage_platform_file_unmap((mlirage_bytes_t){memory.data, memory.size});
}

static size_t whole_pages(size_t size) {
  const size_t page = mlirage_platform_page_size();
  return size + (page - size % page) % page;  // no file is so long that this wraps
}

static void free_pages(void* self, mlirage_mutable_bytes_t memory) {
  (void)self;
  mlirage_platform_pages_free(memory.data, whole_pages(memory.size));
}

// A copy of |file| in memory of its own.
static mlirage_status_t preload(mlirage_bytes_t file, mlirage_mutable_bytes_t* out_memory, mlirage_error_t* error) {
  void* pages = NULL;
  const mlirage_status_t status = mlirage_platform_pages_allocate(whole_pages(file.size), &pages);
  if (status != MLIRAGE_OK) return mlirage_fail(error, status, "no memory for a file of %zu bytes", file.size);
  memcpy(pages, file.data, file.size);
  *out_memory = (mlirage_mutable_bytes_t){pages, file.size};
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_parameters_add_file(mlirage_parameters_t* parameters, const char* scope, const char* path,
                                             mlirage_parameters_flags_t flags, mlirage_error_t* error) {
  mlirage_bytes_t contents = {NULL, 0};
  mlirage_status_t status = mlirage_platform_file_map(path, &contents, error);
  if (status != MLIRAGE_OK) return mlirage_fail_in(error, status, "parameters: ");
  // Mapped copy on write.
  mlirage_mutable_bytes_t memory = {(uint8_t*)(uintptr_t)contents.data, contents.size};
  mlirage_release_callback_t release = {unmap, NULL};
  if ((flags & MLIRAGE_PARAMETERS_PRELOAD) != 0 && contents.size != 0) {
    status = preload(contents, &memory, error);
    mlirage_platform_file_unmap(contents);
    if (status != MLIRAGE_OK) return mlirage_fail_in(error, status, "parameters '%s': ", path);
    release.call = free_pages;
  }
  status = mlirage_parameters_add_archive(parameters, mlirage_string(scope), mlirage_string(path), memory, release,
                                          flags, error);
  if (status != MLIRAGE_OK) release.call(NULL, memory);
  return status;
}

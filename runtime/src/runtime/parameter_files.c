// Parameters of mapped files.
#include "mlirage/runtime.h"
#include "platform/platform.h"

static void unmap(void* self, mlirage_mutable_bytes_t memory) {
  (void)self;
  mlirage_platform_file_unmap((mlirage_bytes_t){memory.data, memory.size});
}

mlirage_status_t mlirage_parameters_add_file(mlirage_parameters_t* parameters, const char* scope, const char* path,
                                             mlirage_parameters_flags_t flags, mlirage_error_t* error) {
  mlirage_bytes_t contents = {NULL, 0};
  mlirage_status_t status = mlirage_platform_file_map(path, &contents, error);
  if (status != MLIRAGE_OK) return mlirage_fail_in(error, status, "parameters: ");
  // Mapped copy on write.
  const mlirage_mutable_bytes_t memory = {(uint8_t*)(uintptr_t)contents.data, contents.size};
  status = mlirage_parameters_add_safetensors(parameters, mlirage_string(scope), mlirage_string(path), memory,
                                              (mlirage_release_callback_t){unmap, NULL}, flags, error);
  if (status != MLIRAGE_OK) mlirage_platform_file_unmap(contents);
  return status;
}

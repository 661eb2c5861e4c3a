// vmvx executables for tests that call entry points themselves: made of the loader's
// library, behind functions that need no structure of the runtime.
#include "mlirage/base.h"
#include "vmvx_module/loader.h"

mlirage_status_t vmvx_library_load(const uint8_t* data, size_t size, uint64_t jump_limit,
                                   mlirage_library_t** out_library, mlirage_error_t* error);
const mlirage_executable_library_t* vmvx_library_table(const mlirage_library_t* library);
int32_t vmvx_library_run(const mlirage_library_t* library, uint32_t ordinal, const mlirage_dispatch_state_t* dispatch,
                         const mlirage_workgroup_state_t* workgroup);
void vmvx_library_release(mlirage_library_t* library);

mlirage_status_t vmvx_library_load(const uint8_t* data, size_t size, uint64_t jump_limit,
                                   mlirage_library_t** out_library, mlirage_error_t* error) {
  void* block = NULL;
  MLIRAGE_TRY(mlirage_allocate(mlirage_allocator_system(), sizeof(mlirage_library_t), &block));
  const mlirage_status_t status =
      mlirage_vmvx_load(mlirage_allocator_system(), jump_limit, (mlirage_bytes_t){data, size}, block, error);
  if (status != MLIRAGE_OK) {
    mlirage_free(mlirage_allocator_system(), block, sizeof(mlirage_library_t));
    return status;
  }
  *out_library = block;
  return MLIRAGE_OK;
}

const mlirage_executable_library_t* vmvx_library_table(const mlirage_library_t* library) { return library->table; }

int32_t vmvx_library_run(const mlirage_library_t* library, uint32_t ordinal, const mlirage_dispatch_state_t* dispatch,
                         const mlirage_workgroup_state_t* workgroup) {
  return library->run(library, ordinal, dispatch, workgroup);
}

void vmvx_library_release(mlirage_library_t* library) {
  if (library == NULL) return;
  library->unload(library);
  mlirage_free(mlirage_allocator_system(), library, sizeof(mlirage_library_t));
}

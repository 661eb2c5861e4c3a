// Loads executables with the system's own loader (dlopen): what is linked against
// system libraries, or debugged and profiled with the system's tools.
#include "hal/executable.h"

static void unload(mlirage_library_t* library) { mlirage_platform_library_close(library->memory); }

static mlirage_status_t load(const mlirage_executable_loader_t* loader, mlirage_allocator_t allocator,
                             mlirage_bytes_t data, mlirage_library_t* out_library, mlirage_error_t* error) {
  (void)loader, (void)allocator;
  void* handle = NULL;
  if (data.size == 0) return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "the executable is empty");
  MLIRAGE_TRY(mlirage_platform_library_open(data, NULL, &handle, error));
  void* symbol = mlirage_platform_library_symbol(handle, MLIRAGE_EXECUTABLE_LIBRARY_QUERY);
  if (symbol == NULL) {
    mlirage_platform_library_close(handle);
    return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "system library does not export '%s'",
                        MLIRAGE_EXECUTABLE_LIBRARY_QUERY);
  }
  // ISO C has no cast between pointers to objects and to functions; POSIX promises it works.
  union {
    void* object;
    mlirage_executable_library_query_t function;
  } query = {symbol};
  *out_library = (mlirage_library_t){
      .table = query.function(MLIRAGE_EXECUTABLE_VERSION),
      .unload = unload,
      .memory = handle,
  };
  return MLIRAGE_OK;
}

static bool supports(const mlirage_executable_loader_t* loader, mlirage_string_t format) {
  (void)loader;
  return mlirage_format_matches(format, mlirage_string("system-elf"));
}

const mlirage_executable_loader_t mlirage_loader_system = {supports, load};

#define _GNU_SOURCE

#include "runtime/perf_map.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hal/executable.h"

static uintptr_t address_of(mlirage_entry_point_t entry) {
  // ISO C has no cast between pointers to functions and integers; POSIX promises it works.
  union {
    mlirage_entry_point_t function;
    uintptr_t address;
  } pointer = {entry};
  return pointer.address;
}

// Entries have no sizes: each reaches to the next one, the last to the end of the memory.
static mlirage_status_t append(const mlirage_library_t* library, mlirage_error_t* error) {
  if (library->table == NULL) return MLIRAGE_OK;  // of another version: whoever asked for it says so
  char path[64];
  snprintf(path, sizeof(path), "/tmp/perf-%ld.map", (long)getpid());
  FILE* file = fopen(path, "a");
  if (file == NULL)
    return mlirage_fail(error, MLIRAGE_IO, "'%s', which MLIRAGE_PERF_MAP asks for, cannot be written", path);
  const mlirage_executable_library_t* table = library->table;
  for (size_t i = 0; i < table->entry_count; ++i) {
    const uintptr_t begin = address_of(table->entries[i]);
    uintptr_t end = (uintptr_t)library->memory + library->memory_size;
    for (size_t j = 0; j < table->entry_count; ++j) {
      const uintptr_t other = address_of(table->entries[j]);
      if (other > begin && other < end) end = other;
    }
    fprintf(file, "%" PRIxPTR " %" PRIxPTR " %s\n", begin, end - begin, table->attributes[i].name);
  }
  const bool failed = ferror(file) != 0;
  if (fclose(file) != 0 || failed) return mlirage_fail(error, MLIRAGE_IO, "'%s' could not be written whole", path);
  return MLIRAGE_OK;
}

static mlirage_status_t load(const mlirage_executable_loader_t* loader, mlirage_allocator_t allocator,
                             mlirage_bytes_t data, mlirage_library_t* out_library, mlirage_error_t* error) {
  (void)loader;
  const mlirage_executable_loader_t* inner = &mlirage_loader_embedded_elf;
  MLIRAGE_TRY(inner->load(inner, allocator, data, out_library, error));
  const mlirage_status_t status = append(out_library, error);
  if (status != MLIRAGE_OK) out_library->unload(out_library);
  return status;
}

static bool supports(const mlirage_executable_loader_t* loader, mlirage_string_t format) {
  (void)loader;
  return mlirage_loader_embedded_elf.supports(&mlirage_loader_embedded_elf, format);
}

const mlirage_executable_loader_t mlirage_loader_with_perf_map = {supports, load};

bool mlirage_perf_map_wanted(void) {
  const char* value = getenv("MLIRAGE_PERF_MAP");
  return value != NULL && value[0] != '\0' && !(value[0] == '0' && value[1] == '\0');
}

#include "hal/executable.h"

static void destroy(void* object) {
  mlirage_executable_t* executable = object;
  if (executable->library.unload != NULL) executable->library.unload(&executable->library);
  mlirage_free(executable->allocator, executable,
               sizeof(*executable) + executable->entry_count * sizeof(executable->workgroup_costs[0]));
}

const mlirage_object_type_t mlirage_executable_type = {"hal.executable", destroy};

size_t mlirage_executable_entry_count(const mlirage_executable_t* executable) { return executable->entry_count; }

const mlirage_entry_attributes_t* mlirage_executable_entry(const mlirage_executable_t* executable, size_t ordinal) {
  return ordinal < executable->entry_count ? &executable->attributes[ordinal] : NULL;
}

static mlirage_status_t check_table(const mlirage_library_t* library, mlirage_error_t* error) {
  const mlirage_executable_library_t* table = library->table;
  const bool has_functions = library->run == NULL;
  if (table == NULL) {
    return mlirage_fail(error, MLIRAGE_UNSUPPORTED, "executable library is newer than this runtime (version %u)",
                        MLIRAGE_EXECUTABLE_VERSION);
  }
  if (table->version != MLIRAGE_EXECUTABLE_VERSION) {
    return mlirage_fail(error, MLIRAGE_UNSUPPORTED, "executable library has version %u, this runtime reads %u",
                        table->version, MLIRAGE_EXECUTABLE_VERSION);
  }
  if (table->entry_count > UINT16_MAX ||
      (table->entry_count != 0 && ((has_functions && table->entries == NULL) || table->attributes == NULL))) {
    return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "executable library has a malformed entry table");
  }
  for (size_t i = 0; i < table->entry_count; ++i) {
    if ((has_functions && table->entries[i] == NULL) || table->attributes[i].name == NULL ||
        table->attributes[i].constant_count > UINT16_MAX || table->attributes[i].binding_count > UINT16_MAX) {
      return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "entry %zu of the executable library is malformed", i);
    }
  }
  return MLIRAGE_OK;
}

bool mlirage_loaders_support(const mlirage_executable_loader_t* const* loaders, size_t loader_count,
                             mlirage_string_t format) {
  for (size_t i = 0; i < loader_count; ++i) {
    if (loaders[i]->supports(loaders[i], format)) return true;
  }
  return false;
}

mlirage_status_t mlirage_loaders_load(const mlirage_executable_loader_t* const* loaders, size_t loader_count,
                                      mlirage_allocator_t allocator, mlirage_string_t format, mlirage_bytes_t data,
                                      mlirage_executable_t** out_executable, mlirage_error_t* error) {
  *out_executable = NULL;
  const mlirage_executable_loader_t* loader = NULL;
  for (size_t i = 0; loader == NULL && i < loader_count; ++i) {
    if (loaders[i]->supports(loaders[i], format)) loader = loaders[i];
  }
  if (loader == NULL) {
    return mlirage_fail(error, MLIRAGE_UNSUPPORTED, "this machine cannot run executables of format '%.*s'",
                        MLIRAGE_STRING_ARGS(format));
  }
  mlirage_library_t library = {.table = NULL};
  MLIRAGE_TRY(loader->load(loader, allocator, data, &library, error));
  mlirage_status_t status = check_table(&library, error);
  void* block = NULL;
  if (status == MLIRAGE_OK) {
    const size_t costs = library.table->entry_count * sizeof(uint64_t);
    status = mlirage_allocate(allocator, sizeof(mlirage_executable_t) + costs, &block);
    if (status != MLIRAGE_OK) mlirage_fail(error, status, "no memory for an executable");
  }
  if (status != MLIRAGE_OK) {
    if (library.unload != NULL) library.unload(&library);
    return status;
  }
  mlirage_executable_t* executable = block;
  mlirage_object_initialize(&executable->object, &mlirage_executable_type);
  executable->allocator = allocator;
  executable->library = library;
  executable->entry_count = library.table->entry_count;
  executable->entries = library.table->entries;
  executable->attributes = library.table->attributes;
  *out_executable = executable;
  return MLIRAGE_OK;
}

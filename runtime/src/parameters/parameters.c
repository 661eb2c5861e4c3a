// The index of parameters, and buffers made of them.
#include "parameters/parameters.h"

#include "base/memory.h"

#define ALIGNMENT 64u  // of what programs use in place

struct mlirage_parameters_t {
  mlirage_object_t object;
  mlirage_allocator_t allocator;
  mlirage_archive_t* archives;
};

//===----------------------------------------------------------------------===
// Archives
//===----------------------------------------------------------------------===

static void destroy_archive(void* object) {
  mlirage_archive_t* archive = object;
  if (archive->release.call != NULL) archive->release.call(archive->release.self, archive->memory);
  mlirage_free(archive->allocator, archive->entries, archive->capacity * sizeof(*archive->entries));
  mlirage_free(archive->allocator, archive->text, archive->text_capacity);
  mlirage_free(archive->allocator, archive, sizeof(*archive));
}

static const mlirage_object_type_t archive_type = {"parameters.archive", destroy_archive};

static mlirage_string_t keep_text(mlirage_archive_t* archive, mlirage_string_t text) {
  char* target = archive->text + archive->text_size;
  if (text.size != 0) memcpy(target, text.data, text.size);
  archive->text_size += text.size;
  return (mlirage_string_t){target, text.size};
}

mlirage_status_t mlirage_archive_create(mlirage_allocator_t allocator, mlirage_string_t scope, mlirage_string_t name,
                                        size_t text_size, mlirage_mutable_bytes_t memory,
                                        mlirage_archive_t** out_archive, mlirage_error_t* error) {
  *out_archive = NULL;
  void* block = NULL;
  mlirage_status_t status = mlirage_allocate(allocator, sizeof(mlirage_archive_t), &block);
  if (status != MLIRAGE_OK) return mlirage_fail(error, status, "no memory for parameters");
  mlirage_archive_t* archive = block;
  mlirage_object_initialize(&archive->object, &archive_type);
  archive->allocator = allocator;
  archive->memory = memory;
  size_t capacity = 0;
  if (!mlirage_checked_add(scope.size, name.size, &capacity) || !mlirage_checked_add(capacity, text_size, &capacity)) {
    status = MLIRAGE_OUT_OF_MEMORY;
  } else {
    void* text = NULL;
    status = mlirage_allocate(allocator, capacity, &text);
    if (status == MLIRAGE_OK) {
      archive->text = text;
      archive->text_capacity = capacity;
    }
  }
  if (status != MLIRAGE_OK) {
    mlirage_object_release(archive);
    return mlirage_fail(error, status, "no memory for the keys of parameters");
  }
  archive->scope = keep_text(archive, scope);
  archive->name = keep_text(archive, name);
  *out_archive = archive;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_archive_add(mlirage_archive_t* archive, mlirage_parameter_t entry, mlirage_error_t* error) {
  if (archive->count == archive->capacity) {
    const size_t capacity = archive->capacity == 0 ? 1 : archive->capacity * 2;
    size_t size = 0;
    void* block = archive->entries;
    if (!mlirage_checked_mul(capacity, sizeof(*archive->entries), &size) ||
        mlirage_reallocate(archive->allocator, archive->capacity * sizeof(*archive->entries), size, &block) !=
            MLIRAGE_OK) {
      return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for %zu parameters", capacity);
    }
    archive->entries = block;
    archive->capacity = capacity;
  }
  archive->entries[archive->count++] = entry;
  return MLIRAGE_OK;
}

static int compare_strings(mlirage_string_t a, mlirage_string_t b) {
  const size_t common = a.size < b.size ? a.size : b.size;
  const int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
  if (order != 0) return order;
  return a.size < b.size ? -1 : a.size > b.size;
}

int mlirage_parameters_compare_keys(const mlirage_parameter_t* a, const mlirage_parameter_t* b) {
  return compare_strings(a->key, b->key);
}

mlirage_status_t mlirage_archive_index(mlirage_archive_t* archive, mlirage_error_t* error) {
  mlirage_parameters_sort(archive->entries, archive->count, mlirage_parameters_compare_keys);
  for (size_t i = 1; i < archive->count; ++i) {
    if (mlirage_parameters_compare_keys(&archive->entries[i - 1], &archive->entries[i]) == 0) {
      return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "two tensors are called '%.*s'",
                          MLIRAGE_STRING_ARGS(archive->entries[i].key));
    }
  }
  return MLIRAGE_OK;
}

size_t mlirage_archive_text_size(mlirage_bytes_t file) {
  return mlirage_irpa_is(file) || mlirage_gguf_is(file) ? 0 : mlirage_safetensors_header_size(file);
}

mlirage_status_t mlirage_archive_parse(mlirage_archive_t* archive, mlirage_parameters_flags_t flags,
                                       mlirage_error_t* error) {
  const mlirage_bytes_t file = {archive->memory.data, archive->memory.size};
  if (mlirage_irpa_is(file)) return mlirage_irpa_parse(archive, error);
  if (mlirage_gguf_is(file)) return mlirage_gguf_parse(archive, error);
  return mlirage_safetensors_parse(archive, flags, error);
}

static void sift_down(mlirage_parameter_t* heap, size_t root, size_t count,
                      int (*compare)(const mlirage_parameter_t* a, const mlirage_parameter_t* b)) {
  for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
    if (child + 1 < count && compare(&heap[child], &heap[child + 1]) < 0) ++child;
    if (compare(&heap[root], &heap[child]) >= 0) return;
    const mlirage_parameter_t swapped = heap[root];
    heap[root] = heap[child];
    heap[child] = swapped;
    root = child;
  }
}

void mlirage_parameters_sort(mlirage_parameter_t* entries, size_t count,
                             int (*compare)(const mlirage_parameter_t* a, const mlirage_parameter_t* b)) {
  for (size_t root = count / 2; root-- > 0;) sift_down(entries, root, count, compare);
  for (size_t left = count; left-- > 1;) {
    const mlirage_parameter_t largest = entries[0];
    entries[0] = entries[left];
    entries[left] = largest;
    sift_down(entries, 0, left, compare);
  }
}

static const mlirage_parameter_t* find_in(const mlirage_archive_t* archive, mlirage_string_t key) {
  size_t first = 0, last = archive->count;
  while (first < last) {
    const size_t middle = first + (last - first) / 2;
    const int order = compare_strings(archive->entries[middle].key, key);
    if (order == 0) return &archive->entries[middle];
    if (order < 0) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return NULL;
}

//===----------------------------------------------------------------------===
// The index
//===----------------------------------------------------------------------===

static void destroy_parameters(void* object) {
  mlirage_parameters_t* parameters = object;
  for (mlirage_archive_t* archive = parameters->archives; archive != NULL;) {
    mlirage_archive_t* next = archive->next;
    mlirage_object_release(archive);
    archive = next;
  }
  mlirage_free(parameters->allocator, parameters, sizeof(*parameters));
}

static const mlirage_object_type_t parameters_type = {"parameters", destroy_parameters};

mlirage_status_t mlirage_parameters_create(mlirage_allocator_t allocator, mlirage_parameters_t** out_parameters) {
  *out_parameters = NULL;
  void* block = NULL;
  MLIRAGE_TRY(mlirage_allocate(allocator, sizeof(mlirage_parameters_t), &block));
  mlirage_parameters_t* parameters = block;
  mlirage_object_initialize(&parameters->object, &parameters_type);
  parameters->allocator = allocator;
  *out_parameters = parameters;
  return MLIRAGE_OK;
}

void mlirage_parameters_retain(mlirage_parameters_t* parameters) { mlirage_object_retain(parameters); }

void mlirage_parameters_release(mlirage_parameters_t* parameters) { mlirage_object_release(parameters); }

static const mlirage_parameter_t* find(const mlirage_parameters_t* parameters, mlirage_string_t scope,
                                       mlirage_string_t key, mlirage_archive_t** out_archive) {
  for (mlirage_archive_t* archive = parameters->archives; archive != NULL; archive = archive->next) {
    if (!mlirage_string_equal(archive->scope, scope)) continue;
    const mlirage_parameter_t* entry = find_in(archive, key);
    *out_archive = archive;
    if (entry != NULL) return entry;
  }
  return NULL;
}

// Takes |archive| over if no key of it is there already.
static mlirage_status_t insert(mlirage_parameters_t* parameters, mlirage_archive_t* archive, mlirage_error_t* error) {
  for (size_t i = 0; i < archive->count && parameters->archives != NULL; ++i) {
    mlirage_archive_t* other = NULL;
    if (find(parameters, archive->scope, archive->entries[i].key, &other) != NULL) {
      return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "parameter '%.*s::%.*s' is given twice",
                          MLIRAGE_STRING_ARGS(archive->scope), MLIRAGE_STRING_ARGS(archive->entries[i].key));
    }
  }
  archive->next = parameters->archives;
  parameters->archives = archive;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_parameters_add(mlirage_parameters_t* parameters, mlirage_string_t scope, mlirage_string_t key,
                                        mlirage_mutable_bytes_t memory, mlirage_release_callback_t release,
                                        mlirage_error_t* error) {
  mlirage_archive_t* archive = NULL;
  MLIRAGE_TRY(
      mlirage_archive_create(parameters->allocator, scope, mlirage_string(""), key.size, memory, &archive, error));
  const mlirage_parameter_t entry = {keep_text(archive, key), 0, memory.size, 0};
  mlirage_status_t status = mlirage_archive_add(archive, entry, error);
  if (status == MLIRAGE_OK) status = insert(parameters, archive, error);
  if (status == MLIRAGE_OK) {
    archive->release = release;
  } else {
    mlirage_object_release(archive);
  }
  return status;
}

mlirage_status_t mlirage_parameters_add_archive(mlirage_parameters_t* parameters, mlirage_string_t scope,
                                                mlirage_string_t name, mlirage_mutable_bytes_t memory,
                                                mlirage_release_callback_t release, mlirage_parameters_flags_t flags,
                                                mlirage_error_t* error) {
  const size_t text_size = mlirage_archive_text_size((mlirage_bytes_t){memory.data, memory.size});
  mlirage_archive_t* archive = NULL;
  MLIRAGE_TRY(mlirage_archive_create(parameters->allocator, scope, name, text_size, memory, &archive, error));
  archive->copied = (flags & MLIRAGE_PARAMETERS_COPY) != 0;
  mlirage_status_t status = mlirage_archive_parse(archive, flags, error);
  if (status != MLIRAGE_OK) {
    status = mlirage_fail_in(error, status, "parameters '%.*s': ", MLIRAGE_STRING_ARGS(name));
  } else {
    status = insert(parameters, archive, error);
  }
  if (status == MLIRAGE_OK) {
    archive->release = release;
  } else {
    mlirage_object_release(archive);
  }
  return status;
}

//===----------------------------------------------------------------------===
// Buffers
//===----------------------------------------------------------------------===

static mlirage_string_t described(const mlirage_archive_t* archive) {
  return archive->name.size != 0 ? archive->name : mlirage_string("memory");
}

// The parameter of |place|, of the right length and meant for |program|.
static mlirage_status_t look_up(const mlirage_parameters_t* parameters, mlirage_string_t program,
                                mlirage_string_t scope, const mlirage_parameter_place_t* place,
                                mlirage_archive_t** out_archive, const mlirage_parameter_t** out_entry,
                                mlirage_error_t* error) {
  if (parameters == NULL || parameters->archives == NULL) {
    return mlirage_fail(error, MLIRAGE_NOT_FOUND,
                        "parameter '%.*s::%.*s' is missing: the module's weights are in a file of their own; give "
                        "parameters=FILE.safetensors",
                        MLIRAGE_STRING_ARGS(scope), MLIRAGE_STRING_ARGS(place->key));
  }
  mlirage_archive_t* archive = NULL;
  const mlirage_parameter_t* entry = find(parameters, scope, place->key, &archive);
  if (archive != NULL && archive->program.size != 0 && !mlirage_string_equal(archive->program, program)) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT,
                        "parameters '%.*s' were written for another program (%.*s, the module is %.*s): what is left "
                        "in the module differs; load the module compiled with this file, or give the arrays one by "
                        "one",
                        MLIRAGE_STRING_ARGS(archive->name), MLIRAGE_STRING_ARGS(archive->program),
                        MLIRAGE_STRING_ARGS(program));
  }
  if (entry == NULL) {
    const mlirage_string_t where = archive != NULL ? described(archive) : mlirage_string("what is given");
    return mlirage_fail(error, MLIRAGE_NOT_FOUND,
                        "parameter '%.*s::%.*s' of %zu bytes is missing in %.*s; give parameters=… that has it",
                        MLIRAGE_STRING_ARGS(scope), MLIRAGE_STRING_ARGS(place->key), place->length,
                        MLIRAGE_STRING_ARGS(where));
  }
  if (entry->length != place->length) {
    const mlirage_string_t where = described(archive);
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT,
                        "parameter '%.*s::%.*s' has %zu bytes in %.*s, the module expects %zu",
                        MLIRAGE_STRING_ARGS(scope), MLIRAGE_STRING_ARGS(place->key), entry->length,
                        MLIRAGE_STRING_ARGS(where), place->length);
  }
  *out_archive = archive;
  *out_entry = entry;
  return MLIRAGE_OK;
}

static void release_archive(void* self, mlirage_mutable_bytes_t memory) {
  (void)memory;
  mlirage_object_release(self);
}

static void copy_value(uint8_t* target, const mlirage_archive_t* archive, const mlirage_parameter_t* entry) {
  const uint8_t* source = archive->memory.data + entry->offset;
  const size_t first = entry->pattern_length != 0 ? entry->pattern_length : entry->length;
  memcpy(target, source, first);
  for (size_t done = first; done < entry->length;) {  // what is there twice as often each time
    const size_t piece = done < entry->length - done ? done : entry->length - done;
    memcpy(target + done, target, piece);
    done += piece;
  }
}

static mlirage_status_t gather(const mlirage_parameters_t* parameters, mlirage_device_t* device,
                               mlirage_string_t program, mlirage_string_t scope, size_t size, size_t place_count,
                               const mlirage_parameter_place_t* places, mlirage_buffer_t** out_buffer,
                               mlirage_error_t* error) {
  mlirage_buffer_t* buffer = NULL;
  MLIRAGE_TRY(mlirage_buffer_allocate(device, size, &buffer, error));
  mlirage_mutable_bytes_t target = {NULL, 0};
  mlirage_status_t status = mlirage_buffer_map(buffer, MLIRAGE_MAP_DISCARD, 0, size, &target, error);
  if (status == MLIRAGE_OK) {
    if (size != 0) memset(target.data, 0, size);  // also between the parameters
    for (size_t i = 0; i < place_count && status == MLIRAGE_OK; ++i) {
      mlirage_archive_t* archive = NULL;
      const mlirage_parameter_t* entry = NULL;
      status = look_up(parameters, program, scope, &places[i], &archive, &entry, error);
      if (status == MLIRAGE_OK && entry->length != 0) {
        copy_value(target.data + places[i].offset, archive, entry);
      }
    }
    const mlirage_status_t unmapped = mlirage_buffer_unmap(buffer, target, status == MLIRAGE_OK ? error : NULL);
    if (status == MLIRAGE_OK) status = unmapped;
  }
  if (status != MLIRAGE_OK) {
    mlirage_buffer_release(buffer);
    return status;
  }
  *out_buffer = buffer;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_parameters_load(const mlirage_parameters_t* parameters, mlirage_device_t* device,
                                         mlirage_string_t program, mlirage_string_t scope, size_t size,
                                         size_t place_count, const mlirage_parameter_place_t* places,
                                         mlirage_buffer_t** out_buffer, mlirage_error_t* error) {
  *out_buffer = NULL;
  mlirage_archive_t* source = NULL;  // that holds all, with the buffer's first byte at |base|
  size_t base = 0;
  bool in_place = place_count != 0;
  for (size_t i = 0; i < place_count; ++i) {
    if (!mlirage_range_fits(places[i].offset, places[i].length, size)) {
      return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "parameter '%.*s::%.*s' does not fit in %zu bytes",
                          MLIRAGE_STRING_ARGS(scope), MLIRAGE_STRING_ARGS(places[i].key), size);
    }
    mlirage_archive_t* archive = NULL;
    const mlirage_parameter_t* entry = NULL;
    MLIRAGE_TRY(look_up(parameters, program, scope, &places[i], &archive, &entry, error));
    if (i == 0) {
      source = archive;
      in_place = entry->offset >= places[i].offset && !archive->copied;
      base = in_place ? entry->offset - places[i].offset : 0;
    }
    in_place = in_place && archive == source && entry->pattern_length == 0 &&
               entry->offset - base == places[i].offset && entry->offset >= base;
  }
  in_place = in_place && mlirage_range_fits(base, size, source->memory.size) &&
             (uintptr_t)(source->memory.data + base) % ALIGNMENT == 0;
  if (!in_place) return gather(parameters, device, program, scope, size, place_count, places, out_buffer, error);
  mlirage_object_retain(source);
  const mlirage_status_t status =
      mlirage_buffer_import(device, (mlirage_mutable_bytes_t){source->memory.data + base, size},
                            (mlirage_release_callback_t){release_archive, source}, out_buffer, error);
  if (status != MLIRAGE_OK) mlirage_object_release(source);
  return status;
}

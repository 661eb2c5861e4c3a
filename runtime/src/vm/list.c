#include "vm/list.h"

#include "vm/context.h"

// Reference counts never free a circle, so there is none: a list holds lists of lower
// rank only, and once it is held its own rank is fixed.
struct mlirage_vm_list_t {
  mlirage_object_t object;
  mlirage_allocator_t allocator;
  mlirage_vm_variant_t* elements;
  size_t size;
  size_t capacity;
  uint32_t rank;  // greater than that of every list that this holds
  bool is_held;   // by a list
};

static void drop(mlirage_vm_list_t* list, size_t size) {
  while (list->size > size) mlirage_object_release(list->elements[--list->size].ref);
}

static void destroy(void* object) {
  mlirage_vm_list_t* list = object;
  drop(list, 0);
  mlirage_free(list->allocator, list->elements, list->capacity * sizeof(*list->elements));
  mlirage_free(list->allocator, list, sizeof(*list));
}

const mlirage_object_type_t mlirage_vm_list_type = {"util.list", destroy};

mlirage_status_t mlirage_vm_list_create(mlirage_allocator_t allocator, mlirage_vm_list_t** out_list,
                                        mlirage_error_t* error) {
  *out_list = NULL;
  void* block = NULL;
  if (mlirage_allocate(allocator, sizeof(mlirage_vm_list_t), &block) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a list");
  }
  mlirage_vm_list_t* list = block;
  mlirage_object_initialize(&list->object, &mlirage_vm_list_type);
  list->allocator = allocator;
  *out_list = list;
  return MLIRAGE_OK;
}

size_t mlirage_vm_list_size(const mlirage_vm_list_t* list) { return list->size; }

mlirage_status_t mlirage_vm_list_resize(mlirage_vm_list_t* list, size_t size, mlirage_error_t* error) {
  drop(list, size);
  if (size > list->capacity) {
    size_t capacity = 0, bytes = 0;
    // By half at least: elements that are added one by one are moved seldom.
    if (!mlirage_checked_add(list->capacity, list->capacity / 2 + 4, &capacity) || capacity < size) capacity = size;
    void* elements = list->elements;
    if (!mlirage_checked_mul(capacity, sizeof(*list->elements), &bytes) ||
        mlirage_reallocate(list->allocator, list->capacity * sizeof(*list->elements), bytes, &elements) != MLIRAGE_OK) {
      return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a list of %zu elements", size);
    }
    list->elements = elements;
    list->capacity = capacity;
  }
  while (list->size < size) list->elements[list->size++] = (mlirage_vm_variant_t){.kind = 'r'};
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_list_get(const mlirage_vm_list_t* list, size_t index, mlirage_vm_variant_t* out_value,
                                     mlirage_error_t* error) {
  if (index >= list->size) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "element %zu of a list of %zu", index, list->size);
  }
  *out_value = list->elements[index];
  return MLIRAGE_OK;
}

// May |list| hold |ref|? If that is a list, ranks follow.
static bool admit(mlirage_vm_list_t* list, void* ref) {
  mlirage_vm_list_t* inner = ref;
  if (inner == NULL || inner->object.type != &mlirage_vm_list_type) return true;
  if (inner == list) return false;
  if (inner->rank >= list->rank) {
    if (list->is_held || inner->rank == UINT32_MAX) return false;
    list->rank = inner->rank + 1;
  }
  inner->is_held = true;
  return true;
}

mlirage_status_t mlirage_vm_list_set(mlirage_vm_list_t* list, size_t index, mlirage_vm_variant_t value,
                                     mlirage_error_t* error) {
  if (index >= list->size) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "element %zu of a list of %zu", index, list->size);
  }
  if (value.kind != 'r') value.ref = NULL;
  if (!admit(list, value.ref)) {
    return mlirage_fail(error, MLIRAGE_FAILED_PRECONDITION,
                        "lists may not contain each other: fill a list before it becomes an element");
  }
  mlirage_object_retain(value.ref);
  void* old = list->elements[index].ref;
  list->elements[index] = value;
  mlirage_object_release(old);
  return MLIRAGE_OK;
}

//===--------------------------------------------------------------------------===
// Instructions
//===--------------------------------------------------------------------------===

// |index| as a position, greater than any if it is none.
static size_t position(uint64_t index) {
  size_t result = 0;
  return mlirage_checked_size(index, &result) ? result : SIZE_MAX;
}

mlirage_status_t mlirage_vm_list_resize_to(mlirage_vm_list_t* list, uint64_t size, mlirage_error_t* error) {
  if (position(size) == SIZE_MAX) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a list of %lld elements", (long long)size);
  }
  return mlirage_vm_list_resize(list, (size_t)size, error);
}

static const char* kind_name(mlirage_vm_variant_t element) {
  switch (element.kind) {
    case 'i': return "i32";
    case 'I': return "i64";
    case 'f': return "f32";
    case 'F': return "f64";
    default: return "reference";
  }
}

mlirage_status_t mlirage_vm_list_kind(void* list, uint64_t index, uint32_t* out_kind, mlirage_error_t* error) {
  mlirage_vm_variant_t element = {.kind = 'r'};
  MLIRAGE_TRY(mlirage_vm_check_ref(list, &mlirage_vm_list_type, "the list", error));
  MLIRAGE_TRY(mlirage_vm_list_get(list, position(index), &element, error));
  switch (element.kind) {
    case 'i': *out_kind = 1; break;
    case 'I': *out_kind = 2; break;
    case 'f': *out_kind = 3; break;
    case 'F': *out_kind = 4; break;
    default: *out_kind = element.ref == NULL ? 0 : 5; break;
  }
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_list_take(void* list, uint64_t index, mlirage_vm_variant_t* element,
                                      mlirage_error_t* error) {
  const mlirage_vm_variant_t wanted = *element;
  MLIRAGE_TRY(mlirage_vm_check_ref(list, &mlirage_vm_list_type, "the list", error));
  MLIRAGE_TRY(mlirage_vm_list_get(list, position(index), element, error));
  if (element->kind == wanted.kind) return MLIRAGE_OK;
  return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "element %zu of the list is of kind %s, not %s", (size_t)index,
                      kind_name(*element), kind_name(wanted));
}

mlirage_status_t mlirage_vm_list_put(void* list, uint64_t index, mlirage_vm_variant_t element, mlirage_error_t* error) {
  MLIRAGE_TRY(mlirage_vm_check_ref(list, &mlirage_vm_list_type, "the list", error));
  return mlirage_vm_list_set(list, position(index), element, error);
}

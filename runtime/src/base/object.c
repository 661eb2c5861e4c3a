#include "base/object.h"

void mlirage_object_initialize(mlirage_object_t* object, const mlirage_object_type_t* type) {
  object->type = type;
  __atomic_store_n(&object->reference_count, (size_t)1, __ATOMIC_RELAXED);
}

void mlirage_object_retain(void* object) {
  if (object == NULL) return;
  mlirage_object_t* header = object;
  __atomic_fetch_add(&header->reference_count, (size_t)1, __ATOMIC_RELAXED);
}

void mlirage_object_release(void* object) {
  if (object == NULL) return;
  mlirage_object_t* header = object;
  // Acquire-release: whoever destroys sees all writes made before other releases.
  if (__atomic_fetch_sub(&header->reference_count, (size_t)1, __ATOMIC_ACQ_REL) == 1) {
    header->type->destroy(object);
  }
}

bool mlirage_object_try_retain(void* object) {
  mlirage_object_t* header = object;
  size_t count = __atomic_load_n(&header->reference_count, __ATOMIC_RELAXED);
  while (count != 0) {
    if (__atomic_compare_exchange_n(&header->reference_count, &count, count + 1, true, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
      return true;
    }
  }
  return false;
}

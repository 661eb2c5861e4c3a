// A library of device code for the tests, as the compiler makes them: no libc, no state.
#include "mlirage/executable.h"

#define ENTRY(name) \
  static int32_t name(const mlirage_dispatch_state_t* dispatch, const mlirage_workgroup_state_t* group)

static uint64_t linear(const mlirage_dispatch_state_t* dispatch, const mlirage_workgroup_state_t* group) {
  return ((uint64_t)group->workgroup_id_z * dispatch->workgroup_count_y + group->workgroup_id_y) *
             dispatch->workgroup_count_x +
         group->workgroup_id_x;
}

ENTRY(add) {
  const float* a = dispatch->binding_pointers[0];
  const float* b = dispatch->binding_pointers[1];
  float* out = dispatch->binding_pointers[2];
  const size_t count = dispatch->binding_lengths[2] / sizeof(float);
  const size_t first = linear(dispatch, group) * 64;
  for (size_t i = first; i < first + 64 && i < count; ++i) out[i] = a[i] + b[i];
  return 0;
}

ENTRY(count) {
  uint32_t* out = dispatch->binding_pointers[0];
  ++out[linear(dispatch, group)];
  return 0;
}

ENTRY(fail) { return linear(dispatch, group) == dispatch->constants[0] ? 7 : 0; }

ENTRY(affine) {
  uint32_t* data = dispatch->binding_pointers[0];
  uint32_t* cell = &data[linear(dispatch, group)];
  *cell = *cell * dispatch->constants[0] + dispatch->constants[1];
  return 0;
}

ENTRY(scratch) {
  (void)dispatch;
  volatile uint8_t* bytes = group->scratch;
  if (group->scratch_length < 4096 || (uintptr_t)group->scratch % 64 != 0) return 1;
  const uint8_t mark = (uint8_t)(group->workgroup_id_x + group->worker_id * 31);
  for (size_t i = 0; i < 4096; ++i) bytes[i] = mark;
  for (size_t i = 0; i < 4096; ++i) {
    if (bytes[i] != mark) return 2;
  }
  return 0;
}

ENTRY(ids) {
  uint32_t* out = dispatch->binding_pointers[0];
  uint32_t* row = out + linear(dispatch, group) * 6;
  row[0] = group->workgroup_id_x;
  row[1] = group->workgroup_id_y;
  row[2] = group->workgroup_id_z;
  row[3] = dispatch->workgroup_count_x;
  row[4] = dispatch->workgroup_count_y;
  row[5] = dispatch->workgroup_count_z;
  return 0;
}

ENTRY(slow) {
  uint32_t* out = dispatch->binding_pointers[0];
  for (volatile uint32_t i = 0; i < dispatch->constants[0]; ++i) {
  }
  ++out[linear(dispatch, group)];
  return 0;
}

// Waits for the host.
ENTRY(gate) {
  (void)group;
  uint32_t* data = dispatch->binding_pointers[0];
  while (__atomic_load_n(&data[0], __ATOMIC_ACQUIRE) == 0) {
  }
  data[1] += data[0];
  return 0;
}

static const mlirage_entry_point_t entries[] = {add, count, fail, affine, scratch, ids, slow, gate};
static const mlirage_entry_attributes_t attributes[] = {
    {"add_f32", 0, 3, 0, 0},    {"count_u32", 0, 1, 0, 0}, {"fail_at", 1, 0, 0, 0},  {"affine_u32", 2, 1, 0, 0},
    {"scratch", 0, 0, 4096, 0}, {"ids_u32", 0, 1, 0, 0},   {"slow_u32", 1, 1, 0, 0}, {"gate", 0, 1, 0, 0},
};
static const mlirage_executable_library_t library = {MLIRAGE_EXECUTABLE_VERSION, 8, entries, attributes};

__attribute__((visibility("default"))) const mlirage_executable_library_t* mlirage_executable_library_query(
    uint32_t max_version);
const mlirage_executable_library_t* mlirage_executable_library_query(uint32_t max_version) {
  return max_version < MLIRAGE_EXECUTABLE_VERSION ? 0 : &library;
}

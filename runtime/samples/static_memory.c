// Runs a module with no memory but one block of the program's own:  static_memory add.mlirage
// With the runtime built with MLIRAGE_NO_MALLOC=ON and MLIRAGE_NO_THREADS=ON no malloc is in the program.
#include <stdio.h>

#include "mlirage/runtime.h"

static _Alignas(64) uint8_t contents[256 << 10];  // of the module
static _Alignas(64) uint8_t memory[256 << 10];    // for all that the runtime needs

static mlirage_status_t run(mlirage_allocator_t allocator, size_t size, mlirage_error_t* error) {
  const float a[4] = {1, 2, 3, 4};
  float sum[4] = {0};
  const size_t shape[1] = {4};
  const mlirage_device_options_t options = {.struct_size = sizeof(options), .allocator = allocator};
  mlirage_device_t* device = NULL;
  mlirage_session_t* session = NULL;
  mlirage_function_t function;
  mlirage_value_t argument = {.kind = 'r', .as.view = NULL};
  const mlirage_release_callback_t keep = {NULL, NULL};

  mlirage_status_t status = mlirage_device_create("local-sync", &options, &device, error);
  if (status == MLIRAGE_OK) {
    const mlirage_mutable_bytes_t module = {contents, size};
    status = mlirage_session_load_memory(device, module, keep, NULL, &session, error);
  }
  if (status == MLIRAGE_OK) status = mlirage_session_lookup(session, "main", &function, error);
  if (status == MLIRAGE_OK) {
    status = mlirage_array_create(device, MLIRAGE_ELEMENT_FLOAT_32, 1, shape, a, &argument.as.view, error);
  }
  size_t before = 0;
  for (int call = 0; call < 1000 && status == MLIRAGE_OK; ++call) {
    if (call == 1) before = mlirage_arena_statistics(allocator).allocations;
    const mlirage_value_t arguments[2] = {argument, argument};
    mlirage_value_t result;
    status = mlirage_session_call(session, &function, 2, arguments, 1, &result, error);
    if (status == MLIRAGE_OK) status = mlirage_array_read(result.as.view, sum, sizeof(sum), error);
    mlirage_buffer_view_release(result.as.view);
  }
  const mlirage_arena_statistics_t statistics = mlirage_arena_statistics(allocator);
  if (status == MLIRAGE_OK) {
    printf("%g %g %g %g; %zu bytes at most, %zu allocations after the first call\n", (double)sum[0], (double)sum[1],
           (double)sum[2], (double)sum[3], statistics.peak, statistics.allocations - before);
  }
  mlirage_buffer_view_release(argument.as.view);
  mlirage_session_release(session);
  mlirage_device_release(device);
  return status;
}

int main(int argc, char** argv) {
  FILE* file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  if (file == NULL) {
    fprintf(stderr, "usage: static_memory MODULE\n");
    return 2;
  }
  const size_t size = fread(contents, 1, sizeof(contents), file);
  fclose(file);
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_allocator_t allocator;
  mlirage_status_t status =
      mlirage_arena_initialize((mlirage_mutable_bytes_t){memory, sizeof(memory)}, &allocator, &error);
  if (status == MLIRAGE_OK) status = run(allocator, size, &error);
  if (status != MLIRAGE_OK) fprintf(stderr, "static_memory: %s: %s\n", mlirage_status_name(status), error.text);
  return status == MLIRAGE_OK ? 0 : 1;
}

// Calls main of a module (f32 arrays of one dimension) again and again, and says what that took of
// the system:  calls_main MODULE CALLS EXTENT ARGUMENTS
// Extent 0: another one for each call, 1 to 300.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mlirage/runtime.h"

typedef struct counting_t {
  long allocations;
  long live;
} counting_t;

static void* resize(void* self, void* block, size_t old_size, size_t new_size) {
  counting_t* counting = self;
  (void)old_size;
  if (new_size == 0) {
    __atomic_fetch_sub(&counting->live, 1, __ATOMIC_RELAXED);
    free(block);
    return NULL;
  }
  __atomic_fetch_add(&counting->allocations, 1, __ATOMIC_RELAXED);
  if (block == NULL) __atomic_fetch_add(&counting->live, 1, __ATOMIC_RELAXED);
  return realloc(block, new_size);
}

static long resident_kilobytes(void) {
  long pages = 0, resident = 0;
  FILE* file = fopen("/proc/self/statm", "r");
  if (file != NULL && fscanf(file, "%ld %ld", &pages, &resident) != 2) resident = 0;
  if (file != NULL) fclose(file);
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void require(mlirage_status_t status, const mlirage_error_t* error) {
  if (status == MLIRAGE_OK) return;
  fprintf(stderr, "%s: %s\n", mlirage_status_name(status), error->text);
  exit(1);
}

static void call(mlirage_session_t* session, const mlirage_function_t* function, size_t extent, size_t count) {
  static const float data[300] = {1, 2, 3};
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_value_t arguments[8], result;
  for (size_t i = 0; i < count; ++i) {
    arguments[i].kind = 'r';
    require(mlirage_array_create(mlirage_session_device(session), MLIRAGE_ELEMENT_FLOAT_32, 1, &extent, data,
                                 &arguments[i].as.view, &error),
            &error);
  }
  require(mlirage_session_call(session, function, count, arguments, 1, &result, &error), &error);
  for (size_t i = 0; i < count; ++i) mlirage_buffer_view_release(arguments[i].as.view);
  mlirage_buffer_view_release(result.as.view);
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const long calls = atol(argv[2]);
  const size_t extent = strtoul(argv[3], NULL, 10), count = strtoul(argv[4], NULL, 10);
  static const char* const drivers[] = {"local-sync", "local-task"};
  for (int d = 0; d < 2; ++d) {
    mlirage_error_t error = {MLIRAGE_OK, {0}};
    counting_t counting = {0, 0};
    const mlirage_device_options_t options = {
        .struct_size = sizeof(options), .allocator = {&counting, resize}, .worker_count = 2};
    mlirage_device_statistics_t before = {.struct_size = sizeof(before)}, after = before;
    mlirage_device_t* device = NULL;
    mlirage_session_t* session = NULL;
    mlirage_function_t function;
    require(mlirage_device_create(drivers[d], &options, &device, &error), &error);
    require(mlirage_session_load_file(device, argv[1], NULL, &session, &error), &error);
    require(mlirage_session_lookup(session, "main", &function, &error), &error);
    for (size_t i = 0; i < 1000; ++i) call(session, &function, extent != 0 ? extent : i % 300 + 1, count);
    mlirage_device_statistics(device, &before);
    const long allocations = counting.allocations, resident = resident_kilobytes();
    for (size_t i = 0; i < (size_t)calls; ++i) call(session, &function, extent != 0 ? extent : i % 300 + 1, count);
    mlirage_device_statistics(device, &after);
    printf("%s %ld %ld %ld %lld\n", drivers[d], calls, counting.allocations - allocations,
           resident_kilobytes() - resident, (long long)(after.peak_bytes - before.peak_bytes));
    mlirage_session_release(session);
    mlirage_device_release(device);
    if (counting.live != 0) return 3;
  }
  return 0;
}

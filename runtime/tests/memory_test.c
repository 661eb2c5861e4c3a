// Every public entry when memory runs out: the n-th allocation fails, for each n.
#include "check.h"

static mlirage_status_t with_device(mlirage_device_t* device, const uint8_t* library, size_t library_size) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_status_t status = MLIRAGE_OK;
  mlirage_executable_t* executable = NULL;
  mlirage_command_buffer_t* commands = NULL;
  mlirage_buffer_t* buffers[2] = {NULL, NULL};
  mlirage_buffer_t* span = NULL;
  mlirage_buffer_t* imported = NULL;
  mlirage_buffer_view_t* view = NULL;
  mlirage_fence_t* fences[4] = {NULL, NULL, NULL, NULL};
  mlirage_fence_t* joined = NULL;
  mlirage_semaphore_t* semaphore = NULL;
  mlirage_fence_t* points[20] = {NULL};
  mlirage_file_t* file = NULL;
  mlirage_command_buffer_t* nested = NULL;
  uint32_t memory[4] = {0, 0, 0, 0};
  size_t shape[MLIRAGE_MAX_RANK];
  for (size_t i = 0; i < MLIRAGE_MAX_RANK; ++i) shape[i] = 1;
#define STEP(expr)                       \
  do {                                   \
    status = (expr);                     \
    if (status != MLIRAGE_OK) goto done; \
  } while (0)
  STEP(mlirage_executable_create(device, mlirage_string("embedded-elf-x86_64"),
                                 (mlirage_bytes_t){library, library_size}, &executable, &error));
  for (int i = 0; i < 4; ++i) STEP(mlirage_fence_create(device, &fences[i], &error));
  STEP(mlirage_fence_join(3, fences, &joined, &error));
  STEP(mlirage_buffer_allocate(device, 100, &buffers[0], &error));
  STEP(mlirage_queue_alloca(device, fences[0], fences[1], 1000, &buffers[1], &error));
  STEP(mlirage_buffer_subspan(buffers[0], 16, 4, &span, &error));
  STEP(mlirage_buffer_import(device, (mlirage_mutable_bytes_t){(uint8_t*)memory, 16},
                             (mlirage_release_callback_t){NULL, NULL}, &imported, &error));
  STEP(mlirage_buffer_view_create(span, 0, 4, MLIRAGE_ELEMENT_FLOAT_32, MLIRAGE_MAX_RANK, shape, &view, &error));
  STEP(mlirage_semaphore_create(device, 0, &semaphore, &error));
  for (uint64_t i = 0; i < 20; ++i) STEP(mlirage_semaphore_point(semaphore, i + 1, &points[i], &error));
  size_t index = 0;
  status = mlirage_fence_wait_any(20, points, 1000, &index, &error);
  if (status != MLIRAGE_DEADLINE_EXCEEDED) goto done;
  STEP(mlirage_file_import(device, (mlirage_mutable_bytes_t){(uint8_t*)memory, 16},
                           (mlirage_release_callback_t){NULL, NULL}, MLIRAGE_FILE_WRITE, &file, &error));
  STEP(mlirage_command_buffer_create(device, false, 1, &nested, &error));
  STEP(mlirage_command_buffer_update(nested, memory, (mlirage_slot_range_t){0, 0, 16}, &error));
  STEP(mlirage_command_buffer_barrier(nested, &error));
  const uint32_t two[2] = {1, 1};
  STEP(mlirage_command_buffer_dispatch_indirect(nested, executable, KERNEL_AFFINE, (mlirage_slot_range_t){0, 0, 12}, 2,
                                                two, 1, &(mlirage_slot_range_t){0, 0, 16}, &error));
  STEP(mlirage_command_buffer_finalize(nested, &error));
  STEP(mlirage_command_buffer_create(device, false, 2, &commands, &error));
  STEP(mlirage_command_buffer_execute(commands, nested, 1, &(mlirage_slot_range_t){0, 0, 16}, &error));
  for (uint32_t i = 0; i < 70; ++i) {  // more than the executor keeps on its stack
    const uint32_t constants[2] = {1, i};
    const uint32_t count[3] = {20, 1, 1};
    const mlirage_slot_range_t range = {i % 2, 0, 100};
    STEP(mlirage_command_buffer_dispatch(commands, executable, KERNEL_AFFINE, count, 2, constants, 1, &range, &error));
    STEP(mlirage_command_buffer_dispatch(commands, executable, KERNEL_SCRATCH, count, 0, NULL, 0, NULL, &error));
    STEP(mlirage_command_buffer_barrier(commands, &error));
  }
  STEP(mlirage_command_buffer_copy(commands, (mlirage_slot_range_t){0, 0, 64}, (mlirage_slot_range_t){1, 0, 64},
                                   &error));
  STEP(mlirage_command_buffer_fill(commands, (mlirage_slot_range_t){0, 0, 64}, 1, 1, &error));
  STEP(mlirage_command_buffer_finalize(commands, &error));
  const mlirage_binding_t bindings[2] = {{buffers[0], 0, 100}, {buffers[1], 0, 1000}};
  STEP(mlirage_queue_execute(device, NULL, NULL, commands, 2, bindings, MLIRAGE_QUEUE_DEFAULT, &error));
  STEP(mlirage_queue_execute(device, fences[1], fences[2], commands, 2, bindings, MLIRAGE_QUEUE_DEFAULT, &error));
  STEP(mlirage_queue_execute(device, NULL, points[0], commands, 2, bindings, MLIRAGE_QUEUE_ASYNC, &error));
  STEP(mlirage_queue_read(device, points[0], points[1], file, 0, buffers[0], 0, 16, MLIRAGE_QUEUE_ASYNC, &error));
  STEP(mlirage_queue_write(device, points[1], points[2], buffers[0], 0, file, 0, 16, MLIRAGE_QUEUE_DEFAULT, &error));
  STEP(mlirage_semaphore_wait(semaphore, 3, MLIRAGE_WAIT_FOREVER, &error));
  STEP(mlirage_queue_dealloca(device, fences[2], fences[3], buffers[1], &error));
  mlirage_fence_signal(fences[0]);
  // Work that had no memory fails its fence.
  STEP(mlirage_fence_wait(fences[3], MLIRAGE_WAIT_FOREVER, &error));
#undef STEP
done:
  // What waits is released by its fence.
  if (fences[0] != NULL) mlirage_fence_signal(fences[0]);
  for (int i = 1; i < 4 && fences[i] != NULL; ++i) mlirage_fence_signal(fences[i]);
  if (semaphore != NULL) mlirage_semaphore_fail(semaphore, MLIRAGE_ABORTED, NULL);
  for (int i = 0; i < 20; ++i) mlirage_fence_release(points[i]);
  mlirage_semaphore_release(semaphore);
  mlirage_file_release(file);
  mlirage_command_buffer_release(nested);
  for (int i = 0; i < 4; ++i) mlirage_fence_release(fences[i]);
  mlirage_fence_release(joined);
  mlirage_buffer_view_release(view);
  mlirage_buffer_release(span);
  mlirage_buffer_release(imported);
  mlirage_buffer_release(buffers[0]);
  mlirage_buffer_release(buffers[1]);
  mlirage_command_buffer_release(commands);
  mlirage_executable_release(executable);
  // A copy that had started goes on after its semaphore failed, and it reads `memory`.
  mlirage_device_wait_idle(device);
  return status;
}

static mlirage_status_t scenario(const char* driver, mlirage_allocator_t allocator, const uint8_t* library,
                                 size_t library_size) {
  static const mlirage_executable_loader_t* const loaders[] = {&mlirage_loader_embedded_elf};
  const mlirage_device_options_t device_options = {
      .struct_size = sizeof(device_options),
      .allocator = allocator,
      .loaders = loaders,
      .loader_count = 1,
      .worker_count = 2,
  };
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_device_t* device = NULL;
  mlirage_status_t status;
  if (strcmp(driver, "local-task") == 0) {
    status = mlirage_local_task_device_create(&device_options, &device, &error);
  } else if (strcmp(driver, "local-sync") == 0) {
    status = mlirage_local_sync_device_create(&device_options, &device, &error);
  } else {
    status = mlirage_null_device_create(&device_options, &device, &error);
  }
  if (status == MLIRAGE_OK) status = with_device(device, library, library_size);
  mlirage_device_release(device);
  return status;
}

void test_memory_exhaustion(void) {
  static const char* const drivers[] = {"null", "local-sync", "local-task"};
  size_t size = 0;
  uint8_t* library = read_kernels(&size);
  for (size_t d = 0; d < 3; ++d) {
    for (long n = 1;; ++n) {
      counting_t counting = {n, 0, 0};
      const mlirage_status_t status = scenario(drivers[d], counting_allocator(&counting), library, size);
      CHECK(counting.live == 0);
      if (status == MLIRAGE_OK) {
        printf("%s: %ld points of failure\n", drivers[d], n - 1);
        break;
      }
      CHECK(status == MLIRAGE_OUT_OF_MEMORY);
    }
  }
  free(library);
}

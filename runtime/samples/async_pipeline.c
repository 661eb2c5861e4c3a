// Twenty calls, each on the result of the one before, and one wait at the end:
//   async_pipeline double.mlirage
//
//   func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> { … x + x … }
// compiled with --execution-model=async-external: its functions take a fence to wait for and
// one to signal.
#include <stdio.h>

#include "mlirage/runtime.h"

static mlirage_status_t run(const char* path, mlirage_error_t* error) {
  enum { STEPS = 20 };
  const float ones[4] = {1, 1, 1, 1};
  float values[4] = {0};
  const size_t shape[1] = {4};
  mlirage_device_t* device = NULL;
  mlirage_session_t* session = NULL;
  mlirage_semaphore_t* timeline = NULL;  // step i takes it from i to i + 1
  mlirage_function_t function;
  mlirage_value_t x = {.kind = 'r', .as.view = NULL};

  mlirage_status_t status = mlirage_device_create("local-task", NULL, &device, error);
  if (status == MLIRAGE_OK) status = mlirage_session_load_file(device, path, NULL, &session, error);
  if (status == MLIRAGE_OK) status = mlirage_session_lookup(session, "main", &function, error);
  if (status == MLIRAGE_OK) status = mlirage_semaphore_create(device, 0, &timeline, error);
  if (status == MLIRAGE_OK) {
    status = mlirage_array_create(device, MLIRAGE_ELEMENT_FLOAT_32, 1, shape, ones, &x.as.view, error);
  }
  for (uint64_t step = 0; step < STEPS && status == MLIRAGE_OK; ++step) {
    mlirage_fence_t* wait = NULL;
    mlirage_fence_t* signal = NULL;
    mlirage_value_t y = {.kind = 'r', .as.view = NULL};
    status = mlirage_semaphore_point(timeline, step, &wait, error);
    if (status == MLIRAGE_OK) status = mlirage_semaphore_point(timeline, step + 1, &signal, error);
    if (status == MLIRAGE_OK) {
      status = mlirage_session_call_async(session, &function, 1, &x, wait, signal, 1, &y, error);
    }
    mlirage_fence_release(wait);
    mlirage_fence_release(signal);
    if (status != MLIRAGE_OK) break;
    mlirage_buffer_view_release(x.as.view);  // the work keeps what it uses
    x = y;
  }
  // The host has been free all the time. Now it needs the numbers.
  if (status == MLIRAGE_OK) status = mlirage_semaphore_wait(timeline, STEPS, MLIRAGE_WAIT_FOREVER, error);
  if (status == MLIRAGE_OK) status = mlirage_array_read(x.as.view, values, sizeof(values), error);
  if (status == MLIRAGE_OK) printf("%g\n", (double)values[3]);
  mlirage_buffer_view_release(x.as.view);
  mlirage_semaphore_release(timeline);
  mlirage_session_release(session);
  mlirage_device_release(device);
  return status;
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: async_pipeline MODULE\n");
    return 2;
  }
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const mlirage_status_t status = run(argv[1], &error);
  if (status != MLIRAGE_OK) fprintf(stderr, "async_pipeline: %s: %s\n", mlirage_status_name(status), error.text);
  return status == MLIRAGE_OK ? 0 : 1;
}

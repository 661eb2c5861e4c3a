// Two models on one device; what one gives the other takes, without a copy:
//   multiple_modules first.mlirage second.mlirage   (main: tensor<4xf32> -> tensor<4xf32> each)
#include <stdio.h>

#include "mlirage/runtime.h"

// Calls main of |session| with |*view|, which its result replaces.
static mlirage_status_t apply(mlirage_session_t* session, mlirage_buffer_view_t** view, mlirage_error_t* error) {
  mlirage_function_t function;
  MLIRAGE_TRY(mlirage_session_lookup(session, "main", &function, error));
  const mlirage_value_t argument = {.kind = 'r', .as.view = *view};
  mlirage_value_t result;
  MLIRAGE_TRY(mlirage_session_call(session, &function, 1, &argument, 1, &result, error));
  mlirage_buffer_view_release(*view);
  *view = result.as.view;
  return MLIRAGE_OK;
}

static mlirage_status_t run(char** paths, mlirage_error_t* error) {
  const float x[4] = {1, 2, 3, 4};
  float y[4] = {0};
  const size_t shape[1] = {4};
  mlirage_device_t* device = NULL;
  mlirage_session_t* sessions[2] = {NULL, NULL};
  mlirage_buffer_view_t* view = NULL;
  mlirage_status_t status = mlirage_device_create("local-task", NULL, &device, error);
  for (int i = 0; i < 2 && status == MLIRAGE_OK; ++i) {
    status = mlirage_session_load_file(device, paths[i], NULL, &sessions[i], error);
  }
  if (status == MLIRAGE_OK) {
    status = mlirage_array_create(device, MLIRAGE_ELEMENT_FLOAT_32, 1, shape, x, &view, error);
  }
  for (int i = 0; i < 2 && status == MLIRAGE_OK; ++i) status = apply(sessions[i], &view, error);
  if (status == MLIRAGE_OK) status = mlirage_array_read(view, y, sizeof(y), error);
  if (status == MLIRAGE_OK) printf("%g %g %g %g\n", (double)y[0], (double)y[1], (double)y[2], (double)y[3]);
  mlirage_buffer_view_release(view);
  for (int i = 0; i < 2; ++i) mlirage_session_release(sessions[i]);
  mlirage_device_release(device);
  return status;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: multiple_modules FIRST SECOND\n");
    return 2;
  }
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const mlirage_status_t status = run(argv + 1, &error);
  if (status != MLIRAGE_OK) fprintf(stderr, "multiple_modules: %s: %s\n", mlirage_status_name(status), error.text);
  return status == MLIRAGE_OK ? 0 : 1;
}

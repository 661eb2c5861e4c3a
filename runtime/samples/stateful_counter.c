// A module with state, in two sessions that do not see each other's:  stateful_counter counter.mlirage
//
//   ml_program.global private mutable @count(dense<0> : tensor<i32>) : tensor<i32>
//   func.func @add(%n: tensor<i32>) -> tensor<i32> { … count += n, returns it … }
#include <stdio.h>

#include "mlirage/runtime.h"

static mlirage_status_t add(mlirage_session_t* session, int32_t n, int32_t* out_count, mlirage_error_t* error) {
  mlirage_function_t function;
  MLIRAGE_TRY(mlirage_session_lookup(session, "add", &function, error));
  mlirage_value_t argument = {.kind = 'r', .as.view = NULL};
  MLIRAGE_TRY(mlirage_array_create(mlirage_session_device(session), MLIRAGE_ELEMENT_INT_32, 0, NULL, &n,
                                   &argument.as.view, error));
  mlirage_value_t result;
  mlirage_status_t status = mlirage_session_call(session, &function, 1, &argument, 1, &result, error);
  if (status == MLIRAGE_OK) status = mlirage_array_read(result.as.view, out_count, sizeof(*out_count), error);
  mlirage_buffer_view_release(result.as.view);
  mlirage_buffer_view_release(argument.as.view);
  return status;
}

static mlirage_status_t run(const char* path, mlirage_error_t* error) {
  mlirage_device_t* device = NULL;
  mlirage_session_t* first = NULL;
  mlirage_session_t* second = NULL;
  int32_t counts[2] = {0, 0};
  mlirage_status_t status = mlirage_device_create("local-sync", NULL, &device, error);
  if (status == MLIRAGE_OK) status = mlirage_session_load_file(device, path, NULL, &first, error);
  // The module is loaded once; a session is its state.
  if (status == MLIRAGE_OK) {
    status = mlirage_session_create(device, mlirage_session_module(first), NULL, &second, error);
  }
  for (int32_t i = 1; i <= 10 && status == MLIRAGE_OK; ++i) {
    status = add(first, i, &counts[0], error);
    if (status == MLIRAGE_OK) status = add(second, 1, &counts[1], error);
  }
  if (status == MLIRAGE_OK) printf("%d %d\n", counts[0], counts[1]);
  mlirage_session_release(second);
  mlirage_session_release(first);
  mlirage_device_release(device);
  return status;
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: stateful_counter MODULE\n");
    return 2;
  }
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const mlirage_status_t status = run(argv[1], &error);
  if (status != MLIRAGE_OK) fprintf(stderr, "stateful_counter: %s: %s\n", mlirage_status_name(status), error.text);
  return status == MLIRAGE_OK ? 0 : 1;
}

// Adds two vectors with a compiled module:  hello add.mlirage [device]
//
//   func.func @main(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> { … a + b … }
#include <stdio.h>

#include "mlirage/runtime.h"

static mlirage_status_t run(const char* path, const char* device_name, mlirage_error_t* error) {
  const float a[4] = {1, 2, 3, 4};
  const float b[4] = {10, 20, 30, 40};
  float sum[4] = {0};
  const size_t shape[1] = {4};

  mlirage_device_t* device = NULL;
  mlirage_session_t* session = NULL;
  mlirage_function_t main_function;
  mlirage_value_t arguments[2] = {{.kind = 'r', .as.view = NULL}, {.kind = 'r', .as.view = NULL}};
  mlirage_value_t result = {.kind = 'r', .as.view = NULL};

  mlirage_status_t status = mlirage_device_create(device_name, NULL, &device, error);
  if (status == MLIRAGE_OK) status = mlirage_session_load_file(device, path, NULL, &session, error);
  if (status == MLIRAGE_OK) status = mlirage_session_lookup(session, "main", &main_function, error);
  if (status == MLIRAGE_OK) {
    status = mlirage_array_create(device, MLIRAGE_ELEMENT_FLOAT_32, 1, shape, a, &arguments[0].as.view, error);
  }
  if (status == MLIRAGE_OK) {
    status = mlirage_array_create(device, MLIRAGE_ELEMENT_FLOAT_32, 1, shape, b, &arguments[1].as.view, error);
  }
  if (status == MLIRAGE_OK) {
    status = mlirage_session_call(session, &main_function, 2, arguments, 1, &result, error);
  }
  if (status == MLIRAGE_OK) status = mlirage_array_read(result.as.view, sum, sizeof(sum), error);
  if (status == MLIRAGE_OK) printf("%g %g %g %g\n", sum[0], sum[1], sum[2], sum[3]);

  // Everything accepts NULL; the order does not matter.
  mlirage_buffer_view_release(result.as.view);
  mlirage_buffer_view_release(arguments[0].as.view);
  mlirage_buffer_view_release(arguments[1].as.view);
  mlirage_session_release(session);
  mlirage_device_release(device);
  return status;
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: hello MODULE [DEVICE]\n");
    return 2;
  }
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const mlirage_status_t status = run(argv[1], argc > 2 ? argv[2] : "local-sync", &error);
  if (status != MLIRAGE_OK) fprintf(stderr, "hello: %s: %s\n", mlirage_status_name(status), error.text);
  return status == MLIRAGE_OK ? 0 : 1;
}

// A model whose weights lie beside it:  parameters model.mlirage weights.safetensors
//
//   func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> { … x + weights … }  compiled with --parameters
#include <stdio.h>

#include "mlirage/runtime.h"

static mlirage_status_t run(const char* path, const char* weights, mlirage_error_t* error) {
  const float x[4] = {1, 2, 3, 4};
  float y[4] = {0};
  const size_t shape[1] = {4};
  mlirage_device_t* device = NULL;
  mlirage_parameters_t* parameters = NULL;
  mlirage_session_t* session = NULL;
  mlirage_function_t function;
  mlirage_value_t argument = {.kind = 'r', .as.view = NULL};
  mlirage_value_t result = {.kind = 'r', .as.view = NULL};

  mlirage_status_t status = mlirage_device_create("local-task", NULL, &device, error);
  if (status == MLIRAGE_OK) status = mlirage_parameters_create(mlirage_allocator_system(), &parameters);
  if (status == MLIRAGE_OK) {
    // Mapped, not read: what the model does not use is never loaded.
    status =
        mlirage_parameters_add_file(parameters, MLIRAGE_PARAMETERS_SCOPE, weights, MLIRAGE_PARAMETERS_DEFAULT, error);
  }
  if (status == MLIRAGE_OK) status = mlirage_session_load_file(device, path, parameters, &session, error);
  mlirage_parameters_release(parameters);  // the session keeps what it uses
  if (status == MLIRAGE_OK) status = mlirage_session_lookup(session, "main", &function, error);
  if (status == MLIRAGE_OK) {
    status = mlirage_array_create(device, MLIRAGE_ELEMENT_FLOAT_32, 1, shape, x, &argument.as.view, error);
  }
  if (status == MLIRAGE_OK) status = mlirage_session_call(session, &function, 1, &argument, 1, &result, error);
  if (status == MLIRAGE_OK) status = mlirage_array_read(result.as.view, y, sizeof(y), error);
  if (status == MLIRAGE_OK) printf("%g %g %g %g\n", (double)y[0], (double)y[1], (double)y[2], (double)y[3]);
  mlirage_buffer_view_release(argument.as.view);
  mlirage_buffer_view_release(result.as.view);
  mlirage_session_release(session);
  mlirage_device_release(device);
  return status;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: parameters MODULE WEIGHTS\n");
    return 2;
  }
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const mlirage_status_t status = run(argv[1], argv[2], &error);
  if (status != MLIRAGE_OK) fprintf(stderr, "parameters: %s: %s\n", mlirage_status_name(status), error.text);
  return status == MLIRAGE_OK ? 0 : 1;
}

// Runs compiled modules on another processor's behalf (tests/codegen/cross.py, under
// qemu):  cross_main DEVICE FOLDER...
//
// Each folder has `module.mlirage` and `in.bin`, the arguments of "main"; the results go
// to `out.bin`. A file of arrays is, all little-endian: their number (u32), then for each
// its element type (u32), rank (u32), extents (u64 each), byte length (u64) and bytes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mlirage/runtime.h"

#define MAX_ARRAYS 64u
#define MAX_RANK 16u

static mlirage_status_t fail(mlirage_error_t* error, const char* text) {
  (void)snprintf(error->text, sizeof(error->text), "%s", text);
  return error->status = MLIRAGE_INVALID_ARGUMENT;
}

static mlirage_status_t read_array(FILE* file, mlirage_device_t* device, mlirage_buffer_view_t** out_view,
                                   mlirage_error_t* error) {
  uint32_t header[2] = {0, 0};
  uint64_t extents[MAX_RANK + 1];
  size_t shape[MAX_RANK];
  if (fread(header, sizeof(header), 1, file) != 1 || header[1] > MAX_RANK) return fail(error, "malformed in.bin");
  if (fread(extents, sizeof(extents[0]), header[1] + 1, file) != header[1] + 1) return fail(error, "short in.bin");
  for (size_t i = 0; i < header[1]; ++i) shape[i] = (size_t)extents[i];
  const size_t length = (size_t)extents[header[1]];
  void* data = malloc(length + 1);
  if (data == NULL || fread(data, 1, length, file) != length) return fail(error, "short in.bin");
  const mlirage_status_t status = mlirage_array_create(device, header[0], header[1], shape, data, out_view, error);
  free(data);
  return status;
}

static mlirage_status_t write_array(FILE* file, const mlirage_buffer_view_t* view, mlirage_error_t* error) {
  const size_t rank = mlirage_buffer_view_rank(view);
  const uint32_t header[2] = {(uint32_t)mlirage_buffer_view_element_type(view), (uint32_t)rank};
  const uint64_t length = mlirage_buffer_length(mlirage_buffer_view_buffer(view));
  (void)fwrite(header, sizeof(header), 1, file);
  for (size_t i = 0; i < rank; ++i) {
    const uint64_t extent = mlirage_buffer_view_shape(view)[i];
    (void)fwrite(&extent, sizeof(extent), 1, file);
  }
  (void)fwrite(&length, sizeof(length), 1, file);
  void* data = malloc((size_t)length + 1);
  if (data == NULL) return fail(error, "no memory");
  const mlirage_status_t status = mlirage_array_read(view, data, (size_t)length, error);
  if (status == MLIRAGE_OK) (void)fwrite(data, 1, (size_t)length, file);
  free(data);
  return status;
}

// The arguments and results of a call; released by the caller.
typedef struct call_t {
  uint32_t argument_count;
  uint32_t result_count;
  mlirage_value_t arguments[MAX_ARRAYS];
  mlirage_value_t results[MAX_ARRAYS];
} call_t;

static mlirage_status_t run(mlirage_device_t* device, mlirage_session_t* session, FILE* in, FILE* out, call_t* call,
                            mlirage_error_t* error) {
  mlirage_function_t function;
  MLIRAGE_TRY(mlirage_session_lookup(session, "main", &function, error));
  const char* results = strchr(function.convention, '_') + 1;
  call->result_count = (uint32_t)strlen(results);
  uint32_t count = 0;
  if (call->result_count > MAX_ARRAYS || fread(&count, sizeof(count), 1, in) != 1 || count > MAX_ARRAYS) {
    return fail(error, "too many arrays");
  }
  for (; call->argument_count < count; ++call->argument_count) {
    mlirage_value_t* argument = &call->arguments[call->argument_count];
    *argument = (mlirage_value_t){.kind = 'r', .as.view = NULL};
    MLIRAGE_TRY(read_array(in, device, &argument->as.view, error));
  }
  for (size_t i = 0; i < call->result_count; ++i) call->results[i] = (mlirage_value_t){.kind = 'r', .as.view = NULL};
  MLIRAGE_TRY(mlirage_session_call(session, &function, call->argument_count, call->arguments, call->result_count,
                                   call->results, error));
  (void)fwrite(&call->result_count, sizeof(call->result_count), 1, out);
  for (size_t i = 0; i < call->result_count; ++i) MLIRAGE_TRY(write_array(out, call->results[i].as.view, error));
  return MLIRAGE_OK;
}

static mlirage_status_t run_folder(mlirage_device_t* device, const char* folder, mlirage_error_t* error) {
  char path[4096];
  mlirage_session_t* session = NULL;
  (void)snprintf(path, sizeof(path), "%s/module.mlirage", folder);
  MLIRAGE_TRY(mlirage_session_load_file(device, path, NULL, &session, error));
  (void)snprintf(path, sizeof(path), "%s/in.bin", folder);
  FILE* in = fopen(path, "rb");
  (void)snprintf(path, sizeof(path), "%s/out.bin", folder);
  FILE* out = fopen(path, "wb");
  static call_t call;
  memset(&call, 0, sizeof(call));
  const mlirage_status_t status = in == NULL || out == NULL ? fail(error, "cannot open in.bin or out.bin")
                                                            : run(device, session, in, out, &call, error);
  for (size_t i = 0; i < call.argument_count; ++i) mlirage_buffer_view_release(call.arguments[i].as.view);
  for (size_t i = 0; i < call.result_count; ++i) mlirage_buffer_view_release(call.results[i].as.view);
  if (in != NULL) (void)fclose(in);
  if (out != NULL && fclose(out) != 0) return fail(error, "cannot write out.bin");
  mlirage_session_release(session);
  return status;
}

// A line per folder: "ok", or the error.
int main(int argc, char** argv) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const mlirage_device_options_t options = {
      .struct_size = sizeof(options), .allocator = mlirage_allocator_system(), .worker_count = 2};
  mlirage_device_t* device = NULL;
  if (argc < 2 || mlirage_device_create(argv[1], &options, &device, &error) != MLIRAGE_OK) {
    fprintf(stderr, "no device: %s\n", error.text);
    return 2;
  }
  for (int i = 2; i < argc; ++i) {
    const mlirage_status_t status = run_folder(device, argv[i], &error);
    for (char* c = error.text; *c != '\0'; ++c) {
      if (*c == '\n') *c = ' ';
    }
    printf("%s\n", status == MLIRAGE_OK ? "ok" : error.text);
    (void)fflush(stdout);
  }
  mlirage_device_release(device);
  return 0;
}

// Runs a program in C on arrays from files (tests/c_source/c_program.py):
//
//   run_program IN OUT MEMORY_SIZE
//
// IN has calls; each is the number of the function (u32), then arrays as in
// runtime/tests/cross/cross_main.c. OUT gets the status of each call (u32) and its results.
// PROGRAM_HEADER, PROGRAM(name) and FUNCTIONS come from the command line.
#include PROGRAM_HEADER

#include <stdio.h>
#include <stdlib.h>

#define MAX_ARRAYS 32u

typedef int (*function_t)(PROGRAM(t) * self, const PROGRAM(array_t) * arguments, PROGRAM(array_t) * results);
static const struct {
  function_t call;
  uint32_t result_count;
} functions[] = {FUNCTIONS};

static void check(int condition, const char* what) {
  if (!condition) {
    fprintf(stderr, "%s\n", what);
    exit(2);
  }
}

static uint32_t read_arrays(FILE* file, PROGRAM(array_t) * arrays) {
  uint32_t count = 0;
  check(fread(&count, sizeof(count), 1, file) == 1 && count <= MAX_ARRAYS, "bad count");
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t header[2];
    uint64_t extents[17];
    check(fread(header, sizeof(header), 1, file) == 1 && header[1] <= 16, "bad header");
    check(fread(extents, 8, header[1] + 1, file) == header[1] + 1, "bad extents");
    arrays[i].element_type = header[0];
    arrays[i].rank = header[1];
    for (uint32_t k = 0; k < header[1]; ++k) {
      // What the program cannot have is cut: it has no such rank, and says so.
      if (k < sizeof(arrays[i].shape) / sizeof(arrays[i].shape[0])) arrays[i].shape[k] = (size_t)extents[k];
    }
    arrays[i].size = (size_t)extents[header[1]];
    // Exactly as large as said, so that a sanitizer sees what is read behind the end.
    arrays[i].data = malloc(arrays[i].size != 0 ? arrays[i].size : 1);
    arrays[i].owner = NULL;
    check(fread(arrays[i].data, 1, arrays[i].size, file) == arrays[i].size, "bad data");
  }
  return count;
}

static void write_arrays(FILE* file, uint32_t count, const PROGRAM(array_t) * arrays) {
  fwrite(&count, sizeof(count), 1, file);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t header[2] = {arrays[i].element_type, arrays[i].rank};
    fwrite(header, sizeof(header), 1, file);
    for (uint32_t k = 0; k < arrays[i].rank; ++k) {
      const uint64_t extent = arrays[i].shape[k];
      fwrite(&extent, sizeof(extent), 1, file);
    }
    const uint64_t size = arrays[i].size;
    fwrite(&size, sizeof(size), 1, file);
    fwrite(arrays[i].data, 1, arrays[i].size, file);
  }
}

int main(int argc, char** argv) {
  check(argc == 4, "arguments");
  const size_t size = (size_t)strtoull(argv[3], NULL, 10);
  void* memory = malloc(size);
  PROGRAM(t) program;
  FILE* in = fopen(argv[1], "rb");
  FILE* out = fopen(argv[2], "wb");
  check(in != NULL && out != NULL && memory != NULL, "cannot open files");
  uint32_t status = (uint32_t)PROGRAM(init)(&program, memory, size);
  if (status != 0) {
    fprintf(stderr, "init: %s\n", program.message != NULL ? program.message : "");
    return 3;
  }
  uint32_t number = 0;
  while (fread(&number, sizeof(number), 1, in) == 1) {
    PROGRAM(array_t) arguments[MAX_ARRAYS];
    PROGRAM(array_t) results[MAX_ARRAYS];
    const uint32_t count = read_arrays(in, arguments);
    for (uint32_t i = 0; i < MAX_ARRAYS; ++i) {
      results[i].data = NULL;
      results[i].owner = NULL;
    }
    status = (uint32_t)functions[number].call(&program, arguments, results);
    fwrite(&status, sizeof(status), 1, out);
    if (status == 0) {
      write_arrays(out, functions[number].result_count, results);
    } else {
      fprintf(stderr, "%s\n", program.message != NULL ? program.message : "");
    }
    for (uint32_t i = 0; i < functions[number].result_count && status == 0; ++i)
      PROGRAM(release)(&program, &results[i]);
    for (uint32_t i = 0; i < count; ++i) free(arguments[i].data);
  }
  fclose(in);
  check(fclose(out) == 0, "cannot write");
  free(memory);
  return 0;
}

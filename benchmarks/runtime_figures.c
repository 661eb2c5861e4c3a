// What a call costs and what threads bring, by the public API alone; benchmarks/runtime.py
// compiles the modules, builds this and explains the figures.
//
//   runtime_figures overhead|threads MODULE ROUNDS ARGUMENT_EXTENTS…   (f32 tensors: 4 512x512)
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mlirage/runtime.h"

#define MAX_ARGUMENTS 8

typedef struct subject_t {
  mlirage_device_t* device;
  mlirage_session_t* session;
  mlirage_function_t function;
  size_t argument_count;
  mlirage_value_t arguments[MAX_ARGUMENTS];
} subject_t;

static void require(mlirage_status_t status, const mlirage_error_t* error) {
  if (status == MLIRAGE_OK) return;
  fprintf(stderr, "%s: %s\n", mlirage_status_name(status), error->text);
  exit(1);
}

static double now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static subject_t load(const char* driver, uint32_t threads, const char* path, char** extents, int count) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const mlirage_device_options_t options = {
      .struct_size = sizeof(options), .allocator = mlirage_allocator_system(), .worker_count = threads};
  subject_t subject = {.argument_count = (size_t)count};
  require(mlirage_device_create(driver, &options, &subject.device, &error), &error);
  require(mlirage_session_load_file(subject.device, path, NULL, &subject.session, &error), &error);
  require(mlirage_session_lookup(subject.session, "main", &subject.function, &error), &error);
  for (int i = 0; i < count; ++i) {
    size_t shape[8], rank = 0, elements = 1;
    for (char* at = extents[i]; rank < 8; ++at) {
      shape[rank] = strtoul(at, &at, 10);
      elements *= shape[rank++];
      if (*at != 'x') break;
    }
    float* data = malloc(elements * sizeof(float));
    for (size_t k = 0; k < elements; ++k) data[k] = (float)(k % 17) * 0.25f;
    require(mlirage_array_create(subject.device, MLIRAGE_ELEMENT_FLOAT_32, rank, shape, data,
                                 &subject.arguments[i].as.view, &error),
            &error);
    subject.arguments[i].kind = 'r';
    free(data);
  }
  return subject;
}

static double call(subject_t* subject, int times) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const double start = now_us();
  for (int i = 0; i < times; ++i) {
    mlirage_value_t result;
    require(mlirage_session_call(subject->session, &subject->function, subject->argument_count, subject->arguments, 1,
                                 &result, &error),
            &error);
    mlirage_buffer_view_release(result.as.view);
  }
  return (now_us() - start) / times;
}

static void unload(subject_t* subject) {
  for (size_t i = 0; i < subject->argument_count; ++i) mlirage_buffer_view_release(subject->arguments[i].as.view);
  mlirage_session_release(subject->session);
  mlirage_device_release(subject->device);
}

static int ascending(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static double median(double* values, int count) {
  qsort(values, (size_t)count, sizeof(double), ascending);
  return values[count / 2];
}

// Interleaved, so that whatever else the machine does meets both alike: times of one thread and
// of two, and the median of their ratios.
static void compare(const char* label, subject_t subjects[2], int rounds, int times) {
  double* values[3];
  for (int i = 0; i < 3; ++i) values[i] = malloc((size_t)rounds * sizeof(double));
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < 2; ++i) values[i][round] = call(&subjects[i], times);
    values[2][round] = values[0][round] / values[1][round];
  }
  double sums[2] = {0, 0};
  for (int round = 0; round < rounds; ++round) sums[0] += values[0][round], sums[1] += values[1][round];
  const double ratio = median(values[2], rounds);
  printf("%s %.2f %.2f %.3f %.3f\n", label, median(values[0], rounds), median(values[1], rounds), ratio,
         sums[0] / sums[1]);
  for (int i = 0; i < 3; ++i) free(values[i]);
}

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  const int rounds = atoi(argv[3]);
  subject_t subjects[2] = {load("local-sync", 0, argv[2], argv + 4, argc - 4),
                           load("local-task", 2, argv[2], argv + 4, argc - 4)};
  for (int i = 0; i < 2; ++i) call(&subjects[i], 20);
  if (strcmp(argv[1], "overhead") == 0) {
    compare("call", subjects, rounds, 2000);
  } else {
    compare("idle", subjects, rounds, 3);
    pid_t competitors[2];
    for (int i = 0; i < 2; ++i) {
      competitors[i] = fork();
      if (competitors[i] == 0) {
        for (volatile unsigned long spin = 0;; ++spin) {
        }
      }
    }
    compare("busy", subjects, rounds, 3);
    for (int i = 0; i < 2; ++i) {
      kill(competitors[i], SIGKILL);
      waitpid(competitors[i], NULL, 0);
    }
    compare("after", subjects, rounds, 3);
  }
  for (int i = 0; i < 2; ++i) unload(&subjects[i]);
  return 0;
}

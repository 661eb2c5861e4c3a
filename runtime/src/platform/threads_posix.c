#if defined(__unix__) || defined(__APPLE__)
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "platform/platform.h"

typedef struct start_t {
  void (*call)(void* argument);
  void* argument;
  char name[16];
} start_t;

static void* start_thread(void* parameter) {
  start_t start = *(start_t*)parameter;
  free(parameter);
#if defined(__linux__)
  pthread_setname_np(pthread_self(), start.name);
#endif
  start.call(start.argument);
  return NULL;
}

mlirage_status_t mlirage_platform_thread_create(void (*call)(void* argument), void* argument, const char* name,
                                                mlirage_thread_t* out_thread) {
  *out_thread = (mlirage_thread_t){0, 0};
  start_t* start = malloc(sizeof(*start));
  if (start == NULL) return MLIRAGE_OUT_OF_MEMORY;
  *start = (start_t){.call = call, .argument = argument, .name = {0}};
  for (size_t i = 0; i + 1 < sizeof(start->name) && name[i] != '\0'; ++i) start->name[i] = name[i];
  // Signals of the program are for its own threads.
  sigset_t all, previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  pthread_t thread;
  const int failure = pthread_create(&thread, NULL, start_thread, start);
  pthread_sigmask(SIG_SETMASK, &previous, NULL);
  if (failure != 0) {
    free(start);
    return MLIRAGE_IO;
  }
  *out_thread = (mlirage_thread_t){(uintptr_t)thread, (long)getpid()};
  return MLIRAGE_OK;
}

void mlirage_platform_thread_join(mlirage_thread_t thread) {
  if (mlirage_platform_thread_is_here(thread)) pthread_join((pthread_t)thread.handle, NULL);
}

void mlirage_platform_thread_detach(mlirage_thread_t thread) {
  if (mlirage_platform_thread_is_here(thread)) pthread_detach((pthread_t)thread.handle);
}

bool mlirage_platform_thread_is_current(mlirage_thread_t thread) {
  return pthread_equal((pthread_t)thread.handle, pthread_self()) != 0 && mlirage_platform_thread_is_here(thread);
}

bool mlirage_platform_thread_is_here(mlirage_thread_t thread) { return thread.process == (long)getpid(); }

uint32_t mlirage_platform_core_count(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return (uint32_t)CPU_COUNT(&set);
#endif
  const long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? (uint32_t)count : 1u;
}
#else
typedef int mlirage_threads_posix_is_empty_t;
#endif

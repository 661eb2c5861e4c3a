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

static mlirage_status_t pin(pthread_attr_t* attributes, uint32_t core) {
#if defined(__linux__)
  cpu_set_t set, allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return MLIRAGE_IO;
  if (core >= CPU_SETSIZE || !CPU_ISSET(core, &allowed)) return MLIRAGE_NOT_FOUND;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  return pthread_attr_setaffinity_np(attributes, sizeof(set), &set) == 0 ? MLIRAGE_OK : MLIRAGE_IO;
#else
  (void)attributes, (void)core;
  return MLIRAGE_UNSUPPORTED;
#endif
}

static mlirage_status_t create(const pthread_attr_t* attributes, void (*call)(void* argument), void* argument,
                               const char* name, mlirage_thread_t* out_thread) {
  start_t* start = malloc(sizeof(*start));
  if (start == NULL) return MLIRAGE_OUT_OF_MEMORY;
  *start = (start_t){.call = call, .argument = argument, .name = {0}};
  for (size_t i = 0; i + 1 < sizeof(start->name) && name[i] != '\0'; ++i) start->name[i] = name[i];
  // Signals of the program are for its own threads.
  sigset_t all, previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  pthread_t thread;
  const int failure = pthread_create(&thread, attributes, start_thread, start);
  pthread_sigmask(SIG_SETMASK, &previous, NULL);
  if (failure != 0) {
    free(start);
    return MLIRAGE_IO;
  }
  *out_thread = (mlirage_thread_t){(uintptr_t)thread, (long)getpid()};
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_platform_thread_create(void (*call)(void* argument), void* argument, const char* name,
                                                uint32_t core, mlirage_thread_t* out_thread) {
  *out_thread = (mlirage_thread_t){0, 0};
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return MLIRAGE_OUT_OF_MEMORY;
  mlirage_status_t status = core == MLIRAGE_ANY_CORE ? MLIRAGE_OK : pin(&attributes, core);
  if (status == MLIRAGE_OK) status = create(&attributes, call, argument, name, out_thread);
  pthread_attr_destroy(&attributes);
  return status;
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

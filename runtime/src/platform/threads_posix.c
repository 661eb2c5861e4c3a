#if defined(__unix__) || defined(__APPLE__)
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "platform/platform.h"

static void* start_thread(void* parameter) {
  const mlirage_thread_t* thread = parameter;
#if defined(__linux__)
  pthread_setname_np(pthread_self(), thread->name);
#endif
  thread->call(thread->argument);
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

mlirage_status_t mlirage_platform_thread_create(void (*call)(void* argument), void* argument, const char* name,
                                                uint32_t core, mlirage_thread_t* thread) {
  *thread = (mlirage_thread_t){.call = call, .argument = argument};
  for (size_t i = 0; i + 1 < sizeof(thread->name) && name[i] != '\0'; ++i) thread->name[i] = name[i];
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return MLIRAGE_OUT_OF_MEMORY;
  mlirage_status_t status = core == MLIRAGE_ANY_CORE ? MLIRAGE_OK : pin(&attributes, core);
  if (status == MLIRAGE_OK) {
    // Signals of the program are for its own threads.
    sigset_t all, previous;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &previous);
    pthread_t handle;
    if (pthread_create(&handle, &attributes, start_thread, thread) != 0) {
      status = MLIRAGE_IO;
    } else {
      thread->handle = (uintptr_t)handle;
      thread->process = (long)getpid();
    }
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
  }
  pthread_attr_destroy(&attributes);
  return status;
}

void mlirage_platform_thread_join(const mlirage_thread_t* thread) {
  if (mlirage_platform_thread_is_here(thread)) pthread_join((pthread_t)thread->handle, NULL);
}

void mlirage_platform_thread_detach(const mlirage_thread_t* thread) {
  if (mlirage_platform_thread_is_here(thread)) pthread_detach((pthread_t)thread->handle);
}

bool mlirage_platform_thread_is_current(const mlirage_thread_t* thread) {
  return pthread_equal((pthread_t)thread->handle, pthread_self()) != 0 && mlirage_platform_thread_is_here(thread);
}

bool mlirage_platform_thread_is_here(const mlirage_thread_t* thread) { return thread->process == (long)getpid(); }

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

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

// A thread is made with the cores of the one that makes it: |core| alone, from here to unpin.
// (Attributes that say so are not in every C library.)
#if defined(__linux__)
typedef cpu_set_t cores_t;
static mlirage_status_t pin(uint32_t core, cores_t* out_previous) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(*out_previous), out_previous) != 0) return MLIRAGE_IO;
  if (core >= CPU_SETSIZE || !CPU_ISSET(core, out_previous)) return MLIRAGE_NOT_FOUND;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  return sched_setaffinity(0, sizeof(set), &set) == 0 ? MLIRAGE_OK : MLIRAGE_IO;
}
static void unpin(const cores_t* previous) {
  // This fails only if all those cores have been taken from the process meanwhile; the system has then chosen others.
  (void)sched_setaffinity(0, sizeof(*previous), previous);
}
#else
typedef int cores_t;
static mlirage_status_t pin(uint32_t core, cores_t* out_previous) {
  (void)core, (void)out_previous;
  return MLIRAGE_UNSUPPORTED;
}
static void unpin(const cores_t* previous) { (void)previous; }
#endif

mlirage_status_t mlirage_platform_thread_create(void (*call)(void* argument), void* argument, const char* name,
                                                uint32_t core, mlirage_thread_t* thread) {
  *thread = (mlirage_thread_t){.call = call, .argument = argument};
  for (size_t i = 0; i + 1 < sizeof(thread->name) && name[i] != '\0'; ++i) thread->name[i] = name[i];
  cores_t cores;
  if (core != MLIRAGE_ANY_CORE) MLIRAGE_TRY(pin(core, &cores));
  // Signals of the program are for its own threads.
  sigset_t all, previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  pthread_t handle;
  mlirage_status_t status = MLIRAGE_OK;
  if (pthread_create(&handle, NULL, start_thread, thread) != 0) {
    status = MLIRAGE_IO;
  } else {
    thread->handle = (uintptr_t)handle;
    thread->process = (long)getpid();
  }
  pthread_sigmask(SIG_SETMASK, &previous, NULL);
  if (core != MLIRAGE_ANY_CORE) unpin(&cores);
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

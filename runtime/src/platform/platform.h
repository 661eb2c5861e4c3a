// What the runtime asks of an operating system, and nothing else: implemented by the
// other files of this folder, one per system, chosen by the build; none.c is for bare
// metal. The rest of the runtime holds no #ifdef for systems.
#ifndef MLIRAGE_PLATFORM_PLATFORM_H_
#define MLIRAGE_PLATFORM_PLATFORM_H_

#include "mlirage/base.h"

//===--- Time and waiting (wait_*.c) --------------------------------------------===

// Nanoseconds of a steady clock; 0 always where there is none.
uint64_t mlirage_platform_now_ns(void);
// Sleeps while |*word| == |expected|, until woken or |timeout_ns| passed (UINT64_MAX: no
// limit). May return early: callers loop. False where nothing can sleep: nobody else is
// there who would change the word.
bool mlirage_platform_wait(uint32_t* word, uint32_t expected, uint64_t timeout_ns);
// Wakes |count| threads that sleep on |word|.
void mlirage_platform_wake(uint32_t* word, uint32_t count);

// Tells the core that the caller is looking at memory in a loop.
static inline void mlirage_platform_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

// A lock of 4 bytes; zero-initialized is free.
typedef struct mlirage_lock_t {
  uint32_t state;  // 0 free, 1 held, 2 held and somebody sleeps
} mlirage_lock_t;
void mlirage_lock_acquire(mlirage_lock_t* lock);
bool mlirage_lock_try_acquire(mlirage_lock_t* lock);
void mlirage_lock_release(mlirage_lock_t* lock);

//===--- Pages of executables (pages_*.c) ---------------------------------------===

size_t mlirage_platform_page_size(void);
// |size| (a multiple of the page size) zeroed, readable and writable bytes.
MLIRAGE_MUST_USE mlirage_status_t mlirage_platform_pages_allocate(size_t size, void** out_pages);
typedef enum mlirage_page_access_t { MLIRAGE_PAGE_READ, MLIRAGE_PAGE_EXECUTE } mlirage_page_access_t;
// Takes the right to write away for good; what becomes executable may be executed on return.
MLIRAGE_MUST_USE mlirage_status_t mlirage_platform_pages_protect(void* pages, size_t size,
                                                                 mlirage_page_access_t access);
void mlirage_platform_pages_free(void* pages, size_t size);

//===--- Threads (threads_*.c) --------------------------------------------------===

typedef struct mlirage_thread_t {
  uintptr_t handle;
  long process;  // that it belongs to: forked processes do not have it
  void (*call)(void* argument);
  void* argument;
  char name[16];
} mlirage_thread_t;
#define MLIRAGE_ANY_CORE UINT32_MAX
// |*thread| stays where it is while the thread runs. |call| runs on a new thread with |argument|, on |core| alone or
// wherever the system puts it; |name| (15 characters) is for debuggers. NOT_FOUND: no such core for this process.
// Systems that cannot pin threads: UNSUPPORTED.
MLIRAGE_MUST_USE mlirage_status_t mlirage_platform_thread_create(void (*call)(void* argument), void* argument,
                                                                 const char* name, uint32_t core,
                                                                 mlirage_thread_t* thread);
// Returns at once in a process forked after the thread was made.
void mlirage_platform_thread_join(const mlirage_thread_t* thread);
// Instead of joining: what the thread had is freed when it ends.
void mlirage_platform_thread_detach(const mlirage_thread_t* thread);
bool mlirage_platform_thread_is_current(const mlirage_thread_t* thread);
// False in a process forked after the thread was made.
bool mlirage_platform_thread_is_here(const mlirage_thread_t* thread);
// Cores that this process may use.
uint32_t mlirage_platform_core_count(void);

//===--- Files and system libraries (files_*.c) ---------------------------------===

// The whole file |path|, read-only.
MLIRAGE_MUST_USE mlirage_status_t mlirage_platform_file_map(const char* path, mlirage_bytes_t* out_contents,
                                                            mlirage_error_t* error);
void mlirage_platform_file_unmap(mlirage_bytes_t contents);

// Files to read and write at any place. Those for writing are created if they are not there.
MLIRAGE_MUST_USE mlirage_status_t mlirage_platform_file_open(const char* path, bool writable, int* out_descriptor,
                                                             mlirage_error_t* error);
MLIRAGE_MUST_USE mlirage_status_t mlirage_platform_file_duplicate(int descriptor, int* out_descriptor,
                                                                  mlirage_error_t* error);
void mlirage_platform_file_close(int descriptor);
MLIRAGE_MUST_USE mlirage_status_t mlirage_platform_file_length(int descriptor, uint64_t* out_length,
                                                               mlirage_error_t* error);
// All of |length| bytes, or a failure.
MLIRAGE_MUST_USE mlirage_status_t mlirage_platform_file_read(int descriptor, uint64_t offset, void* memory,
                                                             size_t length, mlirage_error_t* error);
MLIRAGE_MUST_USE mlirage_status_t mlirage_platform_file_write(int descriptor, uint64_t offset, const void* memory,
                                                              size_t length, mlirage_error_t* error);

// Loads a shared library from memory, or from |path| if |data| is empty.
MLIRAGE_MUST_USE mlirage_status_t mlirage_platform_library_open(mlirage_bytes_t data, const char* path,
                                                                void** out_library, mlirage_error_t* error);
void* mlirage_platform_library_symbol(void* library, const char* name);
void mlirage_platform_library_close(void* library);

#endif  // MLIRAGE_PLATFORM_PLATFORM_H_

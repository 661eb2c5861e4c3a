#if defined(__unix__) || defined(__APPLE__)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/platform.h"

mlirage_status_t mlirage_platform_file_map(const char* path, mlirage_bytes_t* out_contents, mlirage_error_t* error) {
  *out_contents = (mlirage_bytes_t){NULL, 0};
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return mlirage_fail(error, errno == ENOENT ? MLIRAGE_NOT_FOUND : MLIRAGE_IO, "cannot open '%s': %s", path,
                        strerror(errno));
  }
  mlirage_status_t status = MLIRAGE_OK;
  struct stat information;
  if (fstat(file, &information) != 0) {
    status = mlirage_fail(error, MLIRAGE_IO, "cannot read '%s': %s", path, strerror(errno));
  } else if (!S_ISREG(information.st_mode)) {
    status = mlirage_fail(error, MLIRAGE_IO, "'%s' is not a regular file", path);
  } else if (information.st_size > 0) {
    const size_t size = (size_t)information.st_size;
    // Copy on write: a program that writes to its constants changes pages of its own, and does not crash.
    void* contents = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    if (contents == MAP_FAILED) {
      status = mlirage_fail(error, MLIRAGE_IO, "cannot map '%s': %s", path, strerror(errno));
    } else {
      *out_contents = (mlirage_bytes_t){contents, size};
    }
  }
  close(file);
  return status;
}

void mlirage_platform_file_unmap(mlirage_bytes_t contents) {
  // munmap takes a pointer to non-const although it writes nothing.
  if (contents.data != NULL) munmap((void*)(uintptr_t)contents.data, contents.size);
}

mlirage_status_t mlirage_platform_file_open(const char* path, bool writable, int* out_descriptor,
                                            mlirage_error_t* error) {
  const int flags = writable ? O_RDWR | O_CREAT | O_CLOEXEC : O_RDONLY | O_CLOEXEC;
  *out_descriptor = open(path, flags, 0666);
  if (*out_descriptor >= 0) return MLIRAGE_OK;
  return mlirage_fail(error, errno == ENOENT ? MLIRAGE_NOT_FOUND : MLIRAGE_IO, "cannot open '%s': %s", path,
                      strerror(errno));
}

mlirage_status_t mlirage_platform_file_duplicate(int descriptor, int* out_descriptor, mlirage_error_t* error) {
  *out_descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (*out_descriptor >= 0) return MLIRAGE_OK;
  return mlirage_fail(error, MLIRAGE_IO, "cannot duplicate file descriptor %d: %s", descriptor, strerror(errno));
}

void mlirage_platform_file_close(int descriptor) { close(descriptor); }

mlirage_status_t mlirage_platform_file_length(int descriptor, uint64_t* out_length, mlirage_error_t* error) {
  *out_length = 0;
  struct stat information;
  if (fstat(descriptor, &information) != 0) {
    return mlirage_fail(error, MLIRAGE_IO, "cannot get the length of a file: %s", strerror(errno));
  }
  *out_length = (uint64_t)information.st_size;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_platform_file_read(int descriptor, uint64_t offset, void* memory, size_t length,
                                            mlirage_error_t* error) {
  for (size_t done = 0; done < length;) {
    const ssize_t count = pread(descriptor, (uint8_t*)memory + done, length - done, (off_t)(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return mlirage_fail(error, MLIRAGE_IO, "cannot read from a file: %s", strerror(errno));
    if (count == 0) {
      return mlirage_fail(error, MLIRAGE_IO, "the file ends after %zu of %zu bytes at %llu", done, length,
                          (unsigned long long)offset);
    }
    done += (size_t)count;
  }
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_platform_file_write(int descriptor, uint64_t offset, const void* memory, size_t length,
                                             mlirage_error_t* error) {
  for (size_t done = 0; done < length;) {
    const ssize_t count = pwrite(descriptor, (const uint8_t*)memory + done, length - done, (off_t)(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return mlirage_fail(error, MLIRAGE_IO, "cannot write to a file: %s", strerror(errno));
    done += (size_t)count;
  }
  return MLIRAGE_OK;
}

// dlopen reads files only: what is in memory goes through a file that has no name
// anymore once the library is loaded.
static mlirage_status_t open_memory(mlirage_bytes_t data, void** out_library, mlirage_error_t* error) {
  char path[] = "/tmp/mlirage-XXXXXX";
  const int file = mkstemp(path);
  if (file < 0) return mlirage_fail(error, MLIRAGE_IO, "cannot create a temporary file: %s", strerror(errno));
  mlirage_status_t status = MLIRAGE_OK;
  for (size_t done = 0; done < data.size;) {
    const ssize_t written = write(file, data.data + done, data.size - done);
    if (written <= 0) {
      status = mlirage_fail(error, MLIRAGE_IO, "cannot write '%s': %s", path, strerror(errno));
      break;
    }
    done += (size_t)written;
  }
  close(file);
  if (status == MLIRAGE_OK) {
    *out_library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (*out_library == NULL) status = mlirage_fail(error, MLIRAGE_INVALID_MODULE, "%s", dlerror());
  }
  unlink(path);
  return status;
}

mlirage_status_t mlirage_platform_library_open(mlirage_bytes_t data, const char* path, void** out_library,
                                               mlirage_error_t* error) {
  *out_library = NULL;
  if (data.size != 0) return open_memory(data, out_library, error);
  *out_library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  return *out_library != NULL ? MLIRAGE_OK : mlirage_fail(error, MLIRAGE_NOT_FOUND, "%s", dlerror());
}

void* mlirage_platform_library_symbol(void* library, const char* name) { return dlsym(library, name); }

void mlirage_platform_library_close(void* library) {
  if (library != NULL) dlclose(library);
}
#else
typedef int mlirage_files_posix_is_empty_t;
#endif

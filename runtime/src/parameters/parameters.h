// The index of parameters: archives (a file, or one piece of memory) with their entries.
#ifndef MLIRAGE_PARAMETERS_PARAMETERS_H_
#define MLIRAGE_PARAMETERS_PARAMETERS_H_

#include "mlirage/parameters.h"

typedef struct mlirage_parameter_t {
  mlirage_string_t key;  // in the archive's text or memory
  size_t offset;         // in the archive's memory
  size_t length;
  size_t pattern_length;  // not 0: that many bytes at |offset| are repeated
} mlirage_parameter_t;

// Longer names are refused: every comparison of keys is short.
#define MLIRAGE_PARAMETERS_MAX_KEY_SIZE 65535u
// In formats without metadata of the whole file: the data of this key names the program.
#define MLIRAGE_PARAMETERS_PROGRAM_KEY "__mlirage.program"

// Buffers over its memory keep an archive alive. The owner of its memory is told last.
typedef struct mlirage_archive_t {
  mlirage_object_t object;
  struct mlirage_archive_t* next;
  mlirage_allocator_t allocator;
  mlirage_string_t scope;    // all texts lie in |text|
  mlirage_string_t name;     // of the file; empty: memory
  mlirage_string_t program;  // that the file was written for; empty: not told
  mlirage_mutable_bytes_t memory;
  mlirage_release_callback_t release;
  char* text;
  size_t text_size;
  size_t text_capacity;
  mlirage_parameter_t* entries;  // sorted by key
  size_t count;
  size_t capacity;
  bool copied;  // never used in place
} mlirage_archive_t;

// An archive without entries that does not own |memory| yet: set |release| when nothing
// can fail anymore. |text_size| is room for keys.
MLIRAGE_MUST_USE mlirage_status_t mlirage_archive_create(mlirage_allocator_t allocator, mlirage_string_t scope,
                                                         mlirage_string_t name, size_t text_size,
                                                         mlirage_mutable_bytes_t memory,
                                                         mlirage_archive_t** out_archive, mlirage_error_t* error);
// Adds an entry whose key lies in the archive's text.
MLIRAGE_MUST_USE mlirage_status_t mlirage_archive_add(mlirage_archive_t* archive, mlirage_parameter_t entry,
                                                      mlirage_error_t* error);

// Sorts the entries by key; fails if two have the same.
MLIRAGE_MUST_USE mlirage_status_t mlirage_archive_index(mlirage_archive_t* archive, mlirage_error_t* error);

// Sorts |entries| in place; at most n·log n comparisons whatever a file says.
void mlirage_parameters_sort(mlirage_parameter_t* entries, size_t count,
                             int (*compare)(const mlirage_parameter_t* a, const mlirage_parameter_t* b));
int mlirage_parameters_compare_keys(const mlirage_parameter_t* a, const mlirage_parameter_t* b);

// Fills |archive| with what its memory says, a file of any format that is known; |archive|
// has room for a text of mlirage_archive_text_size bytes.
MLIRAGE_MUST_USE mlirage_status_t mlirage_archive_parse(mlirage_archive_t* archive, mlirage_parameters_flags_t flags,
                                                        mlirage_error_t* error);
size_t mlirage_archive_text_size(mlirage_bytes_t file);

// The formats: whether |file| starts as one, and parsing it.
bool mlirage_irpa_is(mlirage_bytes_t file);
MLIRAGE_MUST_USE mlirage_status_t mlirage_irpa_parse(mlirage_archive_t* archive, mlirage_error_t* error);
bool mlirage_gguf_is(mlirage_bytes_t file);
MLIRAGE_MUST_USE mlirage_status_t mlirage_gguf_parse(mlirage_archive_t* archive, mlirage_error_t* error);
// Bytes of the header of a safetensors file; 0 if it cannot be one.
size_t mlirage_safetensors_header_size(mlirage_bytes_t file);
// Fills |archive|, which has room for a text of the header's size, with what the safetensors file that is its memory
// says.
MLIRAGE_MUST_USE mlirage_status_t mlirage_safetensors_parse(mlirage_archive_t* archive,
                                                            mlirage_parameters_flags_t flags, mlirage_error_t* error);

#endif  // MLIRAGE_PARAMETERS_PARAMETERS_H_

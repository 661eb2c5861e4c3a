// {TITLE}
//
//   static unsigned char memory[{MEMORY_EXAMPLE}];
//   model_t model;
//   if (model_init(&model, memory, sizeof(memory)) != MODEL_OK) …
//   model_{EXAMPLE}(&model, …);
//
// No library is needed; everything the program allocates comes from the memory given to
// model_init. Functions return MODEL_OK or why they failed; model.message says more.
// An instance is used by one thread at a time; there may be any number of instances.
#ifndef MODEL_H_
#define MODEL_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  MODEL_OK = 0,
  MODEL_INVALID_ARGUMENT = 1,  // an array of another type or shape
  MODEL_OUT_OF_MEMORY = 2,     // of the memory given to model_init
  MODEL_OUT_OF_RANGE = 5,      // the room for a result is too small; an access outside of its memory
  MODEL_ABORTED = 8,           // the program itself failed
  MODEL_DIVISION_BY_ZERO = 12
};

#define MODEL_MAX_RANK {MAX_RANK}
{MEMORY}
typedef struct model_block_t model_block_t;

// An array, row-major without gaps. As a result: with |data| and |size| (bytes) of the
// caller's memory it is written there; with |data| NULL it gets memory of the program,
// to be given back with model_release.
typedef struct model_array_t {
  void* data;
  size_t size;
  uint32_t element_type;  // kind << 24 | bits: 0x05000020 is float, 0x03000040 int64_t
  uint32_t rank;
  size_t shape[MODEL_MAX_RANK];
  model_block_t* owner;  // the program's
} model_array_t;

// The program's own.
typedef struct model_ref_t {
  uint8_t* data;
  size_t length;
  size_t writable;
  model_block_t* owner;
  const model_array_t* view;
} model_ref_t;

// An instance: the program's state.
typedef struct model_t {
  const char* message;  // of the last failure
  void* memory;
  size_t memory_size;
{GLOBALS}} model_t;

// Starts an instance over |memory|, which it uses until it is no longer called. Sets
// the program's variables; may be called again to start anew.
int model_init(model_t* self, void* memory, size_t memory_size);
// Gives back the memory of a result that was asked for with |data| NULL.
void model_release(model_t* self, model_array_t* array);

{ENTRIES}
#ifdef __cplusplus
}
#endif
#endif  // MODEL_H_

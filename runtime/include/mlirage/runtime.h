// The runtime in one header for programs that run compiled models: a device by name, a
// session over a module, calls with arrays. See samples/hello.c.
//
//   mlirage_device_t* device;      mlirage_device_create("local-task", NULL, &device, &error);
//   mlirage_session_t* session;    mlirage_session_load_file(device, "model.mlirage", NULL, &session,
//                                                            &error);
//   mlirage_function_t function;   mlirage_session_lookup(session, "main", &function, &error);
//   mlirage_session_call(session, &function, 1, &argument, 1, &result, &error);
//
// There is no instance object and no state outside of what is created here: a device is
// the root of everything made with it. Beneath lie hal.h, vm.h and module.h, which may
// be used beside this.
//
// Thread safety: devices are shared freely. A session runs one call at a time; others
// wait for it. Several sessions over one module and device run side by side.
#ifndef MLIRAGE_RUNTIME_H_
#define MLIRAGE_RUNTIME_H_

#include "mlirage/base.h"
#include "mlirage/hal.h"
#include "mlirage/module.h"
#include "mlirage/parameters.h"
#include "mlirage/vm.h"

MLIRAGE_API_BEGIN
#ifdef __cplusplus
extern "C" {
#endif

//===--------------------------------------------------------------------------===
// Devices by name
//===--------------------------------------------------------------------------===

// The drivers of this build, best first: "local-task", "local-sync", "null". NULL at
// the end.
const char* const* mlirage_driver_names(void);

// Creates the device |name|. |options| may be NULL: the system's allocator, the loaders of this
// build, all cores. Options without loaders get those of this build, too. Any number of devices
// may live side by side.
MLIRAGE_MUST_USE mlirage_status_t mlirage_device_create(const char* name, const mlirage_device_options_t* options,
                                                        mlirage_device_t** out_device, mlirage_error_t* error);

//===--------------------------------------------------------------------------===
// Sessions: a module loaded on a device, with its state
//===--------------------------------------------------------------------------===

typedef struct mlirage_session_t mlirage_session_t;

// Verifies the module, loads its executables and constants on |device| (retained) and
// runs its initializer. |parameters| are the weights of a module that was compiled
// without them; NULL for others. They are borrowed: a session keeps the memory it uses.
// load_file maps the file; it must not change while the session lives.
MLIRAGE_MUST_USE mlirage_status_t mlirage_session_load_file(mlirage_device_t* device, const char* path,
                                                            mlirage_parameters_t* parameters,
                                                            mlirage_session_t** out_session, mlirage_error_t* error);
// |contents| stays valid until |release| is called by the session's end (or by a failed
// load, at once). Memory not aligned to MLIRAGE_MODULE_ALIGNMENT is copied.
MLIRAGE_MUST_USE mlirage_status_t mlirage_session_load_memory(mlirage_device_t* device,
                                                              mlirage_mutable_bytes_t contents,
                                                              mlirage_release_callback_t release,
                                                              mlirage_parameters_t* parameters,
                                                              mlirage_session_t** out_session, mlirage_error_t* error);
// A session of its own, with fresh state, over |module| (retained).
MLIRAGE_MUST_USE mlirage_status_t mlirage_session_create(mlirage_device_t* device, mlirage_module_t* module,
                                                         mlirage_parameters_t* parameters,
                                                         mlirage_session_t** out_session, mlirage_error_t* error);

// What a session can have beside the runtime's own modules. Zero-initialize; NULL for none.
typedef struct mlirage_session_links_t {
  // Modules that |module| imports from, in any order (retained); they run on the same device,
  // with the same parameters, and have a state of their own in each session.
  size_t library_count;
  mlirage_module_t* const* libraries;
  // Functions of the host (copied; what they point at outlives the session).
  size_t native_module_count;
  const mlirage_vm_native_module_t* native_modules;
  // Bounds, tracing, stack: vm.h.
  mlirage_vm_options_t vm;
} mlirage_session_links_t;

// As mlirage_session_create, linked with more.
MLIRAGE_MUST_USE mlirage_status_t mlirage_session_create_linked(mlirage_device_t* device, mlirage_module_t* module,
                                                                const mlirage_session_links_t* links,
                                                                mlirage_parameters_t* parameters,
                                                                mlirage_session_t** out_session,
                                                                mlirage_error_t* error);
// Makes the call in progress, if there is one, fail with CANCELLED at its next backward jump
// or call; from any thread. Work that a device does already is not interrupted.
void mlirage_session_cancel(mlirage_session_t* session);
// Puts the modules back into the state that they had when they were loaded; |parameters| as
// then. If that fails the session is of no more use than to be released. No call may run.
MLIRAGE_MUST_USE mlirage_status_t mlirage_session_reset(mlirage_session_t* session, mlirage_parameters_t* parameters,
                                                        mlirage_error_t* error);
void mlirage_session_release(mlirage_session_t* session);  // no call may be running; NULL is ignored

mlirage_device_t* mlirage_session_device(const mlirage_session_t* session);  // borrowed
mlirage_module_t* mlirage_session_module(const mlirage_session_t* session);  // borrowed

// Adds the safetensors file |path|, mapped: it must not change while its parameters are
// used. Programs that write to them change pages of their own.
MLIRAGE_MUST_USE mlirage_status_t mlirage_parameters_add_file(mlirage_parameters_t* parameters, const char* scope,
                                                              const char* path, mlirage_parameters_flags_t flags,
                                                              mlirage_error_t* error);

//===--------------------------------------------------------------------------===
// Functions and calls
//===--------------------------------------------------------------------------===

// A public function. Plain data; valid as long as the session.
typedef struct mlirage_function_t {
  const char* name;
  const char* convention;  // kinds of arguments and results (module.h)
  const char* signature;   // JSON: names, dtypes, shapes; "" if the module has none
  mlirage_vm_function_t handle;
  // Compiled with execution model async-external: the convention has two references more,
  // the fences of mlirage_session_call_async, at the end of the arguments.
  bool has_fences;
} mlirage_function_t;

size_t mlirage_session_function_count(const mlirage_session_t* session);  // without internal ones ("__init")
MLIRAGE_MUST_USE mlirage_status_t mlirage_session_function(const mlirage_session_t* session, size_t index,
                                                           mlirage_function_t* out_function, mlirage_error_t* error);
MLIRAGE_MUST_USE mlirage_status_t mlirage_session_lookup(const mlirage_session_t* session, const char* name,
                                                         mlirage_function_t* out_function, mlirage_error_t* error);

// An argument or result: kinds as in a calling convention.
typedef struct mlirage_value_t {
  char kind;  // 'r' view, 'i' i32, 'I' i64, 'f' f32, 'F' f64
  union {
    mlirage_buffer_view_t* view;
    int32_t i32;
    int64_t i64;
    float f32;
    double f64;
  } as;
} mlirage_value_t;

// Calls |function| and waits for its results. Arguments are borrowed; views in |results|
// belong to the caller. On failure every result is a NULL view.
MLIRAGE_MUST_USE mlirage_status_t mlirage_session_call(mlirage_session_t* session, const mlirage_function_t* function,
                                                       size_t argument_count, const mlirage_value_t* arguments,
                                                       size_t result_count, mlirage_value_t* results,
                                                       mlirage_error_t* error);

// Calls |function|, which has fences, and returns before the work is done where the device
// has a thread for it (local-task): the work starts when |wait| is signalled (NULL: at once)
// and signals |signal| when it is done, with its failure if it has one. Arrays in |results|
// may be given to further calls at once, and read when |signal| is signalled; arguments must
// stay as they are until then. A call that fails here fails |signal| too. What a program
// keeps from call to call is ordered by the fences alone.
MLIRAGE_MUST_USE mlirage_status_t mlirage_session_call_async(mlirage_session_t* session,
                                                             const mlirage_function_t* function, size_t argument_count,
                                                             const mlirage_value_t* arguments, mlirage_fence_t* wait,
                                                             mlirage_fence_t* signal, size_t result_count,
                                                             mlirage_value_t* results, mlirage_error_t* error);

//===--------------------------------------------------------------------------===
// Arrays from and to plain memory
//===--------------------------------------------------------------------------===

// A view of a new buffer with a copy of |data|.
MLIRAGE_MUST_USE mlirage_status_t mlirage_array_create(mlirage_device_t* device, mlirage_element_type_t element_type,
                                                       size_t rank, const size_t* shape, const void* data,
                                                       mlirage_buffer_view_t** out_view, mlirage_error_t* error);
// Copies the whole array out; |length| must be its byte length.
MLIRAGE_MUST_USE mlirage_status_t mlirage_array_read(const mlirage_buffer_view_t* view, void* out_data, size_t length,
                                                     mlirage_error_t* error);

#ifdef __cplusplus
}
#endif
MLIRAGE_API_END
#endif  // MLIRAGE_RUNTIME_H_

// Functions of a loaded module as Python calls them: arguments in, results out.
#ifndef MLIRAGE_RUNTIME_NATIVE_FUNCTION_H_
#define MLIRAGE_RUNTIME_NATIVE_FUNCTION_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "python.h"

namespace mlirage::python {

// Shared by a session and its functions; the last of them ends it.
struct SessionState {
  mlirage_session_t* session = nullptr;
  mlirage_device_t* device = nullptr;  // borrowed from the session
  std::shared_ptr<void> links;         // what it was linked with
  ~SessionState() { mlirage_session_release(session); }
};

constexpr int64_t ANY_EXTENT = -1;  // -2 - k: the extent named by symbol k

struct Argument {
  Ref name;  // str
  char kind;
  mlirage_element_type_t element_type;  // OPAQUE_8 if not told: the array's own
  std::vector<int64_t> shape;
  bool any_shape;
  Ref description;         // what `convert` is given
  bool is_output = false;  // memory that the call writes to
};

struct Result {
  char kind;
  Ref dtype;                   // numpy's; None: made from the element type
  std::ptrdiff_t output = -1;  // the argument that is the result's memory
};

struct FunctionState {
  std::shared_ptr<SessionState> session;
  mlirage_function_t function;
  std::vector<Argument> arguments;
  std::vector<Result> results;
  size_t symbol_count = 0;
  Ref convert;    // (value, description) -> (array or View, element type, wrap or None)
  Ref dtype_of;   // element type -> numpy dtype
  Ref flatten;    // (args, kwargs) -> list of arguments, or NULL
  Ref unflatten;  // (results tuple) -> what the source returned, or NULL
  Ref make_call;  // (fence, results, wrap, unflatten) -> what `start` gives
};

struct Function {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  FunctionState* state;
};

struct Views {
  std::vector<mlirage_value_t> values;
  std::vector<mlirage_fence_t*> fences;  // of arguments whose elements are not there yet; owned
  explicit Views(size_t count) : values(count, mlirage_value_t{'r', {nullptr}}) {}
  ~Views() {
    for (auto& value : values) {
      if (value.kind == 'r') mlirage_buffer_view_release(value.as.view);
    }
    for (mlirage_fence_t* fence : fences) mlirage_fence_release(fence);
  }
};

// arguments.cpp: |value| as argument number |index|; false with a Python exception set.
bool take_argument(const FunctionState& state, size_t index, PyObject* value, Views* views, Ref* wrap);
// Symbolic extents must agree among the arguments of a call.
bool check_symbols(const FunctionState& state, const Views& views);

// results.cpp: the tuple of results of a call with |args|; NULL with a Python exception set.
PyObject* make_results(const FunctionState& state, PyObject* const* args, const Views& arguments, const Views& results,
                       const Ref& wrap);

// async.cpp: calls without waiting; what `make_call` makes of it, or NULL with a Python exception set.
PyObject* start(const FunctionState& state, const Views& arguments, Views* results, const Ref& wrap);
// Waits for the arguments of a call that waits itself.
bool wait_for_arguments(const Views& arguments);
void define_fence(nb::module_& module);

extern PyType_Spec function_spec;
PyObject* function_call(PyObject* self, PyObject* const* args, size_t flagged_count, PyObject* names);
PyObject* function_start(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names);

}  // namespace mlirage::python
#endif  // MLIRAGE_RUNTIME_NATIVE_FUNCTION_H_

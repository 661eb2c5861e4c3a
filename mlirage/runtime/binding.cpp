// The Python face of the C runtime: devices, sessions, and functions that take and give
// arrays without copying. What is called for every inference is written against CPython
// directly (vectorcall, buffer protocol); everything else is nanobind, or Python in the
// files beside this one.
//
// Arguments: a numpy array of the right type and shape is imported in place; all others
// go through `convert` (arrays.py), which gives such an array or raises.
// Results: numpy arrays over the runtime's memory, which goes back to the device's pool
// when the last array over it is gone.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <structmember.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mlirage/runtime.h"

namespace nb = nanobind;

namespace {

//===----------------------------------------------------------------------===
// Errors
//===----------------------------------------------------------------------===

// Classes of mlirage.errors and numpy's array type, kept for the life of the module.
struct Python {
  PyObject* device_error = nullptr;
  PyObject* usage_error = nullptr;
  PyTypeObject* ndarray = nullptr;
  PyTypeObject* memory_type = nullptr;
  PyTypeObject* function_type = nullptr;
};

Python* g_python = nullptr;  // made once when the module is imported

void set_error(mlirage_status_t status, const mlirage_error_t& error) {
  PyObject* type = status == MLIRAGE_INVALID_ARGUMENT ? g_python->usage_error : g_python->device_error;
  PyErr_Format(type, "%s", error.text[0] != '\0' ? error.text : mlirage_status_name(status));
}

void check(mlirage_status_t status, const mlirage_error_t& error) {
  if (status == MLIRAGE_OK) return;
  set_error(status, error);
  throw nb::python_error();
}

// Owns a reference to a Python object.
struct Ref {
  PyObject* object;
  explicit Ref(PyObject* object = nullptr) : object(object) {}
  Ref(Ref&& other) noexcept : object(std::exchange(other.object, nullptr)) {}
  Ref& operator=(Ref&& other) noexcept {
    std::swap(object, other.object);
    return *this;
  }
  ~Ref() { Py_XDECREF(object); }
  PyObject* release() { return std::exchange(object, nullptr); }
  explicit operator bool() const { return object != nullptr; }
};

//===----------------------------------------------------------------------===
// Memory: a result's bytes for numpy
//===----------------------------------------------------------------------===

struct Memory {
  PyObject_HEAD
  mlirage_buffer_view_t* view;
  mlirage_mutable_bytes_t bytes;
};

uint64_t nothing = 0;  // what the memory of an empty array points to; never read or written

int memory_get_buffer(PyObject* self, Py_buffer* buffer, int flags) {
  auto* memory = reinterpret_cast<Memory*>(self);
  void* data = memory->bytes.data != nullptr ? static_cast<void*>(memory->bytes.data) : &nothing;
  return PyBuffer_FillInfo(buffer, self, data, static_cast<Py_ssize_t>(memory->bytes.size), 0, flags);
}

void memory_deallocate(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  mlirage_buffer_view_release(reinterpret_cast<Memory*>(self)->view);
  PyObject_Free(self);
  Py_DECREF(type);
}

PyType_Slot memory_slots[] = {
    {Py_bf_getbuffer, reinterpret_cast<void*>(memory_get_buffer)},
    {Py_tp_dealloc, reinterpret_cast<void*>(memory_deallocate)},
    {0, nullptr},
};
PyType_Spec memory_spec = {"mlirage.runtime._runtime.Memory", sizeof(Memory), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, memory_slots};

//===----------------------------------------------------------------------===
// Devices and sessions
//===----------------------------------------------------------------------===

struct Device {
  mlirage_device_t* device = nullptr;
  Device(const std::string& name, uint32_t threads) {
    mlirage_error_t error = {};
    check(mlirage_device_create(mlirage_allocator_system(), name.c_str(), threads, &device, &error), error);
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device() {
    nb::gil_scoped_release unlocked;  // joins the workers
    mlirage_device_release(device);
  }
};

// The memory of a Python object, kept by whoever uses it until drop_buffer.
Py_buffer* take_buffer(nb::handle object) {
  auto* buffer = new Py_buffer;
  if (PyObject_GetBuffer(object.ptr(), buffer, PyBUF_SIMPLE) != 0) {
    delete buffer;
    throw nb::python_error();
  }
  return buffer;
}

void drop_buffer(void* self, mlirage_mutable_bytes_t) {
  auto* held = static_cast<Py_buffer*>(self);
  if (nb::is_alive()) {
    PyGILState_STATE gil = PyGILState_Ensure();
    PyBuffer_Release(held);
    PyGILState_Release(gil);
  }
  delete held;
}

mlirage_mutable_bytes_t bytes_of(const Py_buffer& buffer) {
  return {static_cast<uint8_t*>(buffer.buf), static_cast<size_t>(buffer.len)};
}

struct Parameters {
  mlirage_parameters_t* parameters = nullptr;
  Parameters() { check(mlirage_parameters_create(mlirage_allocator_system(), &parameters), {}); }
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;
  ~Parameters() { mlirage_parameters_release(parameters); }

  void add_file(const std::string& scope, const std::string& path) {
    mlirage_error_t error = {};
    check(mlirage_parameters_add_file(parameters, scope.c_str(), path.c_str(), MLIRAGE_PARAMETERS_DEFAULT, &error),
          error);
  }
  void add_contents(const std::string& scope, nb::handle contents) {
    Py_buffer* buffer = take_buffer(contents);
    mlirage_error_t error = {};
    const mlirage_status_t status = mlirage_parameters_add_safetensors(
        parameters, {scope.data(), scope.size()}, mlirage_string("memory"), bytes_of(*buffer), {drop_buffer, buffer},
        MLIRAGE_PARAMETERS_DEFAULT, &error);
    if (status != MLIRAGE_OK) drop_buffer(buffer, {});
    check(status, error);
  }
  void add(const std::string& scope, const std::string& key, nb::handle array) {
    Py_buffer* buffer = take_buffer(array);
    mlirage_error_t error = {};
    const mlirage_status_t status =
        mlirage_parameters_add(parameters, {scope.data(), scope.size()}, {key.data(), key.size()}, bytes_of(*buffer),
                               {drop_buffer, buffer}, &error);
    if (status != MLIRAGE_OK) drop_buffer(buffer, {});
    check(status, error);
  }
};

// Shared by a session and its functions; the last of them ends it.
struct SessionState {
  mlirage_session_t* session = nullptr;
  mlirage_device_t* device = nullptr;  // borrowed from the session
  ~SessionState() { mlirage_session_release(session); }
};

void drop_object(void* self, mlirage_mutable_bytes_t) {
  if (!nb::is_alive()) return;
  PyGILState_STATE state = PyGILState_Ensure();
  Py_DECREF(static_cast<PyObject*>(self));
  PyGILState_Release(state);
}

//===----------------------------------------------------------------------===
// Functions
//===----------------------------------------------------------------------===

constexpr int64_t ANY_EXTENT = -1;  // -2 - k: the extent named by symbol k

struct Argument {
  Ref name;  // str
  char kind;
  mlirage_element_type_t element_type;  // OPAQUE_8 if not told: the array's own
  std::vector<int64_t> shape;
  bool any_shape;
  Ref description;  // what `convert` is given
};

struct Result {
  char kind;
  Ref dtype;  // numpy's; None: made from the element type
};

struct FunctionState {
  std::shared_ptr<SessionState> session;
  mlirage_function_t function;
  std::vector<Argument> arguments;
  std::vector<Result> results;
  size_t symbol_count = 0;
  Ref convert;    // (value, description) -> (array, wrap or None)
  Ref dtype_of;   // element type -> numpy dtype
  Ref flatten;    // (args, kwargs) -> list of arguments, or NULL
  Ref unflatten;  // (results tuple) -> what the source returned, or NULL
};

struct Function {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  FunctionState* state;
};

struct Views {
  std::vector<mlirage_value_t> values;
  explicit Views(size_t count) : values(count, mlirage_value_t{'r', {nullptr}}) {}
  ~Views() {
    for (auto& value : values) {
      if (value.kind == 'r') mlirage_buffer_view_release(value.as.view);
    }
  }
};

// The element type of a numpy buffer; 0 if it is none of ours.
mlirage_element_type_t element_type_of(const Py_buffer& buffer) {
  const char* format = buffer.format;
  const auto bits = static_cast<uint32_t>(buffer.itemsize * 8);
  if (format[0] == 'Z' && format[1] != '\0' && format[2] == '\0') return MLIRAGE_ELEMENT_TYPE(0x0C, bits);
  if (format[0] == '\0' || format[1] != '\0') return 0;
  switch (format[0]) {
    case '?': return MLIRAGE_ELEMENT_BOOL_8;
    case 'b':
    case 'h':
    case 'i':
    case 'l':
    case 'q': return MLIRAGE_ELEMENT_TYPE(0x03, bits);
    case 'B':
    case 'H':
    case 'I':
    case 'L':
    case 'Q': return MLIRAGE_ELEMENT_TYPE(0x04, bits);
    case 'e':
    case 'f':
    case 'd': return MLIRAGE_ELEMENT_TYPE(0x05, bits);
    default: return 0;
  }
}

size_t alignment_of(mlirage_element_type_t type) {
  const size_t bytes = mlirage_element_bits(type) / 8;
  return type >> 24 == 0x0C ? bytes / 2 : bytes;
}

bool extents_match(const Argument& argument, const Py_buffer& buffer) {
  if (argument.any_shape) return true;
  if (static_cast<size_t>(buffer.ndim) != argument.shape.size()) return false;
  for (size_t i = 0; i < argument.shape.size(); ++i) {
    if (argument.shape[i] >= 0 && argument.shape[i] != buffer.shape[i]) return false;
  }
  return true;
}

// Imports |array|, a contiguous numpy array that |buffer| describes.
bool import_array(const FunctionState& state, PyObject* array, const Py_buffer& buffer,
                  mlirage_element_type_t element_type, mlirage_value_t* out_value) {
  if (static_cast<size_t>(buffer.ndim) > MLIRAGE_MAX_RANK) {
    PyErr_Format(g_python->usage_error, "an array of rank %d is above the limit of %d", buffer.ndim, MLIRAGE_MAX_RANK);
    return false;
  }
  size_t shape[MLIRAGE_MAX_RANK];
  for (int i = 0; i < buffer.ndim; ++i) shape[i] = static_cast<size_t>(buffer.shape[i]);
  mlirage_error_t error;
  error.text[0] = '\0';
  const auto length = static_cast<size_t>(buffer.len);
  const mlirage_mutable_bytes_t memory = {static_cast<uint8_t*>(buffer.buf), length};
  Py_INCREF(array);
  mlirage_buffer_t* imported = nullptr;
  mlirage_status_t status =
      mlirage_buffer_import(state.session->device, memory, {drop_object, array}, &imported, &error);
  if (status == MLIRAGE_OK) {
    status = mlirage_buffer_view_create(imported, 0, length, element_type, static_cast<size_t>(buffer.ndim), shape,
                                        &out_value->as.view, &error);
    mlirage_buffer_release(imported);
  } else {
    Py_DECREF(array);
  }
  if (status != MLIRAGE_OK) set_error(status, error);
  return status == MLIRAGE_OK;
}

// Takes |value| as it is if it is a numpy array that fits. 1: done, 0: not so, -1: error.
int take_array(const FunctionState& state, const Argument& argument, PyObject* value, mlirage_value_t* out_value) {
  if (Py_TYPE(value) != g_python->ndarray) return 0;
  Py_buffer buffer;
  if (PyObject_GetBuffer(value, &buffer, PyBUF_FORMAT | PyBUF_STRIDES) != 0) {
    PyErr_Clear();  // types that the protocol lacks, as bfloat16: `convert` knows them
    return 0;
  }
  int taken = 0;
  const mlirage_element_type_t type = element_type_of(buffer);
  if (type != 0 && (argument.element_type == MLIRAGE_ELEMENT_OPAQUE_8 || argument.element_type == type) &&
      extents_match(argument, buffer) && PyBuffer_IsContiguous(&buffer, 'C') &&
      reinterpret_cast<uintptr_t>(buffer.buf) % alignment_of(type) == 0) {
    taken = import_array(state, value, buffer, type, out_value) ? 1 : -1;
  }
  PyBuffer_Release(&buffer);
  return taken;
}

// Everything else: `convert` makes an array, or raises.
bool convert_array(const FunctionState& state, const Argument& argument, PyObject* value, mlirage_value_t* out_value,
                   Ref* wrap) {
  PyObject* parameters[] = {value, argument.description.object};
  Ref pair(PyObject_Vectorcall(state.convert.object, parameters, 2, nullptr));
  if (!pair) return false;
  PyObject* array = nullptr;
  PyObject* wrapper = nullptr;
  unsigned element_type = 0;
  if (!PyArg_ParseTuple(pair.object, "OIO", &array, &element_type, &wrapper)) return false;
  Py_buffer buffer;
  if (PyObject_GetBuffer(array, &buffer, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) return false;
  const bool done = import_array(state, array, buffer, element_type, out_value);
  PyBuffer_Release(&buffer);
  if (done && wrapper != Py_None && !*wrap) *wrap = Ref(Py_NewRef(wrapper));
  return done;
}

bool take_scalar(const FunctionState& state, const Argument& argument, PyObject* value, mlirage_value_t* out_value) {
  out_value->kind = argument.kind;
  if (argument.kind == 'f' || argument.kind == 'F') {
    const double number = PyFloat_AsDouble(value);
    if (argument.kind == 'f') out_value->as.f32 = static_cast<float>(number);
    if (argument.kind == 'F') out_value->as.f64 = number;
  } else {
    Ref index(PyNumber_Index(value));
    const long long number = index ? PyLong_AsLongLong(index.object) : -1;
    if (index && argument.kind == 'i' && (number < INT32_MIN || number > INT32_MAX) && !PyErr_Occurred()) {
      PyErr_SetString(PyExc_OverflowError, "int32");
    }
    if (argument.kind == 'i') out_value->as.i32 = static_cast<int32_t>(number);
    if (argument.kind == 'I') out_value->as.i64 = number;
  }
  if (PyErr_Occurred() == nullptr) return true;
  PyErr_Clear();
  const char* wanted = argument.kind == 'i' ? "int32" : argument.kind == 'I' ? "int64" : "float";
  PyErr_Format(g_python->usage_error, "%s(): argument '%U' is to be a number of type %s, got %R", state.function.name,
               argument.name.object, wanted, value);
  return false;
}

// Symbolic extents must agree among the arguments of a call.
bool check_symbols(const FunctionState& state, const Views& views) {
  if (state.symbol_count == 0) return true;
  std::vector<std::pair<int64_t, size_t>> known(state.symbol_count, {-1, 0});
  for (size_t i = 0; i < state.arguments.size(); ++i) {
    const Argument& argument = state.arguments[i];
    if (argument.kind != 'r' || argument.any_shape) continue;
    const size_t* shape = mlirage_buffer_view_shape(views.values[i].as.view);
    for (size_t d = 0; d < argument.shape.size(); ++d) {
      if (argument.shape[d] > -2) continue;
      auto& symbol = known[static_cast<size_t>(-2 - argument.shape[d])];
      const auto extent = static_cast<int64_t>(shape[d]);
      if (symbol.first < 0) symbol = {extent, i};
      if (symbol.first == extent) continue;
      PyErr_Format(g_python->usage_error,
                   "%s(): dimension %zu of argument '%U' is %lld; argument '%U' has %lld for the same named dimension",
                   state.function.name, d, argument.name.object, static_cast<long long>(extent),
                   state.arguments[symbol.second].name.object, static_cast<long long>(symbol.first));
      return false;
    }
  }
  return true;
}

// Does |bytes| overlap the memory of an argument or an earlier result? Such a result is
// copied: arrays that were given must not change with those that were got.
bool is_shared(const mlirage_mutable_bytes_t& bytes, const Views& arguments, const Views& results, size_t index) {
  const auto overlaps = [&](const mlirage_value_t& value) {
    if (value.kind != 'r' || value.as.view == nullptr) return false;
    mlirage_mutable_bytes_t other = {};
    mlirage_buffer_t* buffer = mlirage_buffer_view_buffer(value.as.view);
    if (mlirage_buffer_map(buffer, MLIRAGE_MAP_READ, 0, mlirage_buffer_length(buffer), &other, nullptr) != MLIRAGE_OK) {
      return false;
    }
    return bytes.data < other.data + other.size && other.data < bytes.data + bytes.size;
  };
  for (const auto& value : arguments.values) {
    if (overlaps(value)) return true;
  }
  for (size_t i = 0; i < index; ++i) {
    if (overlaps(results.values[i])) return true;
  }
  return false;
}

PyObject* shape_tuple(const mlirage_buffer_view_t* view) {
  const size_t rank = mlirage_buffer_view_rank(view);
  const size_t* shape = mlirage_buffer_view_shape(view);
  Ref tuple(PyTuple_New(static_cast<Py_ssize_t>(rank)));
  for (size_t i = 0; tuple && i < rank; ++i) {
    PyObject* extent = PyLong_FromSize_t(shape[i]);
    if (extent == nullptr) return nullptr;
    PyTuple_SET_ITEM(tuple.object, static_cast<Py_ssize_t>(i), extent);
  }
  return tuple.release();
}

// A numpy array over the memory of |view|.
PyObject* make_array(const FunctionState& state, const Result& result, mlirage_buffer_view_t* view,
                     const Views& arguments, const Views& results, size_t index) {
  mlirage_error_t error;
  error.text[0] = '\0';
  mlirage_buffer_t* buffer = mlirage_buffer_view_buffer(view);
  mlirage_mutable_bytes_t bytes = {};
  const mlirage_status_t status =
      mlirage_buffer_map(buffer, MLIRAGE_MAP_WRITE, 0, mlirage_buffer_length(buffer), &bytes, &error);
  if (status != MLIRAGE_OK) {
    set_error(status, error);
    return nullptr;
  }
  Ref dtype(Py_NewRef(result.dtype.object));
  if (dtype.object == Py_None) {
    dtype = Ref(PyObject_CallFunction(state.dtype_of.object, "I", mlirage_buffer_view_element_type(view)));
    if (!dtype) return nullptr;
  }
  Ref shape(shape_tuple(view));
  Memory* memory = PyObject_New(Memory, g_python->memory_type);
  if (!shape || memory == nullptr) return nullptr;
  Ref memory_reference(reinterpret_cast<PyObject*>(memory));
  memory->view = view;
  memory->bytes = bytes;
  mlirage_buffer_view_retain(view);
  PyObject* parameters[] = {shape.object, dtype.object, memory_reference.object};
  Ref array(PyObject_Vectorcall(reinterpret_cast<PyObject*>(g_python->ndarray), parameters, 3, nullptr));
  if (array && is_shared(bytes, arguments, results, index)) {
    return PyObject_CallMethod(array.object, "copy", nullptr);
  }
  return array.release();
}

PyObject* make_results(const FunctionState& state, const Views& arguments, const Views& results, const Ref& wrap) {
  Ref tuple(PyTuple_New(static_cast<Py_ssize_t>(results.values.size())));
  for (size_t i = 0; tuple && i < results.values.size(); ++i) {
    const mlirage_value_t& value = results.values[i];
    Ref item;
    switch (value.kind) {
      case 'i': item = Ref(PyLong_FromLong(value.as.i32)); break;
      case 'I': item = Ref(PyLong_FromLongLong(value.as.i64)); break;
      case 'f': item = Ref(PyFloat_FromDouble(static_cast<double>(value.as.f32))); break;
      case 'F': item = Ref(PyFloat_FromDouble(value.as.f64)); break;
      default:
        item = Ref(make_array(state, state.results[i], value.as.view, arguments, results, i));
        if (item && wrap) item = Ref(PyObject_CallOneArg(wrap.object, item.object));
        break;
    }
    if (!item) return nullptr;
    PyTuple_SET_ITEM(tuple.object, static_cast<Py_ssize_t>(i), item.release());
  }
  return tuple.release();
}

PyObject* raise_count(const FunctionState& state, Py_ssize_t given) {
  Ref names(PyList_New(0));
  for (const auto& argument : state.arguments) {
    if (!names || PyList_Append(names.object, argument.name.object) != 0) return nullptr;
  }
  Ref comma(PyUnicode_FromString(", "));
  Ref list(comma ? PyUnicode_Join(comma.object, names.object) : nullptr);
  if (!list) return nullptr;
  PyErr_Format(g_python->usage_error, "%s() takes %zu argument%s (%U), got %zd", state.function.name,
               state.arguments.size(), state.arguments.size() == 1 ? "" : "s", list.object, given);
  return nullptr;
}

// Fills |ordered| with the arguments by position and by name.
bool order_arguments(const FunctionState& state, PyObject* const* args, size_t positional, PyObject* names,
                     std::vector<PyObject*>* ordered) {
  const auto named = static_cast<size_t>(PyTuple_GET_SIZE(names));
  ordered->assign(state.arguments.size(), nullptr);
  for (size_t i = 0; i < positional && i < ordered->size(); ++i) (*ordered)[i] = args[i];
  for (size_t k = 0; k < named; ++k) {
    PyObject* name = PyTuple_GET_ITEM(names, static_cast<Py_ssize_t>(k));
    size_t i = 0;
    while (i < ordered->size() && PyUnicode_Compare(state.arguments[i].name.object, name) != 0) ++i;
    if (i == ordered->size() || (*ordered)[i] != nullptr) {
      PyErr_Format(g_python->usage_error,
                   i == ordered->size() ? "%s() has no argument '%U'" : "%s() got argument '%U' twice",
                   state.function.name, name);
      return false;
    }
    (*ordered)[i] = args[positional + k];
  }
  for (size_t i = 0; i < ordered->size(); ++i) {
    if ((*ordered)[i] != nullptr) continue;
    PyErr_Format(g_python->usage_error, "%s() misses argument '%U'", state.function.name,
                 state.arguments[i].name.object);
    return false;
  }
  return true;
}

PyObject* call_flat(const FunctionState& state, PyObject* const* args) {
  const size_t count = state.arguments.size();
  Views arguments(count);
  Views results(state.results.size());
  Ref wrap;
  for (size_t i = 0; i < count; ++i) {
    const Argument& argument = state.arguments[i];
    mlirage_value_t* value = &arguments.values[i];
    if (argument.kind != 'r') {
      if (!take_scalar(state, argument, args[i], value)) return nullptr;
      continue;
    }
    const int taken = take_array(state, argument, args[i], value);
    if (taken < 0 || (taken == 0 && !convert_array(state, argument, args[i], value, &wrap))) return nullptr;
  }
  if (!check_symbols(state, arguments)) return nullptr;
  mlirage_error_t error;
  error.text[0] = '\0';
  PyThreadState* thread = PyEval_SaveThread();
  const mlirage_status_t status =
      mlirage_session_call(state.session->session, &state.function, count, arguments.values.data(),
                           results.values.size(), results.values.data(), &error);
  PyEval_RestoreThread(thread);
  if (status != MLIRAGE_OK) {
    set_error(status, error);
    return nullptr;
  }
  return make_results(state, arguments, results, wrap);
}

PyObject* call_tree(const FunctionState& state, PyObject* const* args, size_t positional, PyObject* names) {
  Ref tuple(PyTuple_New(static_cast<Py_ssize_t>(positional)));
  Ref dictionary(PyDict_New());
  if (!tuple || !dictionary) return nullptr;
  for (size_t i = 0; i < positional; ++i) {
    PyTuple_SET_ITEM(tuple.object, static_cast<Py_ssize_t>(i), Py_NewRef(args[i]));
  }
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  for (Py_ssize_t k = 0; k < named; ++k) {
    if (PyDict_SetItem(dictionary.object, PyTuple_GET_ITEM(names, k), args[positional + static_cast<size_t>(k)]) != 0) {
      return nullptr;
    }
  }
  Ref flat(PyObject_CallFunctionObjArgs(state.flatten.object, tuple.object, dictionary.object, nullptr));
  if (!flat) return nullptr;
  Ref list(PySequence_Fast(flat.object, "flatten gives a sequence"));
  if (!list) return nullptr;
  if (static_cast<size_t>(PySequence_Fast_GET_SIZE(list.object)) != state.arguments.size()) {
    return raise_count(state, PySequence_Fast_GET_SIZE(list.object));
  }
  return call_flat(state, PySequence_Fast_ITEMS(list.object));
}

PyObject* function_call(PyObject* self, PyObject* const* args, size_t flagged_count, PyObject* names) {
  const FunctionState& state = *reinterpret_cast<Function*>(self)->state;
  const auto positional = static_cast<size_t>(PyVectorcall_NARGS(flagged_count));
  const size_t named = names == nullptr ? 0 : static_cast<size_t>(PyTuple_GET_SIZE(names));
  PyObject* results = nullptr;
  if (state.flatten) {
    results = call_tree(state, args, positional, names);
  } else if (positional + named != state.arguments.size()) {
    return raise_count(state, static_cast<Py_ssize_t>(positional + named));
  } else if (named == 0) {
    results = call_flat(state, args);
  } else {
    std::vector<PyObject*> ordered;
    if (!order_arguments(state, args, positional, names, &ordered)) return nullptr;
    results = call_flat(state, ordered.data());
  }
  if (results == nullptr || !state.unflatten) return results;
  Ref flat(results);
  return PyObject_CallOneArg(state.unflatten.object, flat.object);
}

void function_deallocate(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<Function*>(self)->state;
  PyObject_Free(self);
  Py_DECREF(type);
}

PyObject* function_repr(PyObject* self) {
  return PyUnicode_FromFormat("<mlirage function %s>", reinterpret_cast<Function*>(self)->state->function.name);
}

PyObject* function_name(PyObject* self, void*) {
  return PyUnicode_FromString(reinterpret_cast<Function*>(self)->state->function.name);
}

PyMemberDef function_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Function, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
PyGetSetDef function_properties[] = {
    {"__name__", function_name, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyType_Slot function_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(function_deallocate)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_repr, reinterpret_cast<void*>(function_repr)},
    {Py_tp_members, function_members},
    {Py_tp_getset, function_properties},
    {Py_tp_doc, const_cast<char*>("A function of a loaded module: arrays in, a tuple of arrays out.")},
    {0, nullptr},
};
PyType_Spec function_spec = {"mlirage.runtime._runtime.Function", sizeof(Function), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                             function_slots};

//===----------------------------------------------------------------------===
// Sessions in Python
//===----------------------------------------------------------------------===

struct Session {
  std::shared_ptr<SessionState> state = std::make_shared<SessionState>();
  Ref main;  // called when the session is

  Session(const Device& device, const std::string& path, const Parameters& parameters) {
    mlirage_error_t error = {};
    mlirage_status_t status;
    {
      nb::gil_scoped_release unlocked;
      status = mlirage_session_load_file(device.device, path.c_str(), parameters.parameters, &state->session, &error);
    }
    check(status, error);
    state->device = mlirage_session_device(state->session);
  }

  Session(const Device& device, nb::handle contents, const Parameters& parameters) {
    // The buffer's owner is kept until the session is gone.
    Py_buffer* buffer = take_buffer(contents);
    mlirage_error_t error = {};
    mlirage_status_t status;
    {
      nb::gil_scoped_release unlocked;
      status = mlirage_session_load_memory(device.device, bytes_of(*buffer), {drop_buffer, buffer},
                                           parameters.parameters, &state->session, &error);
    }
    check(status, error);
    state->device = mlirage_session_device(state->session);
  }

  // Name, calling convention, signature text of each function.
  nb::list functions() const {
    nb::list list;
    const size_t count = mlirage_session_function_count(state->session);
    for (size_t i = 0; i < count; ++i) {
      mlirage_function_t function;
      mlirage_error_t error = {};
      check(mlirage_session_function(state->session, i, &function, &error), error);
      list.append(nb::make_tuple(function.name, function.convention, function.signature));
    }
    return list;
  }

  // |arguments|: (name, element type, shape or None, description); |results|: dtypes or None.
  nb::object function(const std::string& name, nb::list arguments, nb::list results, size_t symbol_count,
                      nb::object convert, nb::object dtype_of, nb::object flatten, nb::object unflatten) const {
    auto made = std::make_unique<FunctionState>();
    mlirage_error_t error = {};
    check(mlirage_session_lookup(state->session, name.c_str(), &made->function, &error), error);
    const char* kinds = made->function.convention;
    for (nb::handle item : arguments) {
      nb::tuple fields = nb::cast<nb::tuple>(item);
      Argument argument;
      argument.name = Ref(Py_NewRef(nb::object(fields[0]).ptr()));
      argument.kind = *kinds++;
      argument.element_type = nb::cast<uint32_t>(fields[1]);
      argument.any_shape = nb::object(fields[2]).is_none();
      if (!argument.any_shape) argument.shape = nb::cast<std::vector<int64_t>>(fields[2]);
      argument.description = Ref(Py_NewRef(nb::object(fields[3]).ptr()));
      made->arguments.push_back(std::move(argument));
    }
    ++kinds;  // '_'
    for (nb::handle dtype : results) made->results.push_back(Result{*kinds++, Ref(Py_NewRef(dtype.ptr()))});
    made->session = state;
    made->symbol_count = symbol_count;
    made->convert = Ref(convert.release().ptr());
    made->dtype_of = Ref(dtype_of.release().ptr());
    if (!flatten.is_none()) made->flatten = Ref(flatten.release().ptr());
    if (!unflatten.is_none()) made->unflatten = Ref(unflatten.release().ptr());
    Function* object = PyObject_New(Function, g_python->function_type);
    if (object == nullptr) throw nb::python_error();
    object->vectorcall = function_call;
    object->state = made.release();
    return nb::steal(reinterpret_cast<PyObject*>(object));
  }
};

PyObject* session_call(PyObject* self, PyObject* args, PyObject* names) {
  const Session* session = nb::inst_ptr<Session>(nb::handle(self));
  if (!session->main) {
    PyErr_SetString(g_python->usage_error,
                    "the module has several functions and no 'main': call one by name, "
                    "as in run['encode'](x)");
    return nullptr;
  }
  return PyVectorcall_Call(session->main.object, args, names);
}

PyType_Slot session_slots[] = {{Py_tp_call, reinterpret_cast<void*>(session_call)}, {0, nullptr}};

nb::dict statistics(const Device& device) {
  mlirage_device_statistics_t counters;
  mlirage_device_statistics(device.device, &counters);
  nb::dict result;
  result["allocations"] = counters.allocations;
  result["allocated_bytes"] = counters.allocated_bytes;
  result["live_bytes"] = counters.live_bytes;
  result["peak_bytes"] = counters.peak_bytes;
  result["pooled_bytes"] = counters.pooled_bytes;
  result["pool_hits"] = counters.pool_hits;
  result["imported_buffers"] = counters.imported_buffers;
  result["dispatches"] = counters.dispatches;
  result["workgroups"] = counters.workgroups;
  return result;
}

PyTypeObject* make_type(nb::module_& module, PyType_Spec* spec) {
  PyObject* type = PyType_FromModuleAndSpec(module.ptr(), spec, nullptr);
  if (type == nullptr) throw nb::python_error();
  return reinterpret_cast<PyTypeObject*>(type);
}

}  // namespace

NB_MODULE(_runtime, module) {
  module.doc() = "Binding of the C runtime; use mlirage.load and mlirage.runtime.";
  // Never freed: arrays over the runtime's memory may outlive the module object.
  g_python = new Python;
  nb::module_ errors = nb::module_::import_("mlirage.errors");
  g_python->device_error = nb::object(errors.attr("DeviceError")).release().ptr();
  g_python->usage_error = nb::object(errors.attr("UsageError")).release().ptr();
  nb::object ndarray = nb::module_::import_("numpy").attr("ndarray");
  g_python->ndarray = reinterpret_cast<PyTypeObject*>(ndarray.release().ptr());
  g_python->memory_type = make_type(module, &memory_spec);
  g_python->function_type = make_type(module, &function_spec);
  module.attr("Function") = nb::borrow(reinterpret_cast<PyObject*>(g_python->function_type));

  nb::class_<Device>(module, "Device", nb::is_weak_referenceable())
      .def(nb::init<const std::string&, uint32_t>(), nb::arg("name"), nb::arg("threads") = 0)
      .def_prop_ro("name", [](const Device& self) { return mlirage_device_name(self.device); })
      .def_prop_ro("threads", [](const Device& self) { return mlirage_device_worker_count(self.device); })
      .def("supports",
           [](const Device& self, const std::string& format) {
             return mlirage_device_supports(self.device, {format.data(), format.size()});
           })
      .def("trim", [](Device& self) { mlirage_device_trim(self.device); })
      .def_prop_ro("statistics", statistics);
  nb::class_<Parameters>(module, "Parameters")
      .def(nb::init<>())
      .def("add_file", &Parameters::add_file, nb::arg("scope"), nb::arg("path"))
      .def("add_contents", &Parameters::add_contents, nb::arg("scope"), nb::arg("contents"))
      .def("add", &Parameters::add, nb::arg("scope"), nb::arg("key"), nb::arg("array"));
  nb::class_<Session>(module, "Session", nb::type_slots(session_slots), nb::dynamic_attr())
      .def(nb::init<const Device&, const std::string&, const Parameters&>())
      .def(nb::init<const Device&, nb::handle, const Parameters&>())
      .def("set_main", [](Session& self, nb::object function) { self.main = Ref(function.release().ptr()); })
      .def("functions", &Session::functions)
      .def("function", &Session::function, nb::arg("name"), nb::arg("arguments"), nb::arg("results"),
           nb::arg("symbol_count"), nb::arg("convert"), nb::arg("dtype_of"), nb::arg("flatten").none(),
           nb::arg("unflatten").none());
  module.def("driver_names", [] {
    std::vector<std::string> names;
    for (const char* const* name = mlirage_driver_names(); *name != nullptr; ++name) names.emplace_back(*name);
    return names;
  });
}

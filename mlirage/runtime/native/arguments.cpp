// Arguments: a numpy array of the right type and shape is imported in place; all others
// go through `convert` (arrays.py), which gives such an array or raises.
#include "function.h"
#include "view.h"

namespace mlirage::python {

namespace {

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
  const int access = argument.is_output ? PyBUF_WRITABLE : 0;
  if (PyObject_GetBuffer(value, &buffer, PyBUF_FORMAT | PyBUF_STRIDES | access) != 0) {
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
                   Views* views, Ref* wrap) {
  PyObject* parameters[] = {value, argument.description.object};
  Ref pair(PyObject_Vectorcall(state.convert.object, parameters, 2, nullptr));
  if (!pair) return false;
  PyObject* array = nullptr;
  PyObject* wrapper = nullptr;
  unsigned element_type = 0;
  if (!PyArg_ParseTuple(pair.object, "OIO", &array, &element_type, &wrapper)) return false;
  bool done = true;
  if (nb::isinstance<View>(array)) {
    const View& view = nb::cast<const View&>(nb::handle(array));
    out_value->as.view = view.view;
    mlirage_buffer_view_retain(view.view);
    if (view.fence != nullptr) {
      views->fences.push_back(view.fence);
      mlirage_fence_retain(view.fence);
    }
  } else {
    Py_buffer buffer;
    if (PyObject_GetBuffer(array, &buffer, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) return false;
    done = import_array(state, array, buffer, element_type, out_value);
    PyBuffer_Release(&buffer);
  }
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

}  // namespace

bool take_argument(const FunctionState& state, size_t index, PyObject* value, Views* views, Ref* wrap) {
  const Argument& argument = state.arguments[index];
  mlirage_value_t* out_value = &views->values[index];
  if (argument.kind != 'r') return take_scalar(state, argument, value, out_value);
  const int taken = take_array(state, argument, value, out_value);
  return taken != 0 ? taken > 0 : convert_array(state, argument, value, out_value, views, wrap);
}

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

}  // namespace mlirage::python

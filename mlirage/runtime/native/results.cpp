// Results: numpy arrays over the runtime's memory, which goes back to the device's pool
// when the last array over it is gone.
#include "function.h"

namespace mlirage::python {

namespace {

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

}  // namespace

PyType_Spec memory_spec = {"mlirage.runtime._runtime.Memory", sizeof(Memory), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, memory_slots};

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

}  // namespace mlirage::python

// Results: numpy arrays over the runtime's memory, which goes back to the device's pool
// when the last array over it is gone.
#include "function.h"
#include "view.h"

namespace mlirage::python {

namespace {

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

// A numpy array over |bytes|, the memory of |view|.
Ref make_array(mlirage_buffer_view_t* view, mlirage_mutable_bytes_t bytes, const Ref& dtype, bool shared) {
  Ref shape(shape_tuple(view));
  Ref memory(make_memory(view, bytes, true));
  if (!shape || !memory) return Ref();
  PyObject* parameters[] = {shape.object, dtype.object, memory.object};
  Ref array(PyObject_Vectorcall(reinterpret_cast<PyObject*>(g_python->ndarray), parameters, 3, nullptr));
  if (array && shared) return Ref(PyObject_CallMethod(array.object, "copy", nullptr));
  return array;
}

// What |wrap|, of arrays.py, makes of |view|: an array of the caller's kind.
Ref wrap_array(const FunctionState& state, mlirage_buffer_view_t* view, mlirage_mutable_bytes_t bytes, const Ref& dtype,
               bool shared, const Ref& wrap) {
  if (shared) {
    mlirage_error_t error = {};
    const mlirage_status_t status = mlirage_array_create(state.session->device, mlirage_buffer_view_element_type(view),
                                                         mlirage_buffer_view_rank(view),
                                                         mlirage_buffer_view_shape(view), bytes.data, &view, &error);
    if (status != MLIRAGE_OK) {
      set_error(status, error);
      return Ref();
    }
  } else {
    mlirage_buffer_view_retain(view);
  }
  Ref object(nb::cast(View(view)).release().ptr());
  PyObject* parameters[] = {object.object, dtype.object};
  return Ref(PyObject_Vectorcall(wrap.object, parameters, 2, nullptr));
}

Ref make_result(const FunctionState& state, const Views& arguments, const Views& results, size_t index,
                const Ref& wrap) {
  mlirage_buffer_view_t* view = results.values[index].as.view;
  mlirage_error_t error;
  error.text[0] = '\0';
  mlirage_buffer_t* buffer = mlirage_buffer_view_buffer(view);
  mlirage_mutable_bytes_t bytes = {};
  const mlirage_status_t status =
      mlirage_buffer_map(buffer, MLIRAGE_MAP_WRITE, 0, mlirage_buffer_length(buffer), &bytes, &error);
  if (status != MLIRAGE_OK) {
    set_error(status, error);
    return Ref();
  }
  Ref dtype(Py_NewRef(state.results[index].dtype.object));
  if (dtype.object == Py_None) {
    dtype = Ref(PyObject_CallFunction(state.dtype_of.object, "I", mlirage_buffer_view_element_type(view)));
    if (!dtype) return Ref();
  }
  const bool shared = is_shared(bytes, arguments, results, index);
  return wrap ? wrap_array(state, view, bytes, dtype, shared, wrap) : make_array(view, bytes, dtype, shared);
}

}  // namespace

PyObject* make_results(const FunctionState& state, PyObject* const* args, const Views& arguments, const Views& results,
                       const Ref& wrap) {
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
        if (state.results[i].output >= 0) {
          item = Ref(Py_NewRef(args[state.results[i].output]));
        } else {
          item = make_result(state, arguments, results, i, wrap);
        }
        break;
    }
    if (!item) return nullptr;
    PyTuple_SET_ITEM(tuple.object, static_cast<Py_ssize_t>(i), item.release());
  }
  return tuple.release();
}

}  // namespace mlirage::python

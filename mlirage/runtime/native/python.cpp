#include "python.h"

namespace mlirage::python {

Python* g_python = nullptr;

void set_error(mlirage_status_t status, const mlirage_error_t& error) {
  PyObject* type = status == MLIRAGE_INVALID_ARGUMENT ? g_python->usage_error : g_python->device_error;
  PyErr_Format(type, "%s", error.text[0] != '\0' ? error.text : mlirage_status_name(status));
}

void check(mlirage_status_t status, const mlirage_error_t& error) {
  if (status == MLIRAGE_OK) return;
  set_error(status, error);
  throw nb::python_error();
}

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

void drop_object(void* self, mlirage_mutable_bytes_t) {
  if (!nb::is_alive()) return;
  PyGILState_STATE state = PyGILState_Ensure();
  Py_DECREF(static_cast<PyObject*>(self));
  PyGILState_Release(state);
}

PyTypeObject* make_type(nb::module_& module, PyType_Spec* spec) {
  PyObject* type = PyType_FromModuleAndSpec(module.ptr(), spec, nullptr);
  if (type == nullptr) throw nb::python_error();
  return reinterpret_cast<PyTypeObject*>(type);
}

}  // namespace mlirage::python

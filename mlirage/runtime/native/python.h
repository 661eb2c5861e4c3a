// What all files of the binding share: Python's classes, errors, references, memory.
#ifndef MLIRAGE_RUNTIME_NATIVE_PYTHON_H_
#define MLIRAGE_RUNTIME_NATIVE_PYTHON_H_

#include <nanobind/nanobind.h>

#include <utility>
#include <vector>

#include "mlirage/runtime.h"

namespace mlirage::python {

namespace nb = nanobind;

// Classes of mlirage.errors and numpy's array type, kept for the life of the module.
struct Python {
  PyObject* device_error = nullptr;
  PyObject* usage_error = nullptr;
  PyTypeObject* ndarray = nullptr;
  PyTypeObject* memory_type = nullptr;
  PyTypeObject* function_type = nullptr;
};

extern Python* g_python;  // made once when the module is imported

// Sets the Python exception of a failed |status|.
void set_error(mlirage_status_t status, const mlirage_error_t& error);
// Throws it.
void check(mlirage_status_t status, const mlirage_error_t& error);

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

// The memory of a Python object, kept by whoever uses it until drop_buffer.
Py_buffer* take_buffer(nb::handle object);
void drop_buffer(void* self, mlirage_mutable_bytes_t);
mlirage_mutable_bytes_t bytes_of(const Py_buffer& buffer);
// Gives back a reference to the Python object |self|.
void drop_object(void* self, mlirage_mutable_bytes_t);

PyTypeObject* make_type(nb::module_& module, PyType_Spec* spec);

}  // namespace mlirage::python
#endif  // MLIRAGE_RUNTIME_NATIVE_PYTHON_H_

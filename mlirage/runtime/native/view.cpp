// Arrays in a device's memory: their bytes for numpy, and DLPack for everybody else.
#include "view.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <vector>

namespace mlirage::python {

namespace {

struct Memory {
  PyObject_HEAD
  mlirage_buffer_view_t* view;
  mlirage_mutable_bytes_t bytes;
  bool writable;
};

int memory_get_buffer(PyObject* self, Py_buffer* buffer, int flags) {
  auto* memory = reinterpret_cast<Memory*>(self);
  void* data = memory->bytes.data != nullptr ? static_cast<void*>(memory->bytes.data) : no_memory();
  const auto size = static_cast<Py_ssize_t>(memory->bytes.size);
  return PyBuffer_FillInfo(buffer, self, data, size, memory->writable ? 0 : 1, flags);
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

uint64_t nothing = 0;

// (code of DLPack, bits) as arrays.py knows them for the element type.
nb::object dlpack(nb::handle self, uint8_t code, uint8_t bits, nb::dict options) {
  const View& view = nb::cast<const View&>(self);
  const mlirage_mutable_bytes_t bytes = map_view(view);
  const size_t rank = mlirage_buffer_view_rank(view.view);
  void* data = bytes.data != nullptr ? static_cast<void*>(bytes.data) : no_memory();
  nb::ndarray<nb::array_api> array(data, rank, mlirage_buffer_view_shape(view.view), self, nullptr,
                                   nb::dlpack::dtype{code, bits, 1}, nb::device::cpu::value, 0);
  return nb::cast(array, nb::rv_policy::reference).attr("__dlpack__")(**options);
}

nb::object memory(const View& view, bool writable) {
  PyObject* object = make_memory(view.view, map_view(view), writable);
  if (object == nullptr) throw nb::python_error();
  return nb::steal(object);
}

}  // namespace

PyType_Spec memory_spec = {"mlirage.runtime._runtime.Memory", sizeof(Memory), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, memory_slots};

void* no_memory() { return &nothing; }

bool wait_for(mlirage_fence_t* fence, uint64_t timeout_ns) {
  mlirage_error_t error = {};
  mlirage_status_t status = mlirage_fence_query(fence, &error);
  if (status == MLIRAGE_PENDING) {
    PyThreadState* thread = PyEval_SaveThread();
    status = mlirage_fence_wait(fence, timeout_ns, &error);
    PyEval_RestoreThread(thread);
  }
  if (status == MLIRAGE_DEADLINE_EXCEEDED) {
    PyErr_SetString(PyExc_TimeoutError, "the work is not done yet");
  } else if (status != MLIRAGE_OK) {
    set_error(status, error);
  }
  return status == MLIRAGE_OK;
}

mlirage_mutable_bytes_t map_view(const View& view) {
  if (!wait_for(view.fence, MLIRAGE_WAIT_FOREVER)) throw nb::python_error();
  mlirage_error_t error = {};
  mlirage_buffer_t* buffer = mlirage_buffer_view_buffer(view.view);
  mlirage_mutable_bytes_t bytes = {};
  check(mlirage_buffer_map(buffer, MLIRAGE_MAP_WRITE, 0, mlirage_buffer_length(buffer), &bytes, &error), error);
  return bytes;
}

PyObject* make_memory(mlirage_buffer_view_t* view, mlirage_mutable_bytes_t bytes, bool writable) {
  Memory* memory = PyObject_New(Memory, g_python->memory_type);
  if (memory == nullptr) return nullptr;
  memory->view = view;
  memory->bytes = bytes;
  memory->writable = writable;
  mlirage_buffer_view_retain(view);
  return reinterpret_cast<PyObject*>(memory);
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

void define_view(nb::module_& module) {
  nb::class_<View>(module, "View")
      .def_prop_ro("shape", [](const View& self) { return nb::steal(shape_tuple(self.view)); })
      .def_prop_ro("element_type", [](const View& self) { return mlirage_buffer_view_element_type(self.view); })
      .def("memory", memory, nb::arg("writable"))
      .def("dlpack", dlpack, nb::arg("code"), nb::arg("bits"), nb::arg("options"));
}

}  // namespace mlirage::python

// Calls that return before their work is done: their fences, and what is given back.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "function.h"
#include "view.h"

namespace mlirage::python {

namespace {

struct Fence {
  mlirage_fence_t* fence;
  explicit Fence(mlirage_fence_t* fence) : fence(fence) {}
  Fence(Fence&& other) noexcept : fence(std::exchange(other.fence, nullptr)) {}
  Fence(const Fence&) = delete;
  Fence& operator=(const Fence&) = delete;
  ~Fence() { mlirage_fence_release(fence); }
};

constexpr double NANOSECONDS = 1e9;

void fence_wait(const Fence& self, nb::object timeout) {
  uint64_t limit = MLIRAGE_WAIT_FOREVER;
  if (!timeout.is_none()) {
    const auto seconds = nb::cast<double>(timeout);
    if (seconds < 1e9) limit = seconds > 0 ? static_cast<uint64_t>(seconds * NANOSECONDS) : 0;
  }
  if (!wait_for(self.fence, limit)) throw nb::python_error();
}

// Writes a byte to |file| when the fence is signalled, and closes it: the GIL is not needed for it.
struct Bell {
  mlirage_fence_waiter_t waiter;
  int file;
};

void ring(mlirage_fence_waiter_t* waiter, mlirage_status_t) {
  auto* bell = reinterpret_cast<Bell*>(waiter);
  const char byte = 1;
  if (write(bell->file, &byte, 1) < 0) {
    // The reader is gone: nobody waits anymore.
  }
  close(bell->file);
  std::free(bell);
}

void fence_notify(const Fence& self, int file) {
  auto* bell = static_cast<Bell*>(std::malloc(sizeof(Bell)));
  if (bell == nullptr) throw std::bad_alloc();
  *bell = Bell{{nullptr, ring}, file};
  mlirage_fence_notify(self.fence, &bell->waiter);
}

}  // namespace

bool wait_for_arguments(const Views& arguments) {
  for (mlirage_fence_t* fence : arguments.fences) {
    if (!wait_for(fence, MLIRAGE_WAIT_FOREVER)) return false;
  }
  return true;
}

PyObject* start(const FunctionState& state, const Views& arguments, Views* results, const Ref& wrap) {
  if (!state.function.has_fences) {
    PyErr_Format(g_python->usage_error,
                 "%s() waits for its work: compile with execution_model='async-external' to start calls",
                 state.function.name);
    return nullptr;
  }
  mlirage_error_t error;
  error.text[0] = '\0';
  mlirage_fence_t* wait = nullptr;
  mlirage_fence_t* signal = nullptr;
  mlirage_status_t status = mlirage_fence_join(arguments.fences.size(), arguments.fences.data(), &wait, &error);
  if (status == MLIRAGE_OK) status = mlirage_fence_create(state.session->device, &signal, &error);
  if (status == MLIRAGE_OK) {
    PyThreadState* thread = PyEval_SaveThread();
    status = mlirage_session_call_async(state.session->session, &state.function, arguments.values.size(),
                                        arguments.values.data(), wait, signal, results->values.size(),
                                        results->values.data(), &error);
    PyEval_RestoreThread(thread);
  }
  mlirage_fence_release(wait);
  if (status != MLIRAGE_OK) {
    mlirage_fence_release(signal);
    set_error(status, error);
    return nullptr;
  }
  Ref list(PyList_New(0));
  for (size_t i = 0; list && i < results->values.size(); ++i) {
    mlirage_value_t* value = &results->values[i];
    Ref item;
    switch (value->kind) {
      case 'i': item = Ref(PyLong_FromLong(value->as.i32)); break;
      case 'I': item = Ref(PyLong_FromLongLong(value->as.i64)); break;
      case 'f': item = Ref(PyFloat_FromDouble(static_cast<double>(value->as.f32))); break;
      case 'F': item = Ref(PyFloat_FromDouble(value->as.f64)); break;
      default: {
        Ref dtype(Py_NewRef(state.results[i].dtype.object));
        if (dtype.object == Py_None) {
          const auto type = mlirage_buffer_view_element_type(value->as.view);
          dtype = Ref(PyObject_CallFunction(state.dtype_of.object, "I", type));
        }
        if (!dtype) break;
        mlirage_fence_retain(signal);
        Ref view(nb::cast(View(std::exchange(value->as.view, nullptr), signal)).release().ptr());
        item = Ref(PyTuple_Pack(2, view.object, dtype.object));
      }
    }
    if (!item || PyList_Append(list.object, item.object) != 0) list = Ref();
  }
  Ref fence(nb::cast(Fence(signal)).release().ptr());
  if (!list) return nullptr;
  PyObject* given_wrap = wrap ? wrap.object : Py_None;
  PyObject* unflatten = state.unflatten ? state.unflatten.object : Py_None;
  PyObject* parts[] = {fence.object, list.object, given_wrap, unflatten};
  return PyObject_Vectorcall(state.make_call.object, parts, 4, nullptr);
}

void define_fence(nb::module_& module) {
  nb::class_<Fence>(module, "Fence")
      .def("wait", fence_wait, nb::arg("timeout").none())
      .def("done", [](const Fence& self) { return mlirage_fence_query(self.fence, nullptr) != MLIRAGE_PENDING; })
      .def("notify", fence_notify, nb::arg("file"));
}

}  // namespace mlirage::python

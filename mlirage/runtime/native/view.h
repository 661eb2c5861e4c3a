// An array in a device's memory, for Python.
#ifndef MLIRAGE_RUNTIME_NATIVE_VIEW_H_
#define MLIRAGE_RUNTIME_NATIVE_VIEW_H_

#include "python.h"

namespace mlirage::python {

// Owns a reference to a view, and to the fence after which its elements are there (NULL: they are).
struct View {
  mlirage_buffer_view_t* view;
  mlirage_fence_t* fence;
  explicit View(mlirage_buffer_view_t* view, mlirage_fence_t* fence = nullptr) : view(view), fence(fence) {}
  View(View&& other) noexcept : view(std::exchange(other.view, nullptr)), fence(std::exchange(other.fence, nullptr)) {}
  View(const View&) = delete;
  View& operator=(const View&) = delete;
  ~View() {
    mlirage_buffer_view_release(view);
    mlirage_fence_release(fence);
  }
};

// Blocks, with the GIL released, until |fence| is signalled. False with a Python exception set if
// the work failed, or if it is not done after |timeout_ns|.
bool wait_for(mlirage_fence_t* fence, uint64_t timeout_ns);
// The bytes of |view| on the host, when they are there.
mlirage_mutable_bytes_t map_view(const View& view);
// What can never be read or written, for arrays without elements.
void* no_memory();
// An object with the buffer protocol over |bytes|, which lie in |view| (retained).
PyObject* make_memory(mlirage_buffer_view_t* view, mlirage_mutable_bytes_t bytes, bool writable);
PyObject* shape_tuple(const mlirage_buffer_view_t* view);

extern PyType_Spec memory_spec;
void define_view(nb::module_& module);

}  // namespace mlirage::python
#endif  // MLIRAGE_RUNTIME_NATIVE_VIEW_H_

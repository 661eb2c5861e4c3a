// Functions written in Python that programs call, and modules that import from each other.
//
// Programs run without Python's lock; a host function takes it for its own time. What it
// raises becomes the status of the call, with its text.
#include "links.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>

#include "view.h"

namespace mlirage::python {

namespace {

constexpr const char* REFERENCE = "mlirage.reference";

void release_reference(void* object) noexcept { mlirage_object_release(object); }

// Bytes of the machine as an array of uint8 that keeps them alive.
nb::object bytes_array(void* ref, const uint8_t* data, size_t size, bool is_writable) {
  mlirage_object_retain(ref);
  nb::capsule owner(ref, release_reference);
  const size_t shape[1] = {size};
  if (is_writable) {
    return nb::cast(nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>>(const_cast<uint8_t*>(data), 1, shape, owner));
  }
  return nb::cast(nb::ndarray<nb::numpy, const uint8_t, nb::ndim<1>>(data, 1, shape, owner));
}

nb::object reference_to_python(void* ref) {
  if (ref == nullptr) return nb::none();
  const mlirage_object_type_t* type = static_cast<const mlirage_object_t*>(ref)->type;
  if (type == &mlirage_vm_buffer_type) {
    const auto* buffer = static_cast<const mlirage_vm_buffer_t*>(ref);
    return bytes_array(ref, buffer->data, buffer->length, buffer->is_writable);
  }
  if (type == &mlirage_rodata_type) {
    const auto* rodata = static_cast<const mlirage_rodata_t*>(ref);
    if (rodata->pattern_length == 0) return bytes_array(rodata->owner, rodata->data, rodata->length, false);
  }
  if (type == &mlirage_buffer_view_type) {
    mlirage_object_retain(ref);
    return nb::cast(View(static_cast<mlirage_buffer_view_t*>(ref)));
  }
  mlirage_object_retain(ref);
  return nb::capsule(ref, REFERENCE, release_reference);
}

// A reference that the machine owns: None, what came as a reference, a View, or a copy of
// the bytes of anything that has some.
void* reference_from_python(nb::handle value) {
  void* ref = nullptr;
  if (value.is_none()) return nullptr;
  if (PyCapsule_IsValid(value.ptr(), REFERENCE)) {
    ref = PyCapsule_GetPointer(value.ptr(), REFERENCE);
  } else if (nb::isinstance<View>(value)) {
    ref = nb::cast<const View&>(value).view;
  } else {
    Py_buffer buffer;
    if (PyObject_GetBuffer(value.ptr(), &buffer, PyBUF_C_CONTIGUOUS) != 0) throw nb::python_error();
    mlirage_vm_buffer_t* copy = nullptr;
    mlirage_error_t error = {};
    const auto status =
        mlirage_vm_buffer_create(mlirage_allocator_system(), static_cast<size_t>(buffer.len), &copy, &error);
    if (status == MLIRAGE_OK && buffer.len != 0) std::memcpy(copy->data, buffer.buf, static_cast<size_t>(buffer.len));
    PyBuffer_Release(&buffer);
    check(status, error);
    return copy;
  }
  mlirage_object_retain(ref);
  return ref;
}

// Takes arguments of the kinds in a convention off a call.
struct ArgumentReader {
  const uint64_t* scalars;
  void* const* refs;

  nb::object next(char kind) {
    switch (kind) {
      case 'i': return nb::int_(mlirage_vm_i32(*scalars++));
      case 'I': return nb::int_(mlirage_vm_i64(*scalars++));
      case 'f': return nb::float_(static_cast<double>(mlirage_vm_f32(*scalars++)));
      case 'F': return nb::float_(mlirage_vm_f64(*scalars++));
      default: return reference_to_python(*refs++);
    }
  }
};

// A repeated group is a list of tuples. Sets |*at| to the character behind the arguments.
nb::list read_arguments(const mlirage_vm_call_t* call, const char** at) {
  ArgumentReader reader = {call->scalars, call->refs};
  const uint16_t* count = call->group_counts;
  nb::list arguments;
  for (; **at != '_'; ++*at) {
    if (**at != '[') {
      arguments.append(reader.next(**at));
      continue;
    }
    const char* first = ++*at;
    while (**at != ']') ++*at;
    nb::list group;
    for (uint16_t i = 0; i < *count; ++i) {
      nb::list member;
      for (const char* kind = first; *kind != ']'; ++kind) member.append(reader.next(*kind));
      group.append(nb::tuple(member));
    }
    ++count;
    arguments.append(group);
  }
  ++*at;
  return arguments;
}

void write_result(char kind, nb::handle value, uint64_t** scalar, void*** ref) {
  switch (kind) {
    case 'i': *(*scalar)++ = mlirage_vm_from_i32(nb::cast<int32_t>(value)); break;
    case 'I': *(*scalar)++ = mlirage_vm_from_i64(nb::cast<int64_t>(value)); break;
    case 'f': *(*scalar)++ = mlirage_vm_from_f32(static_cast<float>(nb::cast<double>(value))); break;
    case 'F': *(*scalar)++ = mlirage_vm_from_f64(nb::cast<double>(value)); break;
    default: *(*ref)++ = reference_from_python(value); break;
  }
}

// No result: None; one: it; more: a sequence of them.
void write_results(mlirage_vm_call_t* call, const char* kinds, nb::handle value) {
  uint64_t* scalar = call->scalar_results;
  void** ref = call->ref_results;
  const size_t count = std::strlen(kinds);
  if (count == 1) {
    write_result(kinds[0], value, &scalar, &ref);
  } else if (count > 1) {
    nb::tuple values(nb::borrow(value));
    if (values.size() != count) throw nb::value_error("another number of results than the convention says");
    for (size_t i = 0; i < count; ++i) write_result(kinds[i], nb::object(values[i]), &scalar, &ref);
  }
}

mlirage_status_t status_of(const nb::python_error& error) {
  if (error.matches(PyExc_KeyboardInterrupt)) return MLIRAGE_CANCELLED;
  if (error.matches(PyExc_MemoryError)) return MLIRAGE_OUT_OF_MEMORY;
  if (error.matches(PyExc_NotImplementedError)) return MLIRAGE_UNSUPPORTED;
  if (error.matches(PyExc_IndexError)) return MLIRAGE_OUT_OF_RANGE;
  return MLIRAGE_ABORTED;
}

mlirage_status_t call_host(mlirage_vm_call_t* call) {
  nb::gil_scoped_acquire locked;
  const HostFunction& function = static_cast<HostModule*>(call->self)->functions[call->export_index];
  try {
    const char* at = function.convention.c_str();
    const nb::list arguments = read_arguments(call, &at);
    const nb::object result = nb::borrow(function.callable.object)(*arguments);
    write_results(call, at, result);
    return MLIRAGE_OK;
  } catch (nb::python_error& error) {
    const std::string type = nb::cast<std::string>(error.type().attr("__name__"));
    const std::string text = nb::cast<std::string>(nb::str(error.value()));
    return mlirage_fail(call->error, status_of(error), "%s: %s", type.c_str(), text.c_str());
  } catch (nb::cast_error&) {
    return mlirage_fail(call->error, MLIRAGE_ABORTED, "the results do not fit '%s'", function.convention.c_str());
  } catch (std::exception& error) {
    return mlirage_fail(call->error, MLIRAGE_ABORTED, "%s", error.what());
  }
}

void write_trace(void* self, const char* line) {
  nb::gil_scoped_acquire locked;
  Ref result(PyObject_CallFunction(static_cast<PyObject*>(self), "s", line));
  if (!result) PyErr_WriteUnraisable(static_cast<PyObject*>(self));
}

struct FileCopy {
  void* block;
  size_t size;
};

void free_copy(void* self) {
  auto* copy = static_cast<FileCopy*>(self);
  mlirage_free(mlirage_allocator_system(), copy->block, copy->size);
  delete copy;
}

std::shared_ptr<HostModule> make_host(const std::string& name, uint32_t version, nb::dict functions) {
  // Functions know the globals of their file, and with them often the session that knows them:
  // a circle through C++ that is whole when the interpreter ends. No news to anybody.
  nb::set_leak_warnings(false);
  auto host = std::make_shared<HostModule>();
  host->name = name;
  host->version = version;
  for (auto [key, value] : functions) {
    const auto [convention, callable] = nb::cast<std::pair<std::string, nb::object>>(value);
    mlirage_convention_t shape;
    if (mlirage_convention_parse(convention.c_str(), &shape) != MLIRAGE_OK) {
      PyErr_Format(g_python->usage_error, "%s.%s: '%s' is no calling convention", name.c_str(),
                   nb::cast<std::string>(key).c_str(), convention.c_str());
      throw nb::python_error();
    }
    host->functions.push_back({nb::cast<std::string>(key), convention, Ref(Py_NewRef(callable.ptr()))});
  }
  for (const HostFunction& function : host->functions) {
    host->exports.push_back({function.name.c_str(), function.convention.c_str(), call_host});
  }
  return host;
}

std::shared_ptr<Links> make_links(const std::vector<std::shared_ptr<HostModule>>& hosts, nb::list libraries,
                                  uint64_t jump_limit, nb::object trace) {
  auto made = std::make_shared<Links>();
  made->hosts = hosts;
  for (const auto& host : hosts) made->natives.push_back(host->native());
  for (nb::handle contents : libraries) {
    made->libraries.emplace_back(contents);
    made->modules.push_back(made->libraries.back().module);
  }
  mlirage_session_links_t& links = made->links;
  links.library_count = made->modules.size();
  links.libraries = made->modules.data();
  links.native_module_count = made->natives.size();
  links.native_modules = made->natives.data();
  links.vm.jump_limit = jump_limit;
  if (!trace.is_none()) {
    made->trace = Ref(trace.release().ptr());
    links.vm.trace = write_trace;
    links.vm.trace_self = made->trace.object;
  }
  return made;
}

}  // namespace

mlirage_vm_native_module_t HostModule::native() {
  mlirage_vm_native_module_t module = {};
  module.name = name.c_str();
  module.version = version;
  module.export_count = exports.size();
  module.exports = exports.data();
  module.self = this;
  return module;
}

ModuleRef::ModuleRef(nb::handle contents) {
  Py_buffer buffer;
  if (PyObject_GetBuffer(contents.ptr(), &buffer, PyBUF_C_CONTIGUOUS) != 0) throw nb::python_error();
  const size_t length = static_cast<size_t>(buffer.len), size = length + MLIRAGE_MODULE_ALIGNMENT;
  void* block = nullptr;
  mlirage_error_t error = {};
  mlirage_status_t status = mlirage_allocate(mlirage_allocator_system(), size, &block);
  if (status == MLIRAGE_OK) {
    auto* start = static_cast<uint8_t*>(block);
    start += (0u - reinterpret_cast<uintptr_t>(start)) % MLIRAGE_MODULE_ALIGNMENT;
    std::memcpy(start, buffer.buf, length);
    auto* copy = new FileCopy{block, size};
    const mlirage_module_storage_t storage = {{start, length}, copy, free_copy};
    status = mlirage_module_create(mlirage_allocator_system(), storage, MLIRAGE_MODULE_DEFAULT, &module, &error);
    if (status != MLIRAGE_OK) free_copy(copy);
  }
  PyBuffer_Release(&buffer);
  check(status, error);
}

void define_links(nb::module_& module) {
  nb::class_<HostModule>(module, "HostModule").def_static("make", make_host);
  nb::class_<Links>(module, "Links")
      .def_static("make", make_links, nb::arg("hosts"), nb::arg("libraries"), nb::arg("jump_limit"),
                  nb::arg("trace").none());
}

}  // namespace mlirage::python

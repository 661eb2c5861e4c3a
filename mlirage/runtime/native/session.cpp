// Sessions: a module on a device; its functions by name.
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <memory>
#include <string>

#include "function.h"
#include "links.h"
#include "session.h"

namespace mlirage::python {

namespace {

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

  Session(const Device& device, nb::handle contents, const Parameters& parameters, std::shared_ptr<Links> links) {
    ModuleRef module(contents);
    mlirage_error_t error = {};
    mlirage_status_t status;
    {
      nb::gil_scoped_release unlocked;
      status = mlirage_session_create_linked(device.device, module.module, &links->links, parameters.parameters,
                                             &state->session, &error);
    }
    state->links = links;
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

  // |arguments|: (name, element type, shape or None, description, result whose memory it is or None);
  // |results|: dtypes or None.
  nb::object function(const std::string& name, nb::list arguments, nb::list results, size_t symbol_count,
                      nb::object convert, nb::object dtype_of, nb::object flatten, nb::object unflatten,
                      nb::object make_call) const {
    auto made = std::make_unique<FunctionState>();
    mlirage_error_t error = {};
    check(mlirage_session_lookup(state->session, name.c_str(), &made->function, &error), error);
    const char* kinds = made->function.convention;
    std::vector<std::pair<size_t, size_t>> outputs;  // result, argument
    for (nb::handle item : arguments) {
      nb::tuple fields = nb::cast<nb::tuple>(item);
      Argument argument;
      argument.name = Ref(Py_NewRef(nb::object(fields[0]).ptr()));
      argument.kind = *kinds++;
      argument.element_type = nb::cast<uint32_t>(fields[1]);
      argument.any_shape = nb::object(fields[2]).is_none();
      if (!argument.any_shape) argument.shape = nb::cast<std::vector<int64_t>>(fields[2]);
      argument.description = Ref(Py_NewRef(nb::object(fields[3]).ptr()));
      if (nb::object output = fields[4]; !output.is_none()) {
        argument.is_output = true;
        outputs.emplace_back(nb::cast<size_t>(output), made->arguments.size());
      }
      made->arguments.push_back(std::move(argument));
    }
    kinds = std::strchr(made->function.convention, '_') + 1;  // behind the fences, if there are
    for (nb::handle dtype : results) made->results.push_back(Result{*kinds++, Ref(Py_NewRef(dtype.ptr()))});
    for (const auto& [result, argument] : outputs) {
      made->results.at(result).output = static_cast<std::ptrdiff_t>(argument);
    }
    made->session = state;
    made->symbol_count = symbol_count;
    made->convert = Ref(convert.release().ptr());
    made->dtype_of = Ref(dtype_of.release().ptr());
    if (!flatten.is_none()) made->flatten = Ref(flatten.release().ptr());
    if (!unflatten.is_none()) made->unflatten = Ref(unflatten.release().ptr());
    made->make_call = Ref(make_call.release().ptr());
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

}  // namespace

void define_session(nb::module_& module) {
  nb::class_<Session>(module, "Session", nb::type_slots(session_slots), nb::dynamic_attr())
      .def(nb::init<const Device&, const std::string&, const Parameters&>())
      .def(nb::init<const Device&, nb::handle, const Parameters&>())
      .def(nb::init<const Device&, nb::handle, const Parameters&, std::shared_ptr<Links>>())
      .def("cancel", [](Session& self) { mlirage_session_cancel(self.state->session); })
      .def("set_main", [](Session& self, nb::object function) { self.main = Ref(function.release().ptr()); })
      .def("functions", &Session::functions)
      .def("function", &Session::function, nb::arg("name"), nb::arg("arguments"), nb::arg("results"),
           nb::arg("symbol_count"), nb::arg("convert"), nb::arg("dtype_of"), nb::arg("flatten").none(),
           nb::arg("unflatten").none(), nb::arg("make_call"));
}

}  // namespace mlirage::python

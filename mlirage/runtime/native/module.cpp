// The Python face of the C runtime: devices, sessions, and functions that take and give
// arrays without copying. What is called for every inference is in arguments.cpp,
// function.cpp and results.cpp; everything else is nanobind, or Python in the files beside
// this folder.
#include "function.h"
#include "links.h"
#include "session.h"
#include "view.h"

using namespace mlirage::python;

NB_MODULE(_runtime, module) {
  module.doc() = "Binding of the C runtime; use mlirage.load and mlirage.runtime.";
  // Never freed: arrays over the runtime's memory may outlive the module object.
  g_python = new Python;
  nb::module_ errors = nb::module_::import_("mlirage.errors");
  g_python->device_error = nb::object(errors.attr("DeviceError")).release().ptr();
  g_python->usage_error = nb::object(errors.attr("UsageError")).release().ptr();
  nb::object ndarray = nb::module_::import_("numpy").attr("ndarray");
  g_python->ndarray = reinterpret_cast<PyTypeObject*>(ndarray.release().ptr());
  g_python->memory_type = make_type(module, &memory_spec);
  g_python->function_type = make_type(module, &function_spec);
  module.attr("Function") = nb::borrow(reinterpret_cast<PyObject*>(g_python->function_type));
  define_view(module);
  define_fence(module);
  define_device(module);
  define_links(module);
  define_session(module);
}

// Devices and parameters.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "session.h"
#include "view.h"

namespace mlirage::python {

namespace {

nb::dict statistics(const Device& device) {
  mlirage_device_statistics_t counters = {};
  counters.struct_size = sizeof(counters);
  mlirage_device_statistics(device.device, &counters);
  nb::dict result;
  result["allocations"] = counters.allocations;
  result["allocated_bytes"] = counters.allocated_bytes;
  result["frees"] = counters.frees;
  result["freed_bytes"] = counters.freed_bytes;
  result["live_bytes"] = counters.live_bytes;
  result["peak_live_bytes"] = counters.peak_live_bytes;
  result["peak_bytes"] = counters.peak_bytes;
  result["pooled_bytes"] = counters.pooled_bytes;
  result["pool_hits"] = counters.pool_hits;
  result["imported_buffers"] = counters.imported_buffers;
  result["imported_bytes"] = counters.imported_bytes;
  result["dispatches"] = counters.dispatches;
  result["workgroups"] = counters.workgroups;
  return result;
}

// Everything kept so far: a tuple for each event, and how many were lost.
nb::tuple read_profile(const Device& device) {
  nb::list events;
  uint64_t dropped = 0;
  std::vector<mlirage_profile_event_t> block(256);
  for (size_t count = block.size(); count == block.size();) {
    mlirage_error_t error = {};
    check(mlirage_device_profiling_read(device.device, block.size(), block.data(), &count, &dropped, &error), error);
    for (size_t i = 0; i < count; ++i) {
      const mlirage_profile_event_t& event = block[i];
      nb::list constants;
      for (uint32_t c = 0; c < event.constant_count && c < MLIRAGE_PROFILE_CONSTANTS; ++c) {
        constants.append(event.constants[c]);
      }
      events.append(
          nb::make_tuple(event.name, event.kind, event.execution, event.command, event.worker, event.start_ns,
                         event.end_ns, event.first, event.end, event.units, event.bytes,
                         nb::make_tuple(event.workgroup_count[0], event.workgroup_count[1], event.workgroup_count[2]),
                         nb::tuple(constants)));
    }
  }
  return nb::make_tuple(events, dropped);
}

void begin_profile(const Device& device, size_t capacity) {
  mlirage_error_t error = {};
  check(mlirage_device_profiling_begin(device.device, capacity, &error), error);
}

View make_view(const Device& device, nb::handle contents, uint32_t element_type, const std::vector<size_t>& shape) {
  Py_buffer* buffer = take_buffer(contents);
  mlirage_error_t error = {};
  mlirage_buffer_view_t* view = nullptr;
  const mlirage_status_t status =
      mlirage_array_create(device.device, element_type, shape.size(), shape.data(), buffer->buf, &view, &error);
  drop_buffer(buffer, {});
  check(status, error);
  return View(view);
}

}  // namespace

void define_device(nb::module_& module) {
  nb::class_<Device>(module, "Device", nb::is_weak_referenceable())
      .def(nb::init<const std::string&, uint32_t>(), nb::arg("name"), nb::arg("threads") = 0)
      .def_prop_ro("name", [](const Device& self) { return mlirage_device_name(self.device); })
      .def_prop_ro("threads", [](const Device& self) { return mlirage_device_worker_count(self.device); })
      .def("supports",
           [](const Device& self, const std::string& format) {
             return mlirage_device_supports(self.device, {format.data(), format.size()});
           })
      .def("array", make_view, nb::arg("contents"), nb::arg("element_type"), nb::arg("shape"))
      .def("profiling_begin", begin_profile, nb::arg("capacity"))
      .def("profiling_read", read_profile)
      .def("profiling_end", [](Device& self) { mlirage_device_profiling_end(self.device); })
      .def("trim", [](Device& self) { mlirage_device_trim(self.device); })
      .def_prop_ro("statistics", statistics);
  nb::class_<Parameters>(module, "Parameters")
      .def(nb::init<>())
      .def("add_file", &Parameters::add_file, nb::arg("scope"), nb::arg("path"), nb::arg("flags"))
      .def("add_contents", &Parameters::add_contents, nb::arg("scope"), nb::arg("contents"))
      .def("add", &Parameters::add, nb::arg("scope"), nb::arg("key"), nb::arg("array"));
  module.def("driver_names", [] {
    std::vector<std::string> names;
    for (const char* const* name = mlirage_driver_names(); *name != nullptr; ++name) names.emplace_back(*name);
    return names;
  });
}

}  // namespace mlirage::python

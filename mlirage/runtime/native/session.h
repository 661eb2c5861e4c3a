// Devices, parameters and sessions as Python sees them.
#ifndef MLIRAGE_RUNTIME_NATIVE_SESSION_H_
#define MLIRAGE_RUNTIME_NATIVE_SESSION_H_

#include <string>

#include "python.h"

namespace mlirage::python {

// Add their classes to |module|.
void define_device(nb::module_& module);
void define_session(nb::module_& module);

struct Device {
  mlirage_device_t* device = nullptr;
  Device(const std::string& name, uint32_t threads) {
    mlirage_error_t error = {};
    mlirage_device_options_t options = {};
    options.struct_size = sizeof(options);
    options.allocator = mlirage_allocator_system();
    options.worker_count = threads;
    check(mlirage_device_create(name.c_str(), &options, &device, &error), error);
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device() {
    nb::gil_scoped_release unlocked;  // joins the workers
    mlirage_device_release(device);
  }
};

struct Parameters {
  mlirage_parameters_t* parameters = nullptr;
  Parameters() { check(mlirage_parameters_create(mlirage_allocator_system(), &parameters), {}); }
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;
  ~Parameters() { mlirage_parameters_release(parameters); }

  void add_file(const std::string& scope, const std::string& path, uint32_t flags) {
    mlirage_error_t error = {};
    mlirage_status_t status;
    {
      nb::gil_scoped_release unlocked;  // it may read the whole file
      status = mlirage_parameters_add_file(parameters, scope.c_str(), path.c_str(),
                                           static_cast<mlirage_parameters_flags_t>(flags), &error);
    }
    check(status, error);
  }
  void add_contents(const std::string& scope, nb::handle contents) {
    Py_buffer* buffer = take_buffer(contents);
    mlirage_error_t error = {};
    const mlirage_status_t status =
        mlirage_parameters_add_archive(parameters, {scope.data(), scope.size()}, mlirage_string("memory"),
                                       bytes_of(*buffer), {drop_buffer, buffer}, MLIRAGE_PARAMETERS_DEFAULT, &error);
    if (status != MLIRAGE_OK) drop_buffer(buffer, {});
    check(status, error);
  }
  void add(const std::string& scope, const std::string& key, nb::handle array) {
    Py_buffer* buffer = take_buffer(array);
    mlirage_error_t error = {};
    const mlirage_status_t status =
        mlirage_parameters_add(parameters, {scope.data(), scope.size()}, {key.data(), key.size()}, bytes_of(*buffer),
                               {drop_buffer, buffer}, &error);
    if (status != MLIRAGE_OK) drop_buffer(buffer, {});
    check(status, error);
  }
};

}  // namespace mlirage::python
#endif  // MLIRAGE_RUNTIME_NATIVE_SESSION_H_

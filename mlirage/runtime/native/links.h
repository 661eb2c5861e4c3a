// What a session is linked with beside the runtime's own modules: functions in Python,
// further modules, bounds, tracing.
#ifndef MLIRAGE_RUNTIME_NATIVE_LINKS_H_
#define MLIRAGE_RUNTIME_NATIVE_LINKS_H_

#include <memory>
#include <string>
#include <vector>

#include "python.h"

namespace mlirage::python {

struct HostFunction {
  std::string name;
  std::string convention;
  Ref callable;
};

// A native module whose functions are Python's.
struct HostModule {
  std::string name;
  uint32_t version;
  std::vector<HostFunction> functions;
  std::vector<mlirage_vm_native_export_t> exports;
  HostModule() = default;
  HostModule(const HostModule&) = delete;
  HostModule& operator=(const HostModule&) = delete;
  mlirage_vm_native_module_t native();
};

// A verified module; owns its copy of the file.
struct ModuleRef {
  mlirage_module_t* module = nullptr;
  explicit ModuleRef(nb::handle contents);
  ModuleRef(ModuleRef&& other) noexcept : module(std::exchange(other.module, nullptr)) {}
  ModuleRef(const ModuleRef&) = delete;
  ModuleRef& operator=(const ModuleRef&) = delete;
  ~ModuleRef() { mlirage_module_release(module); }
};

// Lives as long as the session that was made with it.
struct Links {
  std::vector<std::shared_ptr<HostModule>> hosts;
  std::vector<ModuleRef> libraries;
  Ref trace;
  std::vector<mlirage_vm_native_module_t> natives;
  std::vector<mlirage_module_t*> modules;
  mlirage_session_links_t links = {};
  Links() = default;
  Links(const Links&) = delete;
  Links& operator=(const Links&) = delete;
};

void define_links(nb::module_& module);

}  // namespace mlirage::python
#endif  // MLIRAGE_RUNTIME_NATIVE_LINKS_H_

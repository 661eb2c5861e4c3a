#include "vmvx_module/vmvx_module.h"

#include "vmvx_module/contract.h"

#define VERSION 1u

#define X(types, convention) {"contract_" #types, convention, mlirage_vmvx_contract_##types},
static const mlirage_vm_native_export_t exports[] = {MLIRAGE_VMVX_CONTRACTIONS(X)};
#undef X

mlirage_vm_native_module_t mlirage_vmvx_module_functions(void) {
  return (mlirage_vm_native_module_t){
      .name = "vmvx",
      .version = VERSION,
      .export_count = sizeof(exports) / sizeof(exports[0]),
      .exports = exports,
  };
}

#include "module/module_verifier.h"

#include "base/memory.h"
#include "module/format.h"
#include "vm/verifier.h"

#define FAIL(...) return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "module file: " __VA_ARGS__)

static int compare_text(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) {
    ++a;
    ++b;
  }
  return (int)(unsigned char)*a - (int)(unsigned char)*b;
}

static mlirage_status_t verify_imports(mlirage_module_t* module, mlirage_error_t* error) {
  uint32_t first_group = 0;
  for (uint32_t i = 0; i < module->imports_count; ++i) {
    const mlirage_file_import_t* entry = &module->imports[i];
    if (!mlirage_module_has_text(module, entry->name)) FAIL("the name of import %u is no text", i);
    if ((entry->flags & ~MLIRAGE_IMPORT_OPTIONAL) != 0) FAIL("import %u has unknown flags", i);
    mlirage_import_shape_t* shape = &module->import_shapes[i];
    shape->first_group = first_group;
    MLIRAGE_TRY(mlirage_convention_read(mlirage_module_text(module, entry->convention), &shape->counts,
                                        module->groups + first_group));
    first_group += shape->counts.group_count;
  }
  return MLIRAGE_OK;
}

static mlirage_status_t verify_functions(mlirage_module_t* module, mlirage_error_t* error) {
  for (uint32_t i = 0; i < module->functions_count; ++i) {
    const mlirage_file_function_t* entry = &module->functions[i];
    if (!mlirage_module_has_text(module, entry->name)) FAIL("the name of function %u is no text", i);
    const char* name = mlirage_module_text(module, entry->name);
    mlirage_convention_t* shape = &module->function_shapes[i];
    MLIRAGE_TRY(mlirage_convention_read(mlirage_module_text(module, entry->convention), shape, NULL));
    if (shape->scalar_argument_count > entry->scalar_registers || shape->ref_argument_count > entry->ref_registers) {
      FAIL("function '%s' has fewer registers than arguments", name);
    }
    if (!mlirage_range_fits_u64(entry->code_offset, entry->code_size, module->code_count)) {
      FAIL("the code of function '%s' lies outside of the code section", name);
    }
    if (entry->scalar_registers > module->largest_frame_scalars)
      module->largest_frame_scalars = entry->scalar_registers;
    if (entry->ref_registers > module->largest_frame_refs) module->largest_frame_refs = entry->ref_registers;
  }
  return MLIRAGE_OK;
}

static mlirage_status_t verify_exports(const mlirage_module_t* module, mlirage_error_t* error) {
  for (uint32_t i = 0; i < module->exports_count; ++i) {
    const mlirage_file_export_t* entry = &module->exports[i];
    if (!mlirage_module_has_text(module, entry->name) || !mlirage_module_has_text(module, entry->signature)) {
      FAIL("export %u has no text where one is needed", i);
    }
    if (entry->function >= module->functions_count) FAIL("export %u names no function", i);
    if (i > 0 && compare_text(mlirage_module_text(module, module->exports[i - 1].name),
                              mlirage_module_text(module, entry->name)) >= 0) {
      FAIL("exports are not sorted by name");
    }
  }
  return MLIRAGE_OK;
}

static mlirage_status_t verify_globals(const mlirage_module_t* module, mlirage_error_t* error) {
  for (uint32_t i = 0; i < module->globals_count; ++i) {
    const mlirage_file_global_t* entry = &module->globals[i];
    if (!mlirage_module_has_text(module, entry->name)) FAIL("the name of global %u is no text", i);
    switch (entry->kind) {
      case 'i':
      case 'I':
      case 'f':
      case 'F': break;
      case 'r':
        if (entry->initial_value != 0) FAIL("reference global %u has an initial value", i);
        break;
      default: FAIL("global %u has an unknown kind", i);
    }
  }
  return MLIRAGE_OK;
}

static mlirage_status_t verify_rodata(mlirage_module_t* module, mlirage_error_t* error) {
  uint64_t end = 0;  // of the entry before: entries do not overlap
  for (uint32_t i = 0; i < module->file_rodata_count; ++i) {
    const mlirage_file_rodata_t* entry = &module->file_rodata[i];
    if (!mlirage_module_has_text(module, entry->name)) FAIL("the name of read-only data %u is no text", i);
    const uint64_t pattern = entry->pattern_length;
    const uint64_t stored = pattern == 0 ? entry->size : pattern;
    size_t size = 0;
    if (entry->size > INT64_MAX || !mlirage_checked_size(entry->size, &size)) {
      FAIL("read-only data %u is too large for this host", i);
    }
    if (pattern > 16 || (pattern & (pattern - 1)) != 0 || (pattern != 0 && entry->size % pattern != 0)) {
      FAIL("read-only data %u has a wrong pattern", i);
    }
    if (entry->offset % MLIRAGE_MODULE_ALIGNMENT != 0 || entry->offset < end ||
        !mlirage_range_fits_u64(entry->offset, stored, module->data.size)) {
      FAIL("read-only data %u lies outside of its place in the data section", i);
    }
    end = entry->offset + stored;
    mlirage_rodata_t* rodata = &module->rodata[i];
    mlirage_object_initialize(&rodata->object, &mlirage_rodata_type);
    rodata->name = mlirage_module_text(module, entry->name);
    rodata->data = module->data.data + (size_t)entry->offset;
    rodata->length = size;
    rodata->pattern_length = entry->pattern_length;
    rodata->owner = &module->object;
  }
  return MLIRAGE_OK;
}

static mlirage_status_t check_rodata(const mlirage_module_t* module, uint32_t index, mlirage_error_t* error) {
  const mlirage_rodata_t* rodata = &module->rodata[index];
  const mlirage_bytes_t bytes = {rodata->data, rodata->pattern_length == 0 ? rodata->length : rodata->pattern_length};
  if (mlirage_checksum(bytes) != module->file_rodata[index].checksum) {
    FAIL("corrupt: the checksum of read-only data %u '%s' differs", index, rodata->name);
  }
  return MLIRAGE_OK;
}

static mlirage_status_t verify_executables(const mlirage_module_t* module, mlirage_error_t* error) {
  for (uint32_t i = 0; i < module->executables_count; ++i) {
    const mlirage_file_executable_t* entry = &module->executables[i];
    if (!mlirage_module_has_text(module, entry->name) || !mlirage_module_has_text(module, entry->format)) {
      FAIL("executable %u has no text where one is needed", i);
    }
    if (entry->rodata >= module->file_rodata_count || module->rodata[entry->rodata].pattern_length != 0) {
      FAIL("executable %u has no bytes", i);
    }
    if (i > 0 && module->executables[i - 1].rodata > entry->rodata) FAIL("executables are not sorted by their data");
    if (i > 0 && module->executables[i - 1].rodata == entry->rodata) continue;
    // Machine code is run as it is: never from a corrupt file.
    MLIRAGE_TRY(check_rodata(module, entry->rodata, error));
  }
  return MLIRAGE_OK;
}

static mlirage_status_t verify_locations(const mlirage_module_t* module, mlirage_error_t* error) {
  for (uint32_t i = 0; i < module->locations_count; ++i) {
    const mlirage_file_location_t* entry = &module->locations[i];
    if (!mlirage_module_has_text(module, entry->location)) FAIL("location %u is no text", i);
    if (i == 0) continue;
    const mlirage_file_location_t* before = entry - 1;
    if (before->function > entry->function || (before->function == entry->function && before->pc >= entry->pc)) {
      FAIL("locations are not sorted");
    }
  }
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_module_verify(mlirage_module_t* module, mlirage_module_flags_t flags, mlirage_error_t* error) {
  MLIRAGE_TRY(verify_imports(module, error));
  MLIRAGE_TRY(verify_functions(module, error));
  MLIRAGE_TRY(verify_exports(module, error));
  MLIRAGE_TRY(verify_globals(module, error));
  MLIRAGE_TRY(verify_rodata(module, error));
  MLIRAGE_TRY(verify_executables(module, error));
  MLIRAGE_TRY(verify_locations(module, error));
  MLIRAGE_TRY(mlirage_vm_verify_code(module, error));
  if ((flags & MLIRAGE_MODULE_CHECK_DATA) != 0) {
    for (uint32_t i = 0; i < module->file_rodata_count; ++i) MLIRAGE_TRY(check_rodata(module, i, error));
  }
  return MLIRAGE_OK;
}

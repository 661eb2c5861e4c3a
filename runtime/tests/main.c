// Runs the tests of the runtime: main KERNELS.so SECONDS [test…]
#include "check.h"
#include "platform/platform.h"

options_t options;

uint8_t* read_kernels(size_t* out_size) {
  FILE* file = fopen(options.elf_path, "rb");
  CHECK(file != NULL);
  CHECK(fseek(file, 0, SEEK_END) == 0);
  const long size = ftell(file);
  CHECK(size > 0 && fseek(file, 0, SEEK_SET) == 0);
  uint8_t* bytes = malloc((size_t)size);
  CHECK(bytes != NULL && fread(bytes, 1, (size_t)size, file) == (size_t)size);
  fclose(file);
  *out_size = (size_t)size;
  return bytes;
}

mlirage_device_t* create_device(const char* driver, mlirage_allocator_t allocator, uint32_t workers) {
  static const mlirage_executable_loader_t* const loaders[] = {&mlirage_loader_embedded_elf, &mlirage_loader_system};
  const mlirage_device_options_t device_options = {
      .struct_size = sizeof(device_options),
      .allocator = allocator,
      .loaders = loaders,
      .loader_count = 2,
      .worker_count = workers,
  };
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_device_t* device = NULL;
  if (strcmp(driver, "local-task") == 0) {
    CHECK_OK(mlirage_local_task_device_create(&device_options, &device, &error));
  } else if (strcmp(driver, "local-sync") == 0) {
    CHECK_OK(mlirage_local_sync_device_create(&device_options, &device, &error));
  } else {
    CHECK_OK(mlirage_null_device_create(&device_options, &device, &error));
  }
  return device;
}

mlirage_executable_t* load_kernels(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  size_t size = 0;
  uint8_t* bytes = read_kernels(&size);
  mlirage_executable_t* executable = NULL;
  CHECK_OK(mlirage_executable_create(device, mlirage_string("embedded-elf-x86_64"), (mlirage_bytes_t){bytes, size},
                                     &executable, &error));
  free(bytes);
  return executable;
}

mlirage_buffer_t* allocate(mlirage_device_t* device, size_t length) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_buffer_t* buffer = NULL;
  CHECK_OK(mlirage_buffer_allocate(device, length, &buffer, &error));
  if (length != 0) memset(memory_of(buffer), 0, length);
  return buffer;
}

void* memory_of(mlirage_buffer_t* buffer) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_mutable_bytes_t memory;
  CHECK_OK(mlirage_buffer_map(buffer, MLIRAGE_MAP_WRITE, 0, mlirage_buffer_length(buffer), &memory, &error));
  return memory.data;
}

mlirage_command_buffer_t* record(mlirage_device_t* device, size_t slots) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_command_buffer_t* commands = NULL;
  CHECK_OK(mlirage_command_buffer_create(device, false, slots, &commands, &error));
  return commands;
}

void dispatch(mlirage_command_buffer_t* commands, mlirage_executable_t* executable, size_t entry, uint32_t workgroups,
              size_t constant_count, const uint32_t* constants, size_t binding_count,
              const mlirage_slot_range_t* bindings) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const uint32_t count[3] = {workgroups, 1, 1};
  CHECK_OK(mlirage_command_buffer_dispatch(commands, executable, entry, count, constant_count, constants, binding_count,
                                           bindings, &error));
}

mlirage_status_t execute(mlirage_device_t* device, mlirage_command_buffer_t* commands, size_t count,
                         mlirage_buffer_t* const* buffers, mlirage_error_t* error) {
  mlirage_binding_t bindings[8];
  CHECK(count <= 8);
  for (size_t i = 0; i < count; ++i) {
    bindings[i] = (mlirage_binding_t){buffers[i], 0, mlirage_buffer_length(buffers[i])};
  }
  return mlirage_queue_execute(device, NULL, NULL, commands, count, bindings, MLIRAGE_QUEUE_DEFAULT, error);
}

mlirage_fence_t* create_fence(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_fence_t* fence = NULL;
  CHECK_OK(mlirage_fence_create(device, &fence, &error));
  return fence;
}

static void* counting_resize(void* self, void* block, size_t old_size, size_t new_size) {
  counting_t* counting = self;
  if (new_size == 0) {
    CHECK(block != NULL && old_size != 0);
    free(block);
    __atomic_fetch_sub(&counting->live, 1, __ATOMIC_RELEASE);  // the last use of |counting|
    return NULL;
  }
  const long number = __atomic_add_fetch(&counting->allocations, 1, __ATOMIC_RELAXED);
  if (counting->fail_at != 0 && number >= counting->fail_at) return NULL;
  void* resized = realloc(block, new_size);
  CHECK(resized != NULL);
  if (block == NULL) __atomic_fetch_add(&counting->live, 1, __ATOMIC_RELAXED);
  return resized;
}

mlirage_allocator_t counting_allocator(counting_t* counting) {
  return (mlirage_allocator_t){counting, counting_resize};
}

static const struct {
  const char* name;
  void (*run)(void);
} tests[] = {
    {"base", test_base},
    {"buffers", test_buffers},
    {"fences", test_fences},
    {"conformance", test_conformance},
    {"commands", test_commands},
    {"files", test_files},
    {"semaphores", test_semaphores},
    {"async", test_async},
    {"elf", test_elf},
    {"memory", test_memory_exhaustion},
    {"task", test_task},
    {"sharing", test_sharing},
    {"profile", test_profile},
};

int main(int argc, char** argv) {
  CHECK(argc >= 3);
  options.elf_path = argv[1];
  options.seconds = strtoul(argv[2], NULL, 10);
  for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); ++i) {
    bool wanted = argc == 3;
    for (int a = 3; a < argc; ++a) wanted = wanted || strcmp(argv[a], tests[i].name) == 0;
    if (!wanted) continue;
    const uint64_t start = mlirage_platform_now_ns();
    tests[i].run();
    printf("ok %s (%llu ms)\n", tests[i].name, (unsigned long long)(mlirage_platform_now_ns() - start) / 1000000);
  }
  return 0;
}

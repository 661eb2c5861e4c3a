// Entry points become objects, objects become one library; references follow.
// RUN: mlirage opt --passes=hal-materialize-interfaces,hal-configure-executables,hal-translate-executables,hal-link-executables --target=x86_64:x86-64-v3 %s | filecheck %s

// CHECK: module @executables attributes {flow.executable, hal.executable.entries = ["same", "same_1"],
// CHECK-SAME: hal.executable.variants = [{data = "executables-x86_64.so", format = "embedded-elf-x86_64:+avx,+avx2,{{.*}}"}]
// CHECK: func.func @same_workgroup_count() -> (index, index, index)
// CHECK: func.func @same_1_workgroup_count() -> (index, index, index)
// CHECK: func.func private @host() attributes {flow.calls = @executables::@same_1}
module {
  module @a attributes {flow.executable, sym_visibility = "private"} {
    func.func @same(%a: tensor<4xf32>) -> tensor<4xf32> { return %a : tensor<4xf32> }
  }
  module @b attributes {flow.executable, sym_visibility = "private"} {
    func.func @same(%a: tensor<4xf32>) -> tensor<4xf32> { return %a : tensor<4xf32> }
  }
  func.func private @host() attributes {flow.calls = @b::@same}
}

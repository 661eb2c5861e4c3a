// A configured entry point becomes an object among the constants and a row for the library's table.
// RUN: mlirage opt --passes=hal-materialize-interfaces,hal-configure-executables,hal-translate-executables --target=x86_64:x86-64-v3 %s | filecheck %s

// CHECK: module @a attributes {flow.executable, hal.executable.objects = [{bindings = 2 : i64, data = "scale.o", entry = "scale", scalars = ["float"], scratch_size = 0 : i64, symbol = "scale"}]
// CHECK-NEXT: func.func @scale_workgroup_count(%arg0: f32) -> (index, index, index)
// CHECK-NOT: linalg
module {
  module @a attributes {flow.executable, sym_visibility = "private"} {
    func.func @scale(%a: tensor<4xf32>, %s: f32) -> tensor<4xf32> {
      %e = tensor.empty() : tensor<4xf32>
      %y = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
          ins(%a : tensor<4xf32>) outs(%e : tensor<4xf32>) {
      ^bb0(%x: f32, %o: f32):
        %z = arith.mulf %x, %s : f32
        linalg.yield %z : f32
      } -> tensor<4xf32>
      return %y : tensor<4xf32>
    }
  }
}

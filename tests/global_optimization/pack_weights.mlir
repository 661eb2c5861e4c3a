// RUN: mlirage opt --passes=input-externalize-constants,global-optimization-pack-weights --target=x86_64-unknown-linux-gnu:x86-64-v4 %s | filecheck %s

// 10 columns take one panel of one vector, filled up; the loops still run to 10.
// CHECK: #[[W_MAP:.+]] = affine_map<(d0, d1, d2) -> (d1 floordiv 16, d2, d1 mod 16)>
// CHECK: ml_program.global private @const.panels16(#extern) : tensor<1x2x16xf32>
// CHECK-NOT: ml_program.global private
// CHECK-LABEL: func.func @matmul(
// CHECK: %[[W:.+]] = ml_program.global_load_const @{{.+}}.panels16 : tensor<1x2x16xf32>
// CHECK: linalg.generic {indexing_maps = [#{{.+}}, #[[W_MAP]], #{{.+}}], iterator_types = ["parallel", "parallel", "reduction"]} ins(%arg0, %[[W]] : tensor<?x2xf32>, tensor<1x2x16xf32>) outs(%arg1 : tensor<?x10xf32>)
func.func @matmul(%x: tensor<?x2xf32>, %init: tensor<?x10xf32>) -> tensor<?x10xf32> {
  %w = arith.constant dense<[[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
                             [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]]> : tensor<2x10xf32>
  %r = linalg.matmul ins(%x, %w : tensor<?x2xf32>, tensor<2x10xf32>) outs(%init : tensor<?x10xf32>) -> tensor<?x10xf32>
  return %r : tensor<?x10xf32>
}

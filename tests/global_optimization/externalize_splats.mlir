// RUN: mlirage opt --passes=global-optimization-externalize-splats %s | filecheck %s

// CHECK: ml_program.global private @splat(#extern) : tensor<64x64xf32>
// CHECK-LABEL: func.func @weights(
// CHECK: %[[W:.+]] = ml_program.global_load_const @splat : tensor<64x64xf32>
// CHECK: linalg.matmul ins(%arg0, %[[W]]
func.func @weights(%x: tensor<2x64xf32>, %z: tensor<2x64xf32>) -> tensor<2x64xf32> {
  %w = arith.constant dense<0.5> : tensor<64x64xf32>
  %p = linalg.matmul ins(%x, %w : tensor<2x64xf32>, tensor<64x64xf32>) outs(%z : tensor<2x64xf32>) -> tensor<2x64xf32>
  return %p : tensor<2x64xf32>
}

// Small ones stay.
// CHECK-LABEL: func.func @small(
// CHECK: arith.constant dense<1> : tensor<4xi32>
func.func @small() -> tensor<4xi32> {
  %c = arith.constant dense<1> : tensor<4xi32>
  return %c : tensor<4xi32>
}

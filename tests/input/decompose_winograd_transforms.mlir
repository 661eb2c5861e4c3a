// RUN: mlirage opt --passes=input-decompose-winograd-transforms %s | filecheck %s

// CHECK-LABEL: func.func @filter
// CHECK: %[[G:.*]] = arith.constant dense<{{.*}}5.000000e-01{{.*}}> : tensor<4x3xf32>
// CHECK: %[[H:.*]] = linalg.generic {{.*}} ins(%[[G]], %arg0 : tensor<4x3xf32>, tensor<5x3x3x?xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[H]] : tensor<4x3xf32>, tensor<4x5x3x?xf32>)
// CHECK: tensor.cast %{{.*}} : tensor<4x4x?x5xf32> to tensor<4x4x?x?xf32>
func.func @filter(%w: tensor<5x3x3x?xf32>, %o: tensor<4x4x?x?xf32>) -> tensor<4x4x?x?xf32> {
  %r = linalg.winograd_filter_transform fmr(F_2_3) ins(%w : tensor<5x3x3x?xf32>) outs(%o : tensor<4x4x?x?xf32>)
      -> tensor<4x4x?x?xf32>
  return %r : tensor<4x4x?x?xf32>
}

// Of one column: the transform is that of the rows alone, and what is in the out is added to.
// CHECK-LABEL: func.func @output
// CHECK: arith.constant 3.200000e+01 : f32
// CHECK: arith.addf
func.func @output(%x: tensor<6x1x2x7x3x5xf32>, %o: tensor<3x8x7x5xf32>) -> tensor<3x8x7x5xf32> {
  %r = linalg.winograd_output_transform fmr(F_4_3) ins(%x : tensor<6x1x2x7x3x5xf32>) outs(%o : tensor<3x8x7x5xf32>)
      -> tensor<3x8x7x5xf32>
  return %r : tensor<3x8x7x5xf32>
}

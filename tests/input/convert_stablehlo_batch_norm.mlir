// RUN: mlirage opt --passes=input-convert-stablehlo-batch-norm %s | filecheck %s

// CHECK-LABEL: func.func @inference
// CHECK: %[[CENTERED:.*]] = stablehlo.subtract
// CHECK: %[[DEVIATION:.*]] = stablehlo.sqrt
// CHECK: stablehlo.divide %[[CENTERED]]
// CHECK-NOT: batch_norm
func.func @inference(%x: tensor<2x3xf32>, %v: tensor<3xf32>) -> tensor<2x3xf32> {
  %0 = "stablehlo.batch_norm_inference"(%x, %v, %v, %v, %v) <{epsilon = 1.0e-3 : f32, feature_index = 1 : i64}>
    : (tensor<2x3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<2x3xf32>
  return %0 : tensor<2x3xf32>
}

// Sums of halves are floats.
// CHECK-LABEL: func.func @training
// CHECK: stablehlo.convert %arg0 : (tensor<2x3xf16>) -> tensor<2x3xf32>
// CHECK: stablehlo.reduce
// CHECK: tensor<2x3xf32>) -> tensor<2x3xf16>
func.func @training(%x: tensor<2x3xf16>, %v: tensor<3xf16>) -> (tensor<2x3xf16>, tensor<3xf16>, tensor<3xf16>) {
  %0:3 = "stablehlo.batch_norm_training"(%x, %v, %v) <{epsilon = 1.0e-3 : f32, feature_index = 1 : i64}>
    : (tensor<2x3xf16>, tensor<3xf16>, tensor<3xf16>) -> (tensor<2x3xf16>, tensor<3xf16>, tensor<3xf16>)
  return %0#0, %0#1, %0#2 : tensor<2x3xf16>, tensor<3xf16>, tensor<3xf16>
}

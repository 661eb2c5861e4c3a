// RUN: mlirage opt --passes=input-center-quantized-products %s | filecheck %s

// A zero point that is 0 leaves its operand as it is.
// CHECK-LABEL: func.func @matmul
func.func @matmul(%x: tensor<?x5xi8>, %w: tensor<5x3xi8>, %o: tensor<?x3xi32>, %z: i32) -> tensor<?x3xi32> {
  // CHECK: %[[C:.*]] = linalg.generic {{.*}} ins(%arg0 : tensor<?x5xi8>)
  // CHECK: arith.extsi {{.*}} : i8 to i32
  // CHECK: arith.subi
  // CHECK: linalg.matmul ins(%[[C]], %arg1 : tensor<?x5xi32>, tensor<5x3xi8>) outs(%arg2 : tensor<?x3xi32>)
  %zero = arith.constant 0 : i32
  %r = linalg.quantized_matmul ins(%x, %w, %z, %zero : tensor<?x5xi8>, tensor<5x3xi8>, i32, i32) outs(%o : tensor<?x3xi32>) -> tensor<?x3xi32>
  return %r : tensor<?x3xi32>
}

// CHECK-LABEL: func.func @conv
func.func @conv(%x: tensor<1x9x9x5xi8>, %w: tensor<3x3x5x7xi8>, %o: tensor<1x4x4x7xi32>, %z: i32) -> tensor<1x4x4x7xi32> {
  // CHECK: linalg.conv_2d_nhwc_hwcf {dilations = dense<1> : tensor<2xi64>, strides = dense<2> : tensor<2xi64>}
  %r = linalg.conv_2d_nhwc_hwcf_q {dilations = dense<1> : tensor<2xi64>, strides = dense<2> : tensor<2xi64>} ins(%x, %w, %z, %z : tensor<1x9x9x5xi8>, tensor<3x3x5x7xi8>, i32, i32) outs(%o : tensor<1x4x4x7xi32>) -> tensor<1x4x4x7xi32>
  return %r : tensor<1x4x4x7xi32>
}

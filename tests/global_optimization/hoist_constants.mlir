// RUN: mlirage opt --passes=global-optimization-hoist-constants,canonicalize %s | filecheck %s
// Values of constants are not part of the text: hoist_constants_test.py checks what is computed.

// Splat constants move through reshapes without being made.
// CHECK-LABEL: func.func @moved_splat(
// CHECK: %[[C:.+]] = arith.constant dense<2.000000e+00> : tensor<6xf32>
// CHECK-NEXT: return %[[C]]
func.func @moved_splat() -> tensor<6xf32> {
  %c = arith.constant dense<2.0> : tensor<2x3xf32>
  %0 = tensor.collapse_shape %c [[0, 1]] : tensor<2x3xf32> into tensor<6xf32>
  return %0 : tensor<6xf32>
}

// What depends on an argument stays.
// CHECK-LABEL: func.func @argument(
// CHECK: tensor.collapse_shape
func.func @argument(%x: tensor<2x3xf32>) -> tensor<6xf32> {
  %0 = tensor.collapse_shape %x [[0, 1]] : tensor<2x3xf32> into tensor<6xf32>
  return %0 : tensor<6xf32>
}

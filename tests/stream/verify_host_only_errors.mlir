// RUN: not mlirage opt --passes=stream-verify-host-only %s 2>&1 | filecheck %s

// CHECK: execution_model=host-only is for programs of scalars alone, without tensors and kernels:
// CHECK-NEXT: function @main takes or gives tensors
// CHECK-NEXT: flow.tensor_load
// CHECK-NOT: arith.addf
func.func @main(%x: tensor<f32>) -> f32 {
  %v = "flow.tensor_load"(%x) {operandSegmentSizes = array<i32: 1, 0, 0>} : (tensor<f32>) -> f32
  %w = arith.addf %v, %v : f32
  return %w : f32
}

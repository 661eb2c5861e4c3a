// RUN: mlirage opt --passes=global-optimization-fold-empty-reshapes,canonicalize %s | filecheck %s

// CHECK-LABEL: func.func @expand(
// CHECK-SAME: %[[N:.+]]: index
// CHECK-NOT: expand_shape
// CHECK: %[[E:.+]] = tensor.empty(%[[N]]) : tensor<?x2x2xf32>
// CHECK-NOT: expand_shape
// CHECK: return %[[E]]
func.func @expand(%n: index) -> tensor<?x2x2xf32> {
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %r = tensor.expand_shape %e [[0], [1, 2]] output_shape [%n, 2, 2] : tensor<?x4xf32> into tensor<?x2x2xf32>
  return %r : tensor<?x2x2xf32>
}

// CHECK-LABEL: func.func @collapse(
// CHECK-SAME: %[[N:.+]]: index
// CHECK: %[[M:.+]] = {{arith.muli|affine.apply}}
// CHECK: %[[E:.+]] = tensor.empty(%[[M]]) : tensor<?xf32>
// CHECK: return %[[E]]
func.func @collapse(%n: index) -> tensor<?xf32> {
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %r = tensor.collapse_shape %e [[0, 1]] : tensor<?x4xf32> into tensor<?xf32>
  return %r : tensor<?xf32>
}

// Reshapes of tensors with contents stay.
// CHECK-LABEL: func.func @contents(
// CHECK: tensor.collapse_shape
func.func @contents(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  %r = tensor.collapse_shape %x [[0, 1]] : tensor<?x4xf32> into tensor<?xf32>
  return %r : tensor<?xf32>
}

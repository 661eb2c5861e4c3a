// RUN: mlirage opt --passes=global-optimization-fold-transposes,canonicalize %s | filecheck %s

#copy = affine_map<(i, j) -> (i, j)>
#swap = affine_map<(i, j) -> (j, i)>

// The left operand is read transposed; the right one keeps its columns side by side.
// CHECK: #[[LEFT:.+]] = affine_map<(d0, d1, d2) -> (d2, d0)>
// CHECK-LABEL: func.func @left_only(
// CHECK: %[[T:.+]] = linalg.generic {{.*}} ins(%arg1 : tensor<5x4xf32>)
// CHECK: linalg.generic {indexing_maps = [#[[LEFT]], {{.*}} ins(%arg0, %[[T]] : tensor<4x3xf32>, tensor<4x5xf32>)
func.func @left_only(%a: tensor<4x3xf32>, %b: tensor<5x4xf32>, %z: tensor<3x5xf32>) -> tensor<3x5xf32> {
  %e = tensor.empty() : tensor<3x4xf32>
  %f = tensor.empty() : tensor<4x5xf32>
  %s = linalg.generic {indexing_maps = [#swap, #copy], iterator_types = ["parallel", "parallel"]} ins(%a : tensor<4x3xf32>) outs(%e : tensor<3x4xf32>) {
  ^bb0(%x: f32, %o: f32):
    linalg.yield %x : f32
  } -> tensor<3x4xf32>
  %t = linalg.generic {indexing_maps = [#swap, #copy], iterator_types = ["parallel", "parallel"]} ins(%b : tensor<5x4xf32>) outs(%f : tensor<4x5xf32>) {
  ^bb0(%x: f32, %o: f32):
    linalg.yield %x : f32
  } -> tensor<4x5xf32>
  %p = linalg.matmul ins(%s, %t : tensor<3x4xf32>, tensor<4x5xf32>) outs(%z : tensor<3x5xf32>) -> tensor<3x5xf32>
  return %p : tensor<3x5xf32>
}

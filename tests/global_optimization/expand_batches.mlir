// RUN: mlirage opt --passes=global-optimization-expand-batches,global-optimization-fold-transposes,canonicalize,cse %s | filecheck %s

// CHECK-DAG: #[[Q:.+]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, d1, d4)>
// CHECK-DAG: #[[K:.+]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d4, d3)>
// CHECK-DAG: #[[R:.+]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3)>

// Queries times keys: batch and heads are two loops, and the queries are read where they lie.
// CHECK-LABEL: func.func @scores(
// CHECK: linalg.generic {indexing_maps = [#[[Q]], #[[K]], #[[R]]], {{.*}}} ins(%arg0, %arg1 : tensor<2x5x3x4xf32>, tensor<2x3x4x5xf32>)
// CHECK-NOT: shape
// CHECK: return
func.func @scores(%q: tensor<2x5x3x4xf32>, %k: tensor<2x3x4x5xf32>) -> tensor<2x3x5x5xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x3x5x4xf32>
  %t = linalg.generic {indexing_maps = [affine_map<(b, h, s, d) -> (b, s, h, d)>, affine_map<(b, h, s, d) -> (b, h, s, d)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%q : tensor<2x5x3x4xf32>) outs(%e : tensor<2x3x5x4xf32>) {
  ^bb0(%x: f32, %o: f32):
    linalg.yield %x : f32
  } -> tensor<2x3x5x4xf32>
  %a = tensor.collapse_shape %t [[0, 1], [2], [3]] : tensor<2x3x5x4xf32> into tensor<6x5x4xf32>
  %b = tensor.collapse_shape %k [[0, 1], [2], [3]] : tensor<2x3x4x5xf32> into tensor<6x4x5xf32>
  %f = tensor.empty() : tensor<6x5x5xf32>
  %z = linalg.fill ins(%zero : f32) outs(%f : tensor<6x5x5xf32>) -> tensor<6x5x5xf32>
  %p = linalg.batch_matmul ins(%a, %b : tensor<6x5x4xf32>, tensor<6x4x5xf32>) outs(%z : tensor<6x5x5xf32>) -> tensor<6x5x5xf32>
  %r = tensor.expand_shape %p [[0, 1], [2], [3]] output_shape [2, 3, 5, 5] : tensor<6x5x5xf32> into tensor<2x3x5x5xf32>
  return %r : tensor<2x3x5x5xf32>
}

// Batches of other shapes stay collapsed.
// CHECK-LABEL: func.func @different(
// CHECK: linalg.batch_matmul
func.func @different(%x: tensor<2x3x5x4xf32>, %y: tensor<3x2x4x5xf32>) -> tensor<6x5x5xf32> {
  %zero = arith.constant 0.0 : f32
  %a = tensor.collapse_shape %x [[0, 1], [2], [3]] : tensor<2x3x5x4xf32> into tensor<6x5x4xf32>
  %b = tensor.collapse_shape %y [[0, 1], [2], [3]] : tensor<3x2x4x5xf32> into tensor<6x4x5xf32>
  %f = tensor.empty() : tensor<6x5x5xf32>
  %z = linalg.fill ins(%zero : f32) outs(%f : tensor<6x5x5xf32>) -> tensor<6x5x5xf32>
  %p = linalg.batch_matmul ins(%a, %b : tensor<6x5x4xf32>, tensor<6x4x5xf32>) outs(%z : tensor<6x5x5xf32>) -> tensor<6x5x5xf32>
  return %p : tensor<6x5x5xf32>
}

// RUN: mlirage opt --passes=global-optimization-propagate-reshapes,canonicalize,cse %s | filecheck %s

#id3 = affine_map<(i, j, k) -> (i, j, k)>

// The bias and residual of a product are added in the shape of the product.
// CHECK-LABEL: func.func @collapsed_reader(
// CHECK: %[[P:.+]] = linalg.matmul
// CHECK: %[[R:.+]] = tensor.collapse_shape %arg3 {{\[\[}}0, 1], [2]] : tensor<2x3x8xf32> into tensor<6x8xf32>
// CHECK: %[[S:.+]] = linalg.generic {{.*}}ins(%[[P]], %arg2, %[[R]] : tensor<6x8xf32>, tensor<8xf32>, tensor<6x8xf32>)
// CHECK: %[[E:.+]] = tensor.expand_shape %[[S]]
// CHECK: return %[[E]]
func.func @collapsed_reader(%a: tensor<6x5xf32>, %b: tensor<5x8xf32>, %bias: tensor<8xf32>, %r: tensor<2x3x8xf32>) -> tensor<2x3x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<6x8xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<6x8xf32>) -> tensor<6x8xf32>
  %m = linalg.matmul ins(%a, %b : tensor<6x5xf32>, tensor<5x8xf32>) outs(%z : tensor<6x8xf32>) -> tensor<6x8xf32>
  %x = tensor.expand_shape %m [[0, 1], [2]] output_shape [2, 3, 8] : tensor<6x8xf32> into tensor<2x3x8xf32>
  %f = tensor.empty() : tensor<2x3x8xf32>
  %0 = linalg.generic {indexing_maps = [#id3, affine_map<(i, j, k) -> (k)>, #id3, #id3], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x, %bias, %r : tensor<2x3x8xf32>, tensor<8xf32>, tensor<2x3x8xf32>) outs(%f : tensor<2x3x8xf32>) {
  ^bb0(%p: f32, %q: f32, %s: f32, %o: f32):
    %t = arith.addf %p, %q : f32
    %u = arith.addf %t, %s : f32
    linalg.yield %u : f32
  } -> tensor<2x3x8xf32>
  return %0 : tensor<2x3x8xf32>
}

// A reader whose loops cannot be merged, since another operand has only one of them, stays.
// CHECK-LABEL: func.func @not_mergeable(
// CHECK: tensor.expand_shape
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel"]} ins(%{{.+}}, %arg1 : tensor<2x3xf32>, tensor<3xf32>)
func.func @not_mergeable(%a: tensor<6xf32>, %b: tensor<3xf32>) -> tensor<2x3xf32> {
  %e = tensor.empty() : tensor<6xf32>
  %n = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]} ins(%a : tensor<6xf32>) outs(%e : tensor<6xf32>) {
  ^bb0(%p: f32, %o: f32):
    %t = math.exp %p : f32
    linalg.yield %t : f32
  } -> tensor<6xf32>
  %x = tensor.expand_shape %n [[0, 1]] output_shape [2, 3] : tensor<6xf32> into tensor<2x3xf32>
  %f = tensor.empty() : tensor<2x3xf32>
  %0 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%x, %b : tensor<2x3xf32>, tensor<3xf32>) outs(%f : tensor<2x3xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %t = arith.addf %p, %q : f32
    linalg.yield %t : f32
  } -> tensor<2x3xf32>
  return %0 : tensor<2x3xf32>
}

// After a collapse the reader gets the loops of the producer (grouped convolutions).
// CHECK-LABEL: func.func @expanded_reader(
// CHECK: %[[S:.+]] = linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction"]
// CHECK: %[[B:.+]] = tensor.expand_shape %arg1 {{\[\[}}0, 1]] output_shape [2, 3]
// CHECK: linalg.generic {{.*}} ins(%[[S]], %[[B]] : tensor<2x3xf32>, tensor<2x3xf32>)
// CHECK: tensor.collapse_shape
func.func @expanded_reader(%a: tensor<2x3x4xf32>, %b: tensor<6xf32>, %z: tensor<2x3xf32>) -> tensor<6xf32> {
  %s = linalg.generic {indexing_maps = [#id3, affine_map<(i, j, k) -> (i, j)>], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a : tensor<2x3x4xf32>) outs(%z : tensor<2x3xf32>) {
  ^bb0(%p: f32, %o: f32):
    %t = arith.addf %p, %o : f32
    linalg.yield %t : f32
  } -> tensor<2x3xf32>
  %c = tensor.collapse_shape %s [[0, 1]] : tensor<2x3xf32> into tensor<6xf32>
  %e = tensor.empty() : tensor<6xf32>
  %0 = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]} ins(%c, %b : tensor<6xf32>, tensor<6xf32>) outs(%e : tensor<6xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %t = arith.addf %p, %q : f32
    linalg.yield %t : f32
  } -> tensor<6xf32>
  return %0 : tensor<6xf32>
}

// Dynamic extents: the reshapes of a chain meet and go.
// CHECK-LABEL: func.func @dynamic(
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "reduction"]
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel"]
// CHECK: tensor.expand_shape %{{.+}} {{\[\[}}0, 1]] output_shape
// CHECK-NOT: linalg.generic
func.func @dynamic(%a: tensor<?x4xf32>, %b: index, %c: index) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %a, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%n) : tensor<?xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?xf32>) -> tensor<?xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(i, k) -> (i, k)>, affine_map<(i, k) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%a : tensor<?x4xf32>) outs(%z : tensor<?xf32>) {
  ^bb0(%p: f32, %o: f32):
    %t = arith.addf %p, %o : f32
    linalg.yield %t : f32
  } -> tensor<?xf32>
  %x = tensor.expand_shape %s [[0, 1]] output_shape [%b, %c] : tensor<?xf32> into tensor<?x?xf32>
  %f = tensor.empty(%b, %c) : tensor<?x?xf32>
  %0 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<?x?xf32>) outs(%f : tensor<?x?xf32>) {
  ^bb0(%p: f32, %o: f32):
    %t = math.exp %p : f32
    linalg.yield %t : f32
  } -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

// Dims merged from other extents are no dims of the same shape: 1x2 is reshaped to 2x1, not read as if it were that.
// CHECK-LABEL: func.func @other_extents(
// CHECK-SAME: %[[X:.+]]: tensor<4x2x1xf32>, %[[Y:.+]]: tensor<4x1x2xf32>
// CHECK: %[[C:.+]] = tensor.collapse_shape %[[Y]] {{\[\[}}0], [1, 2]] : tensor<4x1x2xf32> into tensor<4x2xf32>
// CHECK: %[[E:.+]] = tensor.expand_shape %[[C]] {{\[\[}}0], [1, 2]] output_shape [4, 2, 1] : tensor<4x2xf32> into tensor<4x2x1xf32>
// CHECK: linalg.generic {{.*}}ins(%{{.+}}, %[[E]] : tensor<4x2x1xf32>, tensor<4x2x1xf32>)
func.func @other_extents(%x: tensor<4x2x1xf32>, %y: tensor<4x1x2xf32>) -> tensor<4x2xf32> {
  %e3 = tensor.empty() : tensor<4x2x1xf32>
  %n = linalg.generic {indexing_maps = [#id3, #id3], iterator_types = ["parallel", "parallel", "parallel"]} ins(%x : tensor<4x2x1xf32>) outs(%e3 : tensor<4x2x1xf32>) {
  ^bb0(%p: f32, %o: f32):
    %t = math.exp %p : f32
    linalg.yield %t : f32
  } -> tensor<4x2x1xf32>
  %a = tensor.collapse_shape %n [[0], [1, 2]] : tensor<4x2x1xf32> into tensor<4x2xf32>
  %b = tensor.collapse_shape %y [[0], [1, 2]] : tensor<4x1x2xf32> into tensor<4x2xf32>
  %e = tensor.empty() : tensor<4x2xf32>
  %0 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%a, %b : tensor<4x2xf32>, tensor<4x2xf32>) outs(%e : tensor<4x2xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %t = arith.addf %p, %q : f32
    linalg.yield %t : f32
  } -> tensor<4x2xf32>
  return %0 : tensor<4x2xf32>
}

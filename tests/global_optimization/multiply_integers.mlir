// RUN: mlirage opt --passes=input-externalize-constants,global-optimization-multiply-integers %s | filecheck %s

// The columns of the weights sum to 60, 64, 68, 72 and 76; the left zero point is 10. Two scales become one factor.
// CHECK-LABEL: func.func @dequantized(
// CHECK-SAME: %[[Q:.+]]: tensor<?x4xi8>
// CHECK: %[[I:.+]] = linalg.generic {{.+}} ins(%[[Q]], %{{.+}} : tensor<?x4xi8>, tensor<4x5xi8>)
// CHECK: arith.extui %{{.+}} : i8 to i32
// CHECK: arith.extsi %{{.+}} : i8 to i32
// CHECK: arith.muli
// CHECK: arith.addi
// CHECK: linalg.generic {{.+}} ins(%[[I]], %{{.+}} : tensor<?x5xi32>, tensor<5xi32>)
// CHECK: arith.subi
// CHECK: %[[F:.+]] = arith.constant 1.250000e-01 : f32
// CHECK: arith.sitofp
// CHECK: arith.mulf %{{.+}}, %[[F]] : f32
func.func @dequantized(%q: tensor<?x4xi8>, %init: tensor<?x5xf32>) -> tensor<?x5xf32> {
  %w = arith.constant dense<[[0, 1, 2, 3, 4], [10, 11, 12, 13, 14], [20, 21, 22, 23, 24], [30, 31, 32, 33, 34]]> : tensor<4x5xi8>
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %q, %c0 : tensor<?x4xi8>
  %e = tensor.empty(%m) : tensor<?x4xf32>
  %x = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
      iterator_types = ["parallel", "parallel"]} ins(%q : tensor<?x4xi8>) outs(%e : tensor<?x4xf32>) {
  ^bb0(%in: i8, %o: f32):
    %z = arith.constant 10 : i32
    %s = arith.constant 0.5 : f32
    %1 = arith.extui %in : i8 to i32
    %2 = arith.subi %1, %z : i32
    %3 = arith.sitofp %2 : i32 to f32
    %4 = arith.mulf %3, %s : f32
    linalg.yield %4 : f32
  } -> tensor<?x4xf32>
  %f = tensor.empty() : tensor<4x5xf32>
  %v = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
      iterator_types = ["parallel", "parallel"]} ins(%w : tensor<4x5xi8>) outs(%f : tensor<4x5xf32>) {
  ^bb0(%in: i8, %o: f32):
    %s = arith.constant 0.25 : f32
    %1 = arith.sitofp %in : i8 to f32
    %2 = arith.mulf %1, %s : f32
    linalg.yield %2 : f32
  } -> tensor<4x5xf32>
  %fill = linalg.fill ins(%zero : f32) outs(%init : tensor<?x5xf32>) -> tensor<?x5xf32>
  %r = linalg.matmul ins(%x, %v : tensor<?x4xf32>, tensor<4x5xf32>) outs(%fill : tensor<?x5xf32>) -> tensor<?x5xf32>
  return %r : tensor<?x5xf32>
}

// Activations that are floats leave the weights to `pack-weights`.
// CHECK-LABEL: func.func @weights_only(
// CHECK: linalg.matmul
func.func @weights_only(%x: tensor<2x2xf32>, %init: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %w = arith.constant dense<[[0, 1], [2, 3]]> : tensor<2x2xi8>
  %f = tensor.empty() : tensor<2x2xf32>
  %v = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
      iterator_types = ["parallel", "parallel"]} ins(%w : tensor<2x2xi8>) outs(%f : tensor<2x2xf32>) {
  ^bb0(%in: i8, %o: f32):
    %1 = arith.sitofp %in : i8 to f32
    linalg.yield %1 : f32
  } -> tensor<2x2xf32>
  %r = linalg.matmul ins(%x, %v : tensor<2x2xf32>, tensor<2x2xf32>) outs(%init : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %r : tensor<2x2xf32>
}

// The padding of a centered image is its zero point: 200 as a byte.
// CHECK-LABEL: func.func @padded(
// CHECK: %[[Z:.+]] = arith.constant -56 : i8
// CHECK: tensor.pad
// CHECK: tensor.yield %[[Z]] : i8
// CHECK: tensor<1x3x3x1xi8> to tensor<1x5x5x1xi8>
func.func @padded(%q: tensor<1x3x3x1xi8>) -> tensor<1x3x3x2xi32> {
  %w = arith.constant dense<[[[[1, 9]], [[2, 8]], [[3, 7]]], [[[4, 6]], [[5, 5]], [[6, 4]]],
                             [[[7, 3]], [[8, 2]], [[9, 1]]]]> : tensor<3x3x1x2xi32>
  %zero = arith.constant 0 : i32
  %e = tensor.empty() : tensor<1x3x3x1xi32>
  %x = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%q : tensor<1x3x3x1xi8>) outs(%e : tensor<1x3x3x1xi32>) {
  ^bb0(%in: i8, %o: i32):
    %z = arith.constant 200 : i32
    %1 = arith.extui %in : i8 to i32
    %2 = arith.subi %1, %z : i32
    linalg.yield %2 : i32
  } -> tensor<1x3x3x1xi32>
  %p = tensor.pad %x low[0, 1, 1, 0] high[0, 1, 1, 0] {
  ^bb0(%a: index, %b: index, %c: index, %d: index):
    tensor.yield %zero : i32
  } : tensor<1x3x3x1xi32> to tensor<1x5x5x1xi32>
  %f = tensor.empty() : tensor<1x3x3x2xi32>
  %i = linalg.fill ins(%zero : i32) outs(%f : tensor<1x3x3x2xi32>) -> tensor<1x3x3x2xi32>
  %r = linalg.conv_2d_nhwc_hwcf {strides = dense<1> : tensor<2xi64>, dilations = dense<1> : tensor<2xi64>}
      ins(%p, %w : tensor<1x5x5x1xi32>, tensor<3x3x1x2xi32>) outs(%i : tensor<1x3x3x2xi32>) -> tensor<1x3x3x2xi32>
  return %r : tensor<1x3x3x2xi32>
}

// RUN: mlirage opt --passes=global-optimization-pool-integers %s | filecheck %s

// The padding becomes the lowest byte; zero point and scale follow the maximum.
// CHECK-LABEL: func.func @maximum(
// CHECK-SAME: %[[Q:.+]]: tensor<1x4x?x2xi8>
// CHECK: %[[LOW:.+]] = arith.constant 0 : i8
// CHECK: %[[P:.+]] = tensor.pad %[[Q]] low[0, 1, 1, 0] high[0, 1, 0, 0]
// CHECK: tensor.yield %[[LOW]] : i8
// CHECK: %[[I:.+]] = linalg.fill ins(%[[LOW]] : i8)
// CHECK: %[[M:.+]] = linalg.generic {{.+}} ins(%[[P]], %{{.+}} : tensor<1x6x?x2xi8>, tensor<3x2xi8>)
// CHECK: arith.maxui
// CHECK: linalg.generic {{.+}} ins(%[[M]] : tensor<1x4x?x2xi8>)
// CHECK: arith.extui
// CHECK: arith.subi
// CHECK: arith.sitofp
// CHECK: arith.mulf
func.func @maximum(%q: tensor<1x4x?x2xi8>, %e: tensor<1x4x?x2xf32>, %r: tensor<1x4x?x2xf32>) -> tensor<1x4x?x2xf32> {
  %low = arith.constant 0xFF800000 : f32
  %x = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%q : tensor<1x4x?x2xi8>) outs(%e : tensor<1x4x?x2xf32>) {
  ^bb0(%in: i8, %o: f32):
    %z = arith.constant 120 : i32
    %s = arith.constant 0.5 : f32
    %1 = arith.extui %in : i8 to i32
    %2 = arith.subi %1, %z : i32
    %3 = arith.sitofp %2 : i32 to f32
    %4 = arith.mulf %3, %s : f32
    linalg.yield %4 : f32
  } -> tensor<1x4x?x2xf32>
  %p = tensor.pad %x low[0, 1, 1, 0] high[0, 1, 0, 0] {
  ^bb0(%a: index, %b: index, %c: index, %d: index):
    tensor.yield %low : f32
  } : tensor<1x4x?x2xf32> to tensor<1x6x?x2xf32>
  %w = tensor.empty() : tensor<3x2xf32>
  %i = linalg.fill ins(%low : f32) outs(%r : tensor<1x4x?x2xf32>) -> tensor<1x4x?x2xf32>
  %m = linalg.pooling_nhwc_max {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>}
      ins(%p, %w : tensor<1x6x?x2xf32>, tensor<3x2xf32>) outs(%i : tensor<1x4x?x2xf32>) -> tensor<1x4x?x2xf32>
  return %m : tensor<1x4x?x2xf32>
}

// A negative scale turns the order around.
// CHECK-LABEL: func.func @negative(
// CHECK: linalg.pooling_nhwc_max {{.+}} tensor<1x4x4x2xf32>
func.func @negative(%q: tensor<1x4x4x2xi8>, %e: tensor<1x4x4x2xf32>, %r: tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32> {
  %low = arith.constant 0xFF800000 : f32
  %x = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%q : tensor<1x4x4x2xi8>) outs(%e : tensor<1x4x4x2xf32>) {
  ^bb0(%in: i8, %o: f32):
    %s = arith.constant -0.5 : f32
    %1 = arith.sitofp %in : i8 to f32
    %2 = arith.mulf %1, %s : f32
    linalg.yield %2 : f32
  } -> tensor<1x4x4x2xf32>
  %w = tensor.empty() : tensor<3x3xf32>
  %i = linalg.fill ins(%low : f32) outs(%r : tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32>
  %m = linalg.pooling_nhwc_max {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>}
      ins(%x, %w : tensor<1x4x4x2xf32>, tensor<3x3xf32>) outs(%i : tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32>
  return %m : tensor<1x2x2x2xf32>
}

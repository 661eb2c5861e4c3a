// RUN: mlirage opt --passes=global-optimization-channels-last,canonicalize,cse --split-input-file %s | filecheck %s

// One transpose in front, one behind; padding, bias, pooling and the second convolution are in the new order.
// CHECK-DAG: #[[IMAGE:.+]] = affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0, d2 + d5, d3 + d6, d4)>
// CHECK-DAG: #[[OUT:.+]] = affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0, d2, d3, d1)>
// CHECK-LABEL: func.func @chain(
// CHECK: linalg.generic {{.*}} ins(%arg0 : tensor<2x6x?x9xf32>)
// CHECK: linalg.yield %in : f32
// CHECK: tensor.pad %{{.*}} low[0, 1, 1, 0] high[0, 1, 1, 0]
// CHECK: linalg.generic {indexing_maps = [#[[IMAGE]], #{{.*}}, #[[OUT]]]
// CHECK: arith.maximumf
// CHECK-NOT: linalg.yield %in : f32
// CHECK: arith.maximumf
// CHECK-NOT: linalg.yield %in : f32
// CHECK: arith.mulf
// CHECK: linalg.yield %in : f32
// CHECK: return
func.func @chain(%x: tensor<2x6x?x9xf32>, %w: tensor<8x6x3x3xf32>, %b: tensor<8xf32>, %v: tensor<5x8x1x1xf32>, %d: index)
    -> tensor<2x5x?x9xf32> {
  %z = arith.constant 0.0 : f32
  %p = tensor.pad %x low[0, 0, 1, 1] high[0, 0, 1, 1] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %z : f32
  } : tensor<2x6x?x9xf32> to tensor<2x6x?x11xf32>
  %e = tensor.empty(%d) : tensor<2x8x?x9xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<2x8x?x9xf32>) -> tensor<2x8x?x9xf32>
  %c = linalg.conv_2d_nchw_fchw ins(%p, %w : tensor<2x6x?x11xf32>, tensor<8x6x3x3xf32>)
      outs(%f : tensor<2x8x?x9xf32>) -> tensor<2x8x?x9xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(n, c, h, w) -> (n, c, h, w)>, affine_map<(n, c, h, w) -> (c)>,
                       affine_map<(n, c, h, w) -> (n, c, h, w)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%c, %b : tensor<2x8x?x9xf32>, tensor<8xf32>) outs(%e : tensor<2x8x?x9xf32>) {
  ^bb0(%a: f32, %y: f32, %o: f32):
    %m = arith.addf %a, %y : f32
    %q = arith.maximumf %m, %z : f32
    linalg.yield %q : f32
  } -> tensor<2x8x?x9xf32>
  %q = tensor.pad %r low[0, 0, 1, 1] high[0, 0, 1, 1] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %z : f32
  } : tensor<2x8x?x9xf32> to tensor<2x8x?x11xf32>
  %window = tensor.empty() : tensor<3x3xf32>
  %pool = linalg.pooling_nchw_max ins(%q, %window : tensor<2x8x?x11xf32>, tensor<3x3xf32>)
      outs(%f : tensor<2x8x?x9xf32>) -> tensor<2x8x?x9xf32>
  %e2 = tensor.empty(%d) : tensor<2x5x?x9xf32>
  %f2 = linalg.fill ins(%z : f32) outs(%e2 : tensor<2x5x?x9xf32>) -> tensor<2x5x?x9xf32>
  %c2 = linalg.conv_2d_nchw_fchw ins(%pool, %v : tensor<2x8x?x9xf32>, tensor<5x8x1x1xf32>)
      outs(%f2 : tensor<2x5x?x9xf32>) -> tensor<2x5x?x9xf32>
  return %c2 : tensor<2x5x?x9xf32>
}

// -----

// Nothing to do for channels that are last already.
// CHECK-LABEL: func.func @nhwc(
// CHECK-NEXT: linalg.conv_2d_nhwc_hwcf
// CHECK-NEXT: return
func.func @nhwc(%x: tensor<1x9x9x3xf32>, %w: tensor<3x3x3x8xf32>, %init: tensor<1x7x7x8xf32>) -> tensor<1x7x7x8xf32> {
  %c = linalg.conv_2d_nhwc_hwcf ins(%x, %w : tensor<1x9x9x3xf32>, tensor<3x3x3x8xf32>)
      outs(%init : tensor<1x7x7x8xf32>) -> tensor<1x7x7x8xf32>
  return %c : tensor<1x7x7x8xf32>
}

// -----

// An image of three channels is read pixel by pixel: it stays, the result has its channels last.
// CHECK-DAG: #[[RGB:.+]] = affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0, d4, d2 * 2 + d5, d3 * 2 + d6)>
// CHECK-DAG: #[[TURNED:.+]] = affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0, d2, d3, d1)>
// CHECK-LABEL: func.func @camera(
// CHECK-NOT: linalg.yield %in : f32
// CHECK: tensor.pad %arg0 low[0, 0, 1, 1]
// CHECK: linalg.generic {indexing_maps = [#[[RGB]], #{{.*}}, #[[TURNED]]]
// CHECK-SAME: outs(%{{.*}} : tensor<1x5x5x8xf32>)
func.func @camera(%x: tensor<1x3x9x9xf32>, %w: tensor<8x3x3x3xf32>) -> tensor<1x8x5x5xf32> {
  %z = arith.constant 0.0 : f32
  %p = tensor.pad %x low[0, 0, 1, 1] high[0, 0, 1, 1] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %z : f32
  } : tensor<1x3x9x9xf32> to tensor<1x3x11x11xf32>
  %e = tensor.empty() : tensor<1x8x5x5xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x8x5x5xf32>) -> tensor<1x8x5x5xf32>
  %c = linalg.conv_2d_nchw_fchw {strides = dense<2> : vector<2xi64>}
      ins(%p, %w : tensor<1x3x11x11xf32>, tensor<8x3x3x3xf32>) outs(%f : tensor<1x8x5x5xf32>) -> tensor<1x8x5x5xf32>
  return %c : tensor<1x8x5x5xf32>
}

// -----

// The filter of a depthwise convolution has its channels last as well: they are the lanes of its kernel.
// CHECK-LABEL: func.func @depthwise(
// CHECK: linalg.generic {indexing_maps = [#{{.*}}, #{{.*}}, #{{.*}}], {{.*}} ins(%{{.*}}, %{{.*}} : tensor<1x9x9x8xf32>, tensor<3x3x8xf32>)
func.func @depthwise(%x: tensor<1x8x9x9xf32>, %w: tensor<8x3x3xf32>, %init: tensor<1x8x7x7xf32>)
    -> tensor<1x8x7x7xf32> {
  %c = linalg.depthwise_conv_2d_nchw_chw ins(%x, %w : tensor<1x8x9x9xf32>, tensor<8x3x3xf32>)
      outs(%init : tensor<1x8x7x7xf32>) -> tensor<1x8x7x7xf32>
  return %c : tensor<1x8x7x7xf32>
}

// -----

// Of an image that is turned around, a convolution of single pixels with strides needs a few.
// CHECK-LABEL: func.func @few_pixels(
// CHECK: tensor.extract_slice %arg0[0, 0, 0, 0] [1, 8, 4, 3] [1, 1, 2, 3] : tensor<1x8x7x9xf32> to tensor<1x8x4x3xf32>
// CHECK: linalg.generic {{.*}} ins(%{{.+}} : tensor<1x8x4x3xf32>) outs(%{{.+}} : tensor<1x4x3x8xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.+}}, %arg1 : tensor<1x4x3x8xf32>, tensor<16x8x1x1xf32>)
func.func @few_pixels(%x: tensor<1x8x7x9xf32>, %w: tensor<16x8x1x1xf32>) -> tensor<1x16x4x3xf32> {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x16x4x3xf32>
  %i = linalg.fill ins(%z : f32) outs(%e : tensor<1x16x4x3xf32>) -> tensor<1x16x4x3xf32>
  %y = linalg.conv_2d_nchw_fchw {dilations = dense<1> : tensor<2xi64>, strides = dense<[2, 3]> : tensor<2xi64>}
    ins(%x, %w : tensor<1x8x7x9xf32>, tensor<16x8x1x1xf32>) outs(%i : tensor<1x16x4x3xf32>) -> tensor<1x16x4x3xf32>
  return %y : tensor<1x16x4x3xf32>
}

// Groups of channels are split after the copy to the other order, and padded after that.
// CHECK-LABEL: func.func @groups(
// CHECK: %[[LAST:.+]] = linalg.generic {{.*}} ins(%arg0 : tensor<1x12x5x7xf32>) outs(%{{.+}} : tensor<1x5x7x12xf32>)
// CHECK: %[[SPLIT:.+]] = tensor.expand_shape %[[LAST]] {{.*}} into tensor<1x5x7x2x6xf32>
// CHECK: tensor.pad %[[SPLIT]] low[0, 1, 1, 0, 0] high[0, 1, 1, 0, 0]
func.func @groups(%x: tensor<1x12x5x7xf32>, %w: tensor<2x6x6x3x3xf32>) -> tensor<1x2x6x5x7xf32> {
  %z = arith.constant 0.0 : f32
  %s = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [1, 2, 6, 5, 7]
    : tensor<1x12x5x7xf32> into tensor<1x2x6x5x7xf32>
  %p = tensor.pad %s low[0, 0, 0, 1, 1] high[0, 0, 0, 1, 1] {
  ^bb0(%a: index, %b: index, %c: index, %d: index, %f: index):
    tensor.yield %z : f32
  } : tensor<1x2x6x5x7xf32> to tensor<1x2x6x7x9xf32>
  %e = tensor.empty() : tensor<1x2x6x5x7xf32>
  %i = linalg.fill ins(%z : f32) outs(%e : tensor<1x2x6x5x7xf32>) -> tensor<1x2x6x5x7xf32>
  %y = linalg.conv_2d_ngchw_gfchw {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>}
    ins(%p, %w : tensor<1x2x6x7x9xf32>, tensor<2x6x6x3x3xf32>) outs(%i : tensor<1x2x6x5x7xf32>)
    -> tensor<1x2x6x5x7xf32>
  return %y : tensor<1x2x6x5x7xf32>
}

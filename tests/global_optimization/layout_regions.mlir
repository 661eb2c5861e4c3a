// RUN: mlirage opt --passes=global-optimization-channels-last,canonicalize,cse --split-input-file %s | filecheck %s

// Alone, a pooling slides over rows of planes.
// CHECK-LABEL: func.func @pool(
// CHECK-NOT: linalg.generic
// CHECK: linalg.pooling_nchw_max
// CHECK-NEXT: return
func.func @pool(%x: tensor<1x64x114x114xf32>) -> tensor<1x64x56x56xf32> {
  %z = arith.constant 0xFF800000 : f32
  %k = tensor.empty() : tensor<3x3xf32>
  %e = tensor.empty() : tensor<1x64x56x56xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x64x56x56xf32>) -> tensor<1x64x56x56xf32>
  %y = linalg.pooling_nchw_max {strides = dense<2> : tensor<2xi64>} ins(%x, %k : tensor<1x64x114x114xf32>, tensor<3x3xf32>)
      outs(%f : tensor<1x64x56x56xf32>) -> tensor<1x64x56x56xf32>
  return %y : tensor<1x64x56x56xf32>
}

// -----

// Alone, a convolution of single pixels is a product of filters and pixels.
// CHECK-DAG: #[[FILTERS:.+]] = affine_map<(d0, d1, d2, d3) -> (d1, d3)>
// CHECK-DAG: #[[PIXELS:.+]] = affine_map<(d0, d1, d2, d3) -> (d0, d3, d2)>
// CHECK-LABEL: func.func @pixels(
// CHECK: %[[X:.+]] = tensor.collapse_shape %{{.*}} {{\[}}[0], [1], [2, 3]] : tensor<2x32x20x20xf32> into tensor<2x32x400xf32>
// CHECK: linalg.generic {indexing_maps = [#[[FILTERS]], #[[PIXELS]], #{{.*}}]
// CHECK: tensor.expand_shape %{{.*}} output_shape [2, 16, 20, 20]
func.func @pixels(%x: tensor<2x32x20x20xf32>, %w: tensor<16x32x1x1xf32>, %i: tensor<2x16x20x20xf32>) -> tensor<2x16x20x20xf32> {
  %y = linalg.conv_2d_nchw_fchw ins(%x, %w : tensor<2x32x20x20xf32>, tensor<16x32x1x1xf32>)
      outs(%i : tensor<2x16x20x20xf32>) -> tensor<2x16x20x20xf32>
  return %y : tensor<2x16x20x20xf32>
}

// -----

// With a convolution of 3x3 behind it, it is not alone.
// CHECK-LABEL: func.func @together(
// CHECK-NOT: linalg.pooling_nchw_max
// CHECK: return
func.func @together(%x: tensor<1x64x114x114xf32>, %w: tensor<8x64x3x3xf32>, %i: tensor<1x8x54x54xf32>) -> tensor<1x8x54x54xf32> {
  %z = arith.constant 0xFF800000 : f32
  %k = tensor.empty() : tensor<3x3xf32>
  %e = tensor.empty() : tensor<1x64x56x56xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x64x56x56xf32>) -> tensor<1x64x56x56xf32>
  %y = linalg.pooling_nchw_max {strides = dense<2> : tensor<2xi64>} ins(%x, %k : tensor<1x64x114x114xf32>, tensor<3x3xf32>)
      outs(%f : tensor<1x64x56x56xf32>) -> tensor<1x64x56x56xf32>
  %c = linalg.conv_2d_nchw_fchw ins(%y, %w : tensor<1x64x56x56xf32>, tensor<8x64x3x3xf32>)
      outs(%i : tensor<1x8x54x54xf32>) -> tensor<1x8x54x54xf32>
  return %c : tensor<1x8x54x54xf32>
}

// -----

// Short rows fill vectors badly.
// CHECK-LABEL: func.func @narrow(
// CHECK-NOT: linalg.pooling_nchw_max
// CHECK: return
func.func @narrow(%x: tensor<1x64x9x9xf32>) -> tensor<1x64x7x7xf32> {
  %z = arith.constant 0xFF800000 : f32
  %k = tensor.empty() : tensor<3x3xf32>
  %e = tensor.empty() : tensor<1x64x7x7xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x64x7x7xf32>) -> tensor<1x64x7x7xf32>
  %y = linalg.pooling_nchw_max ins(%x, %k : tensor<1x64x9x9xf32>, tensor<3x3xf32>)
      outs(%f : tensor<1x64x7x7xf32>) -> tensor<1x64x7x7xf32>
  return %y : tensor<1x64x7x7xf32>
}

// -----

// So do planes of one pixel, as gates of squeeze-and-excitation have them: the channels are the columns of a product.
// CHECK-LABEL: func.func @gate(
// CHECK: ins(%{{.*}}, %arg1 : tensor<1x1x1x960xf32>, tensor<240x960x1x1xf32>) outs(%{{.*}} : tensor<1x1x1x240xf32>)
func.func @gate(%x: tensor<1x960x1x1xf32>, %w: tensor<240x960x1x1xf32>, %i: tensor<1x240x1x1xf32>) -> tensor<1x240x1x1xf32> {
  %y = linalg.conv_2d_nchw_fchw ins(%x, %w : tensor<1x960x1x1xf32>, tensor<240x960x1x1xf32>)
      outs(%i : tensor<1x240x1x1xf32>) -> tensor<1x240x1x1xf32>
  return %y : tensor<1x240x1x1xf32>
}

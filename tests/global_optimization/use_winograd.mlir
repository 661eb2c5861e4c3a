// RUN: mlirage opt --passes=global-optimization-externalize-splats,global-optimization-use-winograd --target=x86_64-unknown-linux-gnu:x86-64-v4 %s | filecheck %s

// A filter that is a fill is one number in the module, which its transform would not be. What filters of numbers become
// is tests/codegen/winograd_test.py's.
// CHECK-LABEL: func.func @padded(
// CHECK: tensor.pad
// CHECK: linalg.conv_2d_nhwc_hwcf
// CHECK-NOT: linalgx.winograd
func.func @padded(%x: tensor<1x56x56x64xf32>, %init: tensor<1x56x57x64xf32>) -> tensor<1x56x57x64xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<1.0> : tensor<3x3x64x64xf32>
  %p = tensor.pad %x low[0, 1, 2, 0] high[0, 1, 1, 0] {
  ^bb0(%n: index, %h: index, %v: index, %c: index):
    tensor.yield %zero : f32
  } : tensor<1x56x56x64xf32> to tensor<1x58x59x64xf32>
  %y = linalg.conv_2d_nhwc_hwcf ins(%p, %w : tensor<1x58x59x64xf32>, tensor<3x3x64x64xf32>) outs(%init : tensor<1x56x57x64xf32>) -> tensor<1x56x57x64xf32>
  return %y : tensor<1x56x57x64xf32>
}

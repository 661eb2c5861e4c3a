// RUN: mlirage opt --passes=input-convert-stablehlo-cumulative %s | filecheck %s

// CHECK-LABEL: func.func @from_the_end
func.func @from_the_end(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  // CHECK: linalgx.scan
  // CHECK: dimension = 1 : i64, exclusive = false, reverse = true
  // CHECK-NOT: stablehlo.reduce_window
  %z = stablehlo.constant dense<0.0> : tensor<f32>
  %r = "stablehlo.reduce_window"(%x, %z) <{window_dimensions = array<i64: 1, 8>, padding = dense<[[0, 0], [0, 7]]> : tensor<2x2xi64>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %s = stablehlo.add %a, %b : tensor<f32>
    stablehlo.return %s : tensor<f32>
  }) : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}

// An initial value that is not 0 counts for every place outside.
// CHECK-LABEL: func.func @counts
func.func @counts(%x: tensor<8xf32>) -> tensor<8xf32> {
  // CHECK: stablehlo.reduce_window
  %z = stablehlo.constant dense<1.0> : tensor<f32>
  %r = "stablehlo.reduce_window"(%x, %z) <{window_dimensions = array<i64: 8>, padding = dense<[[7, 0]]> : tensor<1x2xi64>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %s = stablehlo.add %a, %b : tensor<f32>
    stablehlo.return %s : tensor<f32>
  }) : (tensor<8xf32>, tensor<f32>) -> tensor<8xf32>
  return %r : tensor<8xf32>
}

// RUN: mlirage opt --passes=input-convert-stablehlo-windows %s | filecheck %s

// CHECK-LABEL: func.func @pad
// CHECK: linalg.generic
// CHECK: scf.if
// CHECK: tensor.extract %arg0
// CHECK-NOT: stablehlo.pad
func.func @pad(%x: tensor<?xf32>, %v: tensor<f32>) -> tensor<?xf32> {
  %0 = stablehlo.pad %x, %v, low = [1], high = [-2], interior = [3] : (tensor<?xf32>, tensor<f32>) -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

// Static shapes are left alone.
// CHECK-LABEL: func.func @static
// CHECK: stablehlo.pad
func.func @static(%x: tensor<4xf32>, %v: tensor<f32>) -> tensor<5xf32> {
  %0 = stablehlo.pad %x, %v, low = [1], high = [0], interior = [0] : (tensor<4xf32>, tensor<f32>) -> tensor<5xf32>
  return %0 : tensor<5xf32>
}

// CHECK-LABEL: func.func @maxima
// CHECK: linalg.generic
// CHECK: linalg.generic {indexing_maps = [{{.*}}], iterator_types = ["parallel", "reduction"]}
// CHECK-NOT: reduce_window
func.func @maxima(%x: tensor<?xf32>, %v: tensor<f32>) -> tensor<?xf32> {
  %0 = "stablehlo.reduce_window"(%x, %v) <{window_dimensions = array<i64: 3>, window_strides = array<i64: 2>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %1 = stablehlo.maximum %a, %b : tensor<f32>
    stablehlo.return %1 : tensor<f32>
  }) : (tensor<?xf32>, tensor<f32>) -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

// RUN: mlirage opt --passes=input-convert-tm-tensor --split-input-file %s | filecheck %s

// CHECK-LABEL: func.func @scan
// CHECK: "linalgx.scan"(%arg0, %{{.*}}, %arg2) ({
// CHECK: dimension = 1 : i64, exclusive = false, reverse = false
func.func @scan(%x: tensor<4x5xf32>, %y: tensor<4x5xf32>, %t: tensor<4xf32>) -> tensor<4x5xf32> {
  %0:2 = tm_tensor.scan dimension(1) inclusive(true) ins(%x : tensor<4x5xf32>) outs(%y, %t : tensor<4x5xf32>, tensor<4xf32>) {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    tm_tensor.yield %s : f32
  } -> tensor<4x5xf32>, tensor<4xf32>
  return %0#0 : tensor<4x5xf32>
}

// -----

// CHECK-LABEL: func.func @scatter
// CHECK: %[[W:.*]] = tensor.expand_shape %arg0 {{\[\[}}0, 1], [2]] output_shape [3, 1, 5]
// CHECK: "linalgx.scatter"(%arg1, %[[W]], %arg2) ({
// The update is the second argument of our region, the first of theirs.
// CHECK: ^bb0(%[[CURRENT:.*]]: f32, %[[UPDATE:.*]]: f32):
// CHECK: arith.subf %[[UPDATE]], %[[CURRENT]]
func.func @scatter(%u: tensor<3x5xf32>, %i: tensor<3x1xi32>, %o: tensor<10x5xf32>) -> tensor<10x5xf32> {
  %0 = tm_tensor.scatter {dimension_map = array<i64: 0>} unique_indices(false)
      ins(%u, %i : tensor<3x5xf32>, tensor<3x1xi32>) outs(%o : tensor<10x5xf32>) {
  ^bb0(%a: f32, %b: f32):
    %s = arith.subf %a, %b : f32
    tm_tensor.yield %s : f32
  } -> tensor<10x5xf32>
  return %0 : tensor<10x5xf32>
}

// -----

// CHECK-LABEL: func.func @sort
// CHECK: "linalgx.sort"(%arg0
func.func @sort(%x: tensor<4x5xf32>) -> tensor<4x5xf32> {
  %0 = tm_tensor.sort dimension(1) outs(%x : tensor<4x5xf32>) {
  ^bb0(%a: f32, %b: f32):
    %c = arith.cmpf ole, %a, %b : f32
    tm_tensor.yield %c : i1
  } -> tensor<4x5xf32>
  return %0 : tensor<4x5xf32>
}

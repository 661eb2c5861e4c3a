// RUN: mlirage opt --passes=input-convert-stablehlo-to-linalgx --split-input-file %s | filecheck %s

// CHECK-LABEL: func.func @sort
// Two inputs, two outs, and two of working memory.
// CHECK: "linalgx.sort"(%arg0, %arg1, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}) ({
// CHECK: ^bb0(%{{.*}}: f32, %{{.*}}: f32, %{{.*}}: i32, %{{.*}}: i32):
// CHECK: stablehlo.compare LT
// CHECK: "linalgx.yield"
// CHECK: dimension = 1
func.func @sort(%x: tensor<4x?xf32>, %i: tensor<4x?xi32>) -> tensor<4x?xi32> {
  %0:2 = "stablehlo.sort"(%x, %i) <{dimension = 1 : i64, is_stable = true}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>, %c: tensor<i32>, %d: tensor<i32>):
    %p = stablehlo.compare LT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
    stablehlo.return %p : tensor<i1>
  }) : (tensor<4x?xf32>, tensor<4x?xi32>) -> (tensor<4x?xf32>, tensor<4x?xi32>)
  return %0#1 : tensor<4x?xi32>
}

// -----

// Rows of a matrix: indices become 3x1 and i64, windows get a unit extent for the inserted dim.
// CHECK-LABEL: func.func @scatter_rows
// CHECK: %[[INDICES:.*]] = linalg.generic
// CHECK: arith.extsi %{{.*}} : i32 to i64
// CHECK: %[[WINDOWS:.*]] = tensor.expand_shape %arg2 {{\[\[}}0, 1], [2]] output_shape [3, 1, 5]
// CHECK: "linalgx.scatter"(%[[INDICES]], %[[WINDOWS]], %arg0) ({
// CHECK: stablehlo.add
// CHECK: dimension_map = [0]
// CHECK-SAME: unique = false
func.func @scatter_rows(%x: tensor<10x5xf32>, %i: tensor<3x1xi32>, %u: tensor<3x5xf32>) -> tensor<10x5xf32> {
  %0 = "stablehlo.scatter"(%x, %i, %u) <{
    scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0],
      scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %s = stablehlo.add %a, %b : tensor<f32>
    stablehlo.return %s : tensor<f32>
  }) : (tensor<10x5xf32>, tensor<3x1xi32>, tensor<3x5xf32>) -> tensor<10x5xf32>
  return %0 : tensor<10x5xf32>
}

// -----

// CHECK-LABEL: func.func @top_k
// CHECK: "linalgx.topk"(%arg0, %{{.*}}, %{{.*}}) ({
// CHECK: arith.cmpf uno
// CHECK: arith.cmpf ogt
func.func @top_k(%x: tensor<4x8xf32>) -> (tensor<4x2xf32>, tensor<4x2xi32>) {
  %0, %1 = chlo.top_k(%x, k = 2) : tensor<4x8xf32> -> (tensor<4x2xf32>, tensor<4x2xi32>)
  return %0, %1 : tensor<4x2xf32>, tensor<4x2xi32>
}

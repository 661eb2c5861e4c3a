// RUN: mlirage opt --passes=input-expand-chlo-broadcasts %s | filecheck %s

// Extents that cannot be told apart are tested when the program runs.
// CHECK-LABEL: func.func @add
func.func @add(%a: tensor<?xf32>, %b: tensor<3x?xf32>) -> tensor<?x?xf32> {
  // CHECK: cf.assert
  // CHECK: %[[N:.*]] = arith.select
  // CHECK: %[[S:.*]] = tensor.from_elements %{{.*}}, %[[N]] : tensor<2xindex>
  // CHECK: stablehlo.dynamic_broadcast_in_dim %arg0, %[[S]], dims = [1]
  // CHECK: stablehlo.dynamic_broadcast_in_dim %arg1, %[[S]], dims = [0, 1]
  // CHECK: stablehlo.add {{.*}} : tensor<3x?xf32>
  // CHECK: tensor.cast
  %r = chlo.broadcast_add %a, %b : (tensor<?xf32>, tensor<3x?xf32>) -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}

// CHECK-LABEL: func.func @static
func.func @static(%a: tensor<4xf32>, %b: tensor<3x4xf32>) -> tensor<3x4xf32> {
  // CHECK: chlo.broadcast_add
  %r = chlo.broadcast_add %a, %b : (tensor<4xf32>, tensor<3x4xf32>) -> tensor<3x4xf32>
  return %r : tensor<3x4xf32>
}

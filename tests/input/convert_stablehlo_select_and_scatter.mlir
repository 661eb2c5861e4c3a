// RUN: mlirage opt --passes=input-convert-stablehlo-select-and-scatter %s | filecheck %s

// CHECK-LABEL: func.func @pool_gradient
// The search: two loops over windows, two inside them; element and flat place, -1 before any is found.
// CHECK: %[[NONE:.*]] = linalg.fill ins(%c-1_i64
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction", "reduction"]
// CHECK: arith.cmpi ult
// CHECK: stablehlo.compare GE
// CHECK: linalg.yield %{{.*}}, %{{.*}} : f32, i64
// CHECK: "linalgx.scatter"
// CHECK: stablehlo.add
func.func @pool_gradient(%x: tensor<4x4xf32>, %s: tensor<2x2xf32>, %zero: tensor<f32>) -> tensor<4x4xf32> {
  %0 = "stablehlo.select_and_scatter"(%x, %s, %zero) <{
    window_dimensions = array<i64: 3, 3>, window_strides = array<i64: 2, 2>,
    padding = dense<[[0, 1], [0, 1]]> : tensor<2x2xi64>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %p = stablehlo.compare GE, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
    stablehlo.return %p : tensor<i1>
  }, {
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %t = stablehlo.add %a, %b : tensor<f32>
    stablehlo.return %t : tensor<f32>
  }) : (tensor<4x4xf32>, tensor<2x2xf32>, tensor<f32>) -> tensor<4x4xf32>
  return %0 : tensor<4x4xf32>
}

// RUN: mlirage opt --passes=input-normalize-stablehlo %s | filecheck %s

// CHECK-LABEL: func.func @booleans
// CHECK: stablehlo.or %{{.*}} : tensor<?xi1>
func.func @booleans(%p: tensor<?xi1>, %q: tensor<?xi1>) -> tensor<?xi1> {
  %0 = stablehlo.add %p, %q : tensor<?xi1>
  return %0 : tensor<?xi1>
}

// CHECK-LABEL: func.func @numbers
// CHECK: stablehlo.add %{{.*}} : tensor<4xi8>
func.func @numbers(%p: tensor<4xi8>, %q: tensor<4xi8>) -> tensor<4xi8> {
  %0 = stablehlo.add %p, %q : tensor<4xi8>
  return %0 : tensor<4xi8>
}

// CHECK-LABEL: func.func @lexicographic
// CHECK: %[[FIRST:.*]] = stablehlo.compare{{ *}}GT
// CHECK: %[[EQUAL:.*]] = stablehlo.compare{{ *}}EQ
// CHECK: %[[SECOND:.*]] = stablehlo.compare{{ *}}GT
// CHECK: %[[BOTH:.*]] = stablehlo.and %[[EQUAL]], %[[SECOND]]
// CHECK: %[[KEEP:.*]] = stablehlo.or %[[FIRST]], %[[BOTH]]
// CHECK: stablehlo.select %[[KEEP]], %arg0, %arg1
func.func @lexicographic(%a: tensor<4xcomplex<f32>>, %b: tensor<4xcomplex<f32>>) -> tensor<4xcomplex<f32>> {
  %0 = stablehlo.maximum %a, %b : tensor<4xcomplex<f32>>
  return %0 : tensor<4xcomplex<f32>>
}

// CHECK-LABEL: func.func @starts
// CHECK: %[[I:.*]] = stablehlo.minimum %arg1, %{{.*}} : tensor<ui64>
// CHECK: %[[J:.*]] = stablehlo.minimum %arg2, %{{.*}} : tensor<ui64>
// CHECK: stablehlo.dynamic_slice %arg0, %[[I]], %[[J]]
func.func @starts(%x: tensor<4x4xf32>, %i: tensor<ui64>, %j: tensor<ui64>) -> tensor<2x2xf32> {
  %0 = "stablehlo.dynamic_slice"(%x, %i, %j) <{slice_sizes = array<i64: 2, 2>}>
    : (tensor<4x4xf32>, tensor<ui64>, tensor<ui64>) -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

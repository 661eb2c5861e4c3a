// RUN: mlirage opt --passes=input-widen-accumulators %s | filecheck %s

// CHECK-LABEL: func.func @dots
// CHECK: %[[WIDE:.*]] = stablehlo.dot_general {{.*}} -> tensor<4x3xf32>
// CHECK: %[[NARROW:.*]] = stablehlo.convert %[[WIDE]] : (tensor<4x3xf32>) -> tensor<4x3xbf16>
// CHECK: stablehlo.dot_general {{.*}} : (tensor<4x5xf64>, tensor<5x3xf64>) -> tensor<4x3xf64>
// CHECK: return %[[NARROW]]
func.func @dots(%a: tensor<4x5xbf16>, %b: tensor<5x3xbf16>, %c: tensor<4x5xf64>, %d: tensor<5x3xf64>)
    -> (tensor<4x3xbf16>, tensor<4x3xf64>) {
  %0 = stablehlo.dot_general %a, %b, contracting_dims = [1] x [0] : (tensor<4x5xbf16>, tensor<5x3xbf16>) -> tensor<4x3xbf16>
  %1 = stablehlo.dot_general %c, %d, contracting_dims = [1] x [0] : (tensor<4x5xf64>, tensor<5x3xf64>) -> tensor<4x3xf64>
  return %0, %1 : tensor<4x3xbf16>, tensor<4x3xf64>
}

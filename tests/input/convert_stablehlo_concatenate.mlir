// RUN: mlirage opt --passes=input-convert-stablehlo-concatenate %s | filecheck %s

// CHECK-LABEL: @static
// CHECK: %[[EMPTY:.*]] = tensor.empty() : tensor<4x3xi8>
// CHECK: tensor.insert_slice %{{.*}} into %[[EMPTY]][0, 0] [1, 3] [1, 1]
// CHECK: tensor.insert_slice %{{.*}}[1, 0] [3, 3] [1, 1]
func.func @static(%a: tensor<1x3xui8>, %b: tensor<0x3xui8>, %c: tensor<3x3xui8>) -> tensor<4x3xui8> {
  %0 = stablehlo.concatenate %a, %b, %c, dim = 0 : (tensor<1x3xui8>, tensor<0x3xui8>, tensor<3x3xui8>) -> tensor<4x3xui8>
  return %0 : tensor<4x3xui8>
}

// CHECK-LABEL: @dynamic
// CHECK: %[[N:.*]] = tensor.dim %arg0
// CHECK: %[[END:.*]] = arith.addi %[[N]]
// CHECK: tensor.empty(%[[END]]) : tensor<?x3xf32>
// CHECK: tensor.insert_slice %arg1 into %{{.*}}[%[[N]], 0] [2, 3] [1, 1]
func.func @dynamic(%a: tensor<?x3xf32>, %b: tensor<2x3xf32>) -> tensor<?x3xf32> {
  %0 = stablehlo.concatenate %a, %b, dim = 0 : (tensor<?x3xf32>, tensor<2x3xf32>) -> tensor<?x3xf32>
  return %0 : tensor<?x3xf32>
}

// RUN: mlirage opt --passes=flow-expand-paddings,canonicalize,cse %s | filecheck %s

// CHECK-LABEL: func.func @dynamic(
// CHECK: %[[N:.+]] = tensor.dim %arg0, %c1
// CHECK: %[[M:.+]] = arith.addi %[[N]], %c3
// CHECK: %[[E:.+]] = tensor.empty(%[[M]]) : tensor<4x?xf32>
// CHECK: %[[F:.+]] = linalg.fill ins(%arg1 : f32) outs(%[[E]]
// CHECK: tensor.insert_slice %arg0 into %[[F]][0, 1] [4, %[[N]]] [1, 1]
func.func @dynamic(%x: tensor<4x?xf32>, %value: f32) -> tensor<4x?xf32> {
  %0 = tensor.pad %x low[0, 1] high[0, 2] {
  ^bb0(%i: index, %j: index):
    tensor.yield %value : f32
  } : tensor<4x?xf32> to tensor<4x?xf32>
  return %0 : tensor<4x?xf32>
}

// Static ones are kernels.
// CHECK-LABEL: func.func @static(
// CHECK: tensor.pad
func.func @static(%x: tensor<4xf32>, %value: f32) -> tensor<7xf32> {
  %0 = tensor.pad %x low[1] high[2] {
  ^bb0(%i: index):
    tensor.yield %value : f32
  } : tensor<4xf32> to tensor<7xf32>
  return %0 : tensor<7xf32>
}

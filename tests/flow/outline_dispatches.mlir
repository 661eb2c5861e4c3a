// RUN: mlirage opt --passes=flow-outline-dispatches %s | filecheck %s

// Scalars are arguments after tensors, then the extents of arguments and of results; an update of an argument is tied.
// CHECK: module @main$0_insert_slice_DxD_f32 attributes {flow.executable, sym_visibility = "private"}
// CHECK-NEXT: func.func @main$0_insert_slice_DxD_f32(
// CHECK-SAME: %[[U:.+]]: tensor<?xf32>, %[[T:.+]]: tensor<?x?xf32>, %[[AT:.+]]: index, %[[U0:.+]]: index, %[[T0:.+]]: index, %[[T1:.+]]: index, %[[R0:.+]]: index, %[[R1:.+]]: index)
// CHECK-SAME: attributes {flow.equal_dims = {{\[\[}}4, 6], [5, 7]], flow.tied = [1]}
// CHECK-NEXT: tensor.insert_slice %[[U]] into %[[T]][%[[AT]], 0] [1, %[[U0]]] [1, 1]
// CHECK-LABEL: func.func @main(
// CHECK: "flow.dispatch"(%arg1, %arg0, %arg2, %[[E0:.+]], %[[D0:.+]], %[[D1:.+]], %[[D0]], %[[D1]])
// CHECK-SAME: tied = [1]
func.func @main(%t: tensor<?x?xf32>, %u: tensor<?xf32>, %at: index) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %d = tensor.dim %u, %c0 : tensor<?xf32>
  %0 = "flow.dispatch_region"() ({
    %1 = tensor.insert_slice %u into %t[%at, 0] [1, %d] [1, 1] : tensor<?xf32> into tensor<?x?xf32>
    "flow.return"(%1) {operandSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<?x?xf32>) -> ()
  }) {resultSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0>} : () -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

// An argument that something else reads, too, is not updated in place.
// CHECK: func.func @shifted$0_insert_slice_4_f32(%{{.+}}: tensor<4xf32>) -> tensor<4xf32> attributes {flow.tied = [-1]}
func.func @shifted(%t: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "flow.dispatch_region"() ({
    %1 = tensor.extract_slice %t[1] [3] [1] : tensor<4xf32> to tensor<3xf32>
    %2 = tensor.insert_slice %1 into %t[0] [3] [1] : tensor<3xf32> into tensor<4xf32>
    "flow.return"(%2) {operandSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4xf32>) -> ()
  }) {resultSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0>} : () -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

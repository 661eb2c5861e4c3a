// RUN: mlirage opt --passes=flow-convert-host-ops,canonicalize,cse %s | filecheck %s

// Reshapes of reshapes are one.
// CHECK-LABEL: func.func @reshapes(
// CHECK: %[[N:.+]] = tensor.dim %arg0, %c0
// CHECK: "flow.tensor_reshape"(%arg0, %[[N]], %arg1, %arg2)
func.func @reshapes(%x: tensor<?x4xf32>, %a: index, %b: index) -> tensor<?x?xf32> {
  %0 = tensor.collapse_shape %x [[0, 1]] : tensor<?x4xf32> into tensor<?xf32>
  %1 = tensor.expand_shape %0 [[0, 1]] output_shape [%a, %b] : tensor<?xf32> into tensor<?x?xf32>
  return %1 : tensor<?x?xf32>
}

// The shape of a tensor.reshape is read by the host.
// CHECK-LABEL: func.func @computed_shape(
// CHECK: %[[S:.+]] = "flow.tensor_load"(%arg1, %c0)
// CHECK: %[[D:.+]] = arith.index_cast %[[S]]
// CHECK: "flow.tensor_reshape"(%arg0, %{{.+}}, %[[D]], %{{.+}})
func.func @computed_shape(%x: tensor<?xf32>, %shape: tensor<2xi64>) -> tensor<?x?xf32> {
  %0 = tensor.reshape %x(%shape) : (tensor<?xf32>, tensor<2xi64>) -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

// A run of bytes behind unit dims is sliced without them, and unit dims of the result come back.
// CHECK-LABEL: func.func @runs(
// CHECK: %[[X:.+]] = "flow.tensor_reshape"(%arg0) {{.*}} : (tensor<1x8x4xf32>) -> tensor<8x4xf32>
// CHECK: %[[S:.+]] = "flow.tensor_slice"(%[[X]], %c2) {{.*}} -> tensor<3x4xf32>
// CHECK: %[[R:.+]] = "flow.tensor_reshape"(%[[S]]) {{.*}} -> tensor<1x3x4xf32>
// CHECK: %[[U:.+]] = "flow.tensor_update"(%[[X]], %[[S]], %arg1) {{.*}} -> tensor<8x4xf32>
// CHECK: "flow.tensor_reshape"(%[[U]]) {{.*}} -> tensor<1x8x4xf32>
func.func @runs(%x: tensor<1x8x4xf32>, %at: index) -> (tensor<1x3x4xf32>, tensor<1x8x4xf32>) {
  %0 = tensor.extract_slice %x[0, 2, 0] [1, 3, 4] [1, 1, 1] : tensor<1x8x4xf32> to tensor<1x3x4xf32>
  %1 = tensor.insert_slice %0 into %x[0, %at, 0] [1, 3, 4] [1, 1, 1] : tensor<1x3x4xf32> into tensor<1x8x4xf32>
  return %0, %1 : tensor<1x3x4xf32>, tensor<1x8x4xf32>
}

// CHECK-LABEL: func.func @elements(
// CHECK: %[[V:.+]] = "flow.tensor_load"(%arg0, %c1)
// CHECK: %[[E:.+]] = "flow.tensor_empty"() {{.*}} tensor<2xf32>
// CHECK: %[[F:.+]] = "flow.tensor_store"(%[[V]], %[[E]], %c0)
// CHECK: %[[G:.+]] = "flow.tensor_store"(%arg1, %[[F]], %c1)
// CHECK: %[[S:.+]] = "flow.tensor_splat"(%arg1) {{.*}} tensor<3xf32>
// CHECK: return %[[G]], %[[S]]
func.func @elements(%x: tensor<4xf32>, %y: f32) -> (tensor<2xf32>, tensor<3xf32>) {
  %c1 = arith.constant 1 : index
  %v = tensor.extract %x[%c1] : tensor<4xf32>
  %0 = tensor.from_elements %v, %y : tensor<2xf32>
  %1 = tensor.splat %y : tensor<3xf32>
  return %0, %1 : tensor<2xf32>, tensor<3xf32>
}

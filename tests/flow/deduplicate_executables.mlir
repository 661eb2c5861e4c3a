// RUN: mlirage opt --passes=flow-deduplicate-executables %s | filecheck %s

// CHECK: module @main$0_copy
// CHECK-NOT: module @main$1_copy
// CHECK: module @main$2_copy
// CHECK: entry = @main$0_copy::@main$0_copy
// CHECK: entry = @main$0_copy::@main$0_copy
// CHECK: entry = @main$2_copy::@main$2_copy
module @main$0_copy attributes {flow.executable, sym_visibility = "private"} {
  func.func @main$0_copy(%a: tensor<4xf32>) -> tensor<4xf32> attributes {flow.tied = [-1]} {
    return %a : tensor<4xf32>
  }
}
module @main$1_copy attributes {flow.executable, sym_visibility = "private"} {
  func.func @main$1_copy(%b: tensor<4xf32>) -> tensor<4xf32> attributes {flow.tied = [-1]} {
    return %b : tensor<4xf32>
  }
}
module @main$2_copy attributes {flow.executable, sym_visibility = "private"} {
  func.func @main$2_copy(%b: tensor<4xf32>) -> tensor<4xf32> attributes {flow.tied = [0]} {
    return %b : tensor<4xf32>
  }
}
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "flow.dispatch"(%x) {entry = @main$0_copy::@main$0_copy, tied = [-1], operandSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4xf32>) -> tensor<4xf32>
  %1 = "flow.dispatch"(%0) {entry = @main$1_copy::@main$1_copy, tied = [-1], operandSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4xf32>) -> tensor<4xf32>
  %2 = "flow.dispatch"(%1) {entry = @main$2_copy::@main$2_copy, tied = [0], operandSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4xf32>) -> tensor<4xf32>
  return %2 : tensor<4xf32>
}

// RUN: mlirage opt --passes=flow-unroll-loops --split-input-file %s | filecheck %s

// A known number of steps: no loop is left.
// CHECK-LABEL: func.func @whole
// CHECK-NOT: scf.for
// CHECK: %[[A:.*]] = "flow.dispatch"(%{{.*}})
// CHECK: %[[B:.*]] = "flow.dispatch"(%[[A]])
// CHECK: %[[C:.*]] = "flow.dispatch"(%[[B]])
// CHECK: return %[[C]]
func.func @whole(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %c5 = arith.constant 5 : index
  %r = scf.for %i = %c0 to %c5 step %c2 iter_args(%a = %x) -> tensor<4xf32> {
    %0 = "flow.dispatch"(%a) {entry = @e::@e, tied = [-1], operandSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4xf32>) -> tensor<4xf32>
    scf.yield %0 : tensor<4xf32>
  }
  return %r : tensor<4xf32>
}

// -----

// An unknown number: long steps, and one by one what is left.
// CHECK-LABEL: func.func @some
// CHECK: %[[LONG:.*]] = scf.for {{.*}} iter_args(%{{.*}} = %{{.*}}) -> (tensor<4xf32>)
// CHECK-COUNT-64: "flow.dispatch"
// CHECK: scf.for {{.*}} iter_args(%{{.*}} = %[[LONG]]) -> (tensor<4xf32>)
// CHECK-COUNT-1: "flow.dispatch"
// CHECK-NOT: "flow.dispatch"
func.func @some(%x: tensor<4xf32>, %n: index) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x) -> tensor<4xf32> {
    %0 = "flow.dispatch"(%a) {entry = @e::@e, tied = [-1], operandSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4xf32>) -> tensor<4xf32>
    scf.yield %0 : tensor<4xf32>
  }
  return %r : tensor<4xf32>
}

// -----

// Control flow inside stays.
// CHECK-LABEL: func.func @branches
// CHECK: scf.for
// CHECK: scf.if
// CHECK-COUNT-1: "flow.dispatch"
// CHECK-NOT: "flow.dispatch"
func.func @branches(%x: tensor<4xf32>, %c: i1) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %r = scf.for %i = %c0 to %c3 step %c1 iter_args(%a = %x) -> tensor<4xf32> {
    %b = scf.if %c -> tensor<4xf32> {
      %0 = "flow.dispatch"(%a) {entry = @e::@e, tied = [-1], operandSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4xf32>) -> tensor<4xf32>
      scf.yield %0 : tensor<4xf32>
    } else {
      scf.yield %a : tensor<4xf32>
    }
    scf.yield %b : tensor<4xf32>
  }
  return %r : tensor<4xf32>
}

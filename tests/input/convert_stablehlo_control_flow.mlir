// RUN: mlirage opt --passes=input-convert-stablehlo-control-flow --split-input-file %s | filecheck %s

// CHECK-LABEL: func.func @while
// CHECK: scf.while (%[[I:.*]] = %arg0, %[[X:.*]] = %arg1)
// CHECK:   %[[P:.*]] = stablehlo.compare LT
// CHECK:   %[[S:.*]] = tensor.extract %[[P]][]
// CHECK:   scf.condition(%[[S]]) %[[I]], %[[X]]
// CHECK: do
// CHECK:   scf.yield
func.func @while(%i: tensor<i32>, %x: tensor<4xui8>) -> tensor<4xui8> {
  %0:2 = stablehlo.while(%a = %i, %b = %x) : tensor<i32>, tensor<4xui8>
  cond {
    %n = stablehlo.constant dense<10> : tensor<i32>
    %p = stablehlo.compare LT, %a, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %p : tensor<i1>
  } do {
    %c = stablehlo.add %b, %b : tensor<4xui8>
    stablehlo.return %a, %c : tensor<i32>, tensor<4xui8>
  }
  return %0#1 : tensor<4xui8>
}

// -----

// The last branch is taken for every index out of range.
// CHECK-LABEL: func.func @case
// CHECK: scf.index_switch
// CHECK-NEXT: case 0 {
// CHECK:   stablehlo.negate
// CHECK: case 1 {
// CHECK:   stablehlo.abs
// CHECK: default {
// CHECK:   stablehlo.sine
func.func @case(%i: tensor<i32>, %x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "stablehlo.case"(%i) ({
    %a = stablehlo.negate %x : tensor<4xf32>
    stablehlo.return %a : tensor<4xf32>
  }, {
    %a = stablehlo.abs %x : tensor<4xf32>
    stablehlo.return %a : tensor<4xf32>
  }, {
    %a = stablehlo.sine %x : tensor<4xf32>
    stablehlo.return %a : tensor<4xf32>
  }) : (tensor<i32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

// CHECK-LABEL: func.func @if
// CHECK: scf.if %{{.*}} -> (tensor<4xf32>)
// CHECK: else
// CHECK-NOT: stablehlo.if
func.func @if(%p: tensor<i1>, %x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "stablehlo.if"(%p) ({
    stablehlo.return %x : tensor<4xf32>
  }, {
    %a = stablehlo.abs %x : tensor<4xf32>
    stablehlo.return %a : tensor<4xf32>
  }) : (tensor<i1>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

// CHECK-LABEL: func.func @shapes
// CHECK: %[[D:.*]] = tensor.dim %arg0
// CHECK: %[[N:.*]] = arith.index_cast %[[D]] : index to i32
// CHECK: tensor.from_elements %[[N]] : tensor<i32>
// CHECK: cf.assert %{{.*}}, "batch must be even"
// CHECK-NOT: optimization_barrier
func.func @shapes(%x: tensor<?x4xf32>, %ok: tensor<i1>) -> tensor<i32> {
  %0 = stablehlo.get_dimension_size %x, dim = 0 : (tensor<?x4xf32>) -> tensor<i32>
  %1 = stablehlo.optimization_barrier %0 : tensor<i32>
  stablehlo.custom_call @shape_assertion(%ok) {error_message = "batch must be even", has_side_effect = true} : (tensor<i1>) -> ()
  return %1 : tensor<i32>
}

// -----

// What a loop carries may know more of its extents in one turn than its type says.
// CHECK-LABEL: func.func @refined
// CHECK: scf.while (%[[X:.*]] = %arg0) : (tensor<?xf32>) -> tensor<?xf32>
// CHECK: scf.yield %{{.*}} : tensor<?xf32>
// CHECK: %[[R:.*]] = scf.if
// CHECK:   tensor.cast %{{.*}} : tensor<4xf32> to tensor<?xf32>
func.func @refined(%x: tensor<?xf32>, %y: tensor<4xf32>, %p: tensor<i1>) -> tensor<?xf32> {
  %0 = "stablehlo.while"(%x) ({
  ^bb0(%a: tensor<?xf32>):
    stablehlo.return %p : tensor<i1>
  }, {
  ^bb0(%a: tensor<?xf32>):
    stablehlo.return %y : tensor<4xf32>
  }) : (tensor<?xf32>) -> tensor<?xf32>
  %1 = "stablehlo.if"(%p) ({
    stablehlo.return %0 : tensor<?xf32>
  }, {
    stablehlo.return %y : tensor<4xf32>
  }) : (tensor<i1>) -> tensor<?xf32>
  return %1 : tensor<?xf32>
}

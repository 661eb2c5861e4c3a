// RUN: mlirage opt --passes=preprocessing-widen-reductions --split-input-file %s | filecheck %s

// The total is in f32 and rounded once; the extremum beside it stays.
// CHECK-LABEL: func.func @sum_and_largest
// CHECK: linalg.generic
// CHECK: arith.extf %{{.*}} : bf16 to f32
// CHECK: %[[R:.*]]:2 = linalg.generic
// CHECK: arith.maximumf %{{.*}} : bf16
// CHECK: arith.extf %{{.*}} : bf16 to f32
// CHECK: arith.addf %{{.*}} : f32
// CHECK: -> (tensor<?xf32>, tensor<?xbf16>)
// CHECK: %[[S:.*]] = linalg.generic {{.*}} ins(%[[R]]#0
// CHECK: arith.truncf %{{.*}} : f32 to bf16
// CHECK: return %[[S]], %[[R]]#1
func.func @sum_and_largest(%x: tensor<?x5xbf16>, %a: tensor<?xbf16>, %b: tensor<?xbf16>)
    -> (tensor<?xbf16>, tensor<?xbf16>) {
  %0:2 = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>],
      iterator_types = ["parallel", "reduction"]
    } ins(%x : tensor<?x5xbf16>) outs(%a, %b : tensor<?xbf16>, tensor<?xbf16>) {
    ^bb0(%e: bf16, %t: bf16, %m: bf16):
      %1 = arith.maximumf %e, %m : bf16
      %2 = arith.addf %e, %t : bf16
      linalg.yield %2, %1 : bf16, bf16
  } -> (tensor<?xbf16>, tensor<?xbf16>)
  return %0#0, %0#1 : tensor<?xbf16>, tensor<?xbf16>
}

// -----

// CHECK-LABEL: func.func @named
// CHECK: linalg.fill {{.*}} -> tensor<3xf32>
// CHECK: arith.mulf %{{.*}} : f32
// CHECK: arith.truncf %{{.*}} : f32 to f16
func.func @named(%x: tensor<3x4xf16>) -> tensor<3xf16> {
  %one = arith.constant 1.0 : f16
  %empty = tensor.empty() : tensor<3xf16>
  %init = linalg.fill ins(%one : f16) outs(%empty : tensor<3xf16>) -> tensor<3xf16>
  %0 = linalg.reduce { arith.mulf } ins(%x : tensor<3x4xf16>) outs(%init : tensor<3xf16>) dimensions = [1]
  return %0 : tensor<3xf16>
}

// -----

// CHECK-LABEL: func.func @running
// CHECK: "linalgx.scan"
// CHECK: arith.extf %{{.*}} : f16 to f32
// CHECK: arith.addf %{{.*}} : f32
// CHECK: dimension = 1 : i64, exclusive = true, reverse = false
// CHECK-COUNT-2: arith.truncf %{{.*}} : f32 to f16
func.func @running(%x: tensor<3x?xf16>, %y: tensor<3x?xf16>, %t: tensor<3xf16>) -> (tensor<3x?xf16>, tensor<3xf16>) {
  %0:2 = "linalgx.scan"(%x, %y, %t) ({
    ^bb0(%total: f16, %e: f16):
      %1 = arith.addf %total, %e : f16
      "linalgx.yield"(%1) {operandSegmentSizes = array<i32: 1, 0, 0, 0>} : (f16) -> ()
  }) {dimension = 1 : i64, exclusive = true, reverse = false} : (tensor<3x?xf16>, tensor<3x?xf16>, tensor<3xf16>)
    -> (tensor<3x?xf16>, tensor<3xf16>)
  return %0#0, %0#1 : tensor<3x?xf16>, tensor<3xf16>
}

// -----

// Sums in f32, and totals that the body reads twice, stay.
// CHECK-LABEL: func.func @others
// CHECK-NOT: arith.truncf
func.func @others(%x: tensor<4xf32>, %s: tensor<f32>, %h: tensor<4xf16>, %t: tensor<f16>) -> (tensor<f32>, tensor<f16>) {
  %0 = linalg.reduce { arith.addf } ins(%x : tensor<4xf32>) outs(%s : tensor<f32>) dimensions = [0]
  %1 = linalg.reduce ins(%h : tensor<4xf16>) outs(%t : tensor<f16>) dimensions = [0] (%e: f16, %total: f16) {
    %2 = arith.mulf %e, %total : f16
    %3 = arith.addf %2, %total : f16
    linalg.yield %3 : f16
  }
  return %0, %1 : tensor<f32>, tensor<f16>
}

// RUN: mlirage opt --passes=input-inline-scalar-generics,canonicalize %s | filecheck %s

// CHECK-LABEL: func.func @scan
// CHECK: ^bb0(%[[A:.*]]: f32, %[[B:.*]]: f32):
// CHECK-NEXT: %[[S:.*]] = arith.addf %[[A]], %[[B]] : f32
// CHECK-NEXT: "linalgx.yield"(%[[S]])
func.func @scan(%x: tensor<4xf32>, %y: tensor<4xf32>, %t: tensor<f32>) -> tensor<4xf32> {
  %0:2 = "linalgx.scan"(%x, %y, %t) ({
  ^bb0(%a: f32, %b: f32):
    %ta = tensor.from_elements %a : tensor<f32>
    %tb = tensor.from_elements %b : tensor<f32>
    %e = tensor.empty() : tensor<f32>
    %s = linalg.generic {indexing_maps = [affine_map<() -> ()>, affine_map<() -> ()>, affine_map<() -> ()>], iterator_types = []}
        ins(%ta, %tb : tensor<f32>, tensor<f32>) outs(%e : tensor<f32>) {
    ^bb0(%p: f32, %q: f32, %o: f32):
      %r = arith.addf %p, %q : f32
      linalg.yield %r : f32
    } -> tensor<f32>
    %v = tensor.extract %s[] : tensor<f32>
    "linalgx.yield"(%v) {operandSegmentSizes = array<i32: 1, 0, 0, 0>} : (f32) -> ()
  }) {dimension = 0 : i64, exclusive = false, reverse = false} : (tensor<4xf32>, tensor<4xf32>, tensor<f32>) -> (tensor<4xf32>, tensor<f32>)
  return %0#0 : tensor<4xf32>
}

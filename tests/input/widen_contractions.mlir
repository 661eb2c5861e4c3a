// RUN: mlirage opt --passes=preprocessing-widen-contractions --split-input-file %s | filecheck %s

// The sum is in f32 and rounded once.
// CHECK-LABEL: func.func @matmul
// CHECK: linalg.fill {{.*}} -> tensor<?x3xf32>
// CHECK: linalg.generic
// CHECK: arith.extf %{{.*}} : bf16 to f32
// CHECK: arith.extf %{{.*}} : bf16 to f32
// CHECK: arith.mulf %{{.*}} : f32
// CHECK: arith.addf %{{.*}} : f32
// CHECK: arith.truncf %{{.*}} : f32 to bf16
func.func @matmul(%a: tensor<?x5xbf16>, %b: tensor<5x3xbf16>, %n: index) -> tensor<?x3xbf16> {
  %zero = arith.constant 0.0 : bf16
  %empty = tensor.empty(%n) : tensor<?x3xbf16>
  %init = linalg.fill ins(%zero : bf16) outs(%empty : tensor<?x3xbf16>) -> tensor<?x3xbf16>
  %0 = linalg.matmul ins(%a, %b : tensor<?x5xbf16>, tensor<5x3xbf16>) outs(%init : tensor<?x3xbf16>) -> tensor<?x3xbf16>
  return %0 : tensor<?x3xbf16>
}

// -----

// What is wide already stays, and so does what sums no products.
// CHECK-LABEL: func.func @others
// CHECK: linalg.matmul
// CHECK-NOT: arith.truncf
func.func @others(%a: tensor<4x5xf16>, %b: tensor<5x3xf16>, %c: tensor<4x3xf32>, %x: tensor<4xf16>, %s: tensor<f16>)
    -> (tensor<4x3xf32>, tensor<f16>) {
  %0 = linalg.matmul ins(%a, %b : tensor<4x5xf16>, tensor<5x3xf16>) outs(%c : tensor<4x3xf32>) -> tensor<4x3xf32>
  %1 = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>], iterator_types = ["reduction"]}
      ins(%x : tensor<4xf16>) outs(%s : tensor<f16>) {
    ^bb0(%e: f16, %t: f16):
      %m = arith.maximumf %e, %t : f16
      linalg.yield %m : f16
  } -> tensor<f16>
  return %0, %1 : tensor<4x3xf32>, tensor<f16>
}

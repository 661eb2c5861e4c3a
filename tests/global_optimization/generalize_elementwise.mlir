// RUN: mlirage opt --passes=global-optimization-generalize-elementwise %s | filecheck %s

// CHECK: #[[SWAP:.+]] = affine_map<(d0, d1) -> (d1, d0)>

// CHECK-LABEL: func.func @named(
// CHECK: linalg.generic {indexing_maps = [#[[SWAP]], #{{.+}}], iterator_types = ["parallel", "parallel"]} ins(%arg0
// CHECK: linalg.generic
// CHECK: math.exp
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "reduction"]
// CHECK: arith.addf
// CHECK-NOT: linalg.{{transpose|exp|reduce}}
func.func @named(%x: tensor<2x3xf32>) -> tensor<3xf32> {
  %e = tensor.empty() : tensor<3x2xf32>
  %t = linalg.transpose ins(%x : tensor<2x3xf32>) outs(%e : tensor<3x2xf32>) permutation = [1, 0]
  %u = linalg.exp ins(%t : tensor<3x2xf32>) outs(%e : tensor<3x2xf32>) -> tensor<3x2xf32>
  %zero = arith.constant 0.0 : f32
  %v = tensor.empty() : tensor<3xf32>
  %z = linalg.fill ins(%zero : f32) outs(%v : tensor<3xf32>) -> tensor<3xf32>
  %s = linalg.reduce ins(%u : tensor<3x2xf32>) outs(%z : tensor<3xf32>) dimensions = [1]
    (%a: f32, %b: f32) {
      %0 = arith.addf %a, %b : f32
      linalg.yield %0 : f32
    }
  return %s : tensor<3xf32>
}

// Roots of kernels keep their names.
// CHECK-LABEL: func.func @roots(
// CHECK: linalg.fill
// CHECK: linalg.matmul
func.func @roots(%x: tensor<2x3xf32>, %y: tensor<3x4xf32>) -> tensor<2x4xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x4xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
  %p = linalg.matmul ins(%x, %y : tensor<2x3xf32>, tensor<3x4xf32>) outs(%z : tensor<2x4xf32>) -> tensor<2x4xf32>
  return %p : tensor<2x4xf32>
}

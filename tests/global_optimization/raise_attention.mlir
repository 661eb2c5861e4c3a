// RUN: mlirage opt --passes=global-optimization-raise-attention --split-input-file %s | filecheck %s

// A scaled and masked softmax between two products; the scale of the key and its transpose become part of the op, and
// so does the transpose of the result.
// CHECK-LABEL: func.func @masked
// CHECK: [[OUT:%.+]] = tensor.empty() : tensor<5x3x8xf32>
// CHECK: "linalgx.attention"(%arg0, %arg1, %arg2, %arg3, [[OUT]])
// CHECK: ^bb0(%{{.*}}: f32{{.*}}, %{{.*}}: f32
// CHECK: arith.mulf
// CHECK: arith.addf
// CHECK: linalgx.yield
// CHECK: masked_rows = "nan"
// CHECK-SAME: -> tensor<5x3x8xf32>
func.func @masked(%q: tensor<3x5x4xf32>, %k: tensor<3x7x4xf32>, %v: tensor<3x7x8xf32>, %mask: tensor<5x7xf32>) -> tensor<5x3x8xf32> {
  %zero = arith.constant 0.0 : f32
  %half = arith.constant 0.5 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %e0 = tensor.empty() : tensor<3x4x7xf32>
  %kt = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, c, b)>, affine_map<(a, b, c) -> (a, b, c)>],
      iterator_types = ["parallel", "parallel", "parallel"]} ins(%k : tensor<3x7x4xf32>) outs(%e0 : tensor<3x4x7xf32>) {
  ^bb0(%a: f32, %o: f32):
    %x = arith.mulf %a, %half : f32
    linalg.yield %x : f32
  } -> tensor<3x4x7xf32>
  %e1 = tensor.empty() : tensor<3x5x7xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x5x7xf32>) -> tensor<3x5x7xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<3x5x4xf32>, tensor<3x4x7xf32>) outs(%f1 : tensor<3x5x7xf32>) -> tensor<3x5x7xf32>
  %m = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (b, c)>, affine_map<(a, b, c) -> (a, b, c)>],
      iterator_types = ["parallel", "parallel", "parallel"]} ins(%s, %mask : tensor<3x5x7xf32>, tensor<5x7xf32>) outs(%e1 : tensor<3x5x7xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %x = arith.addf %a, %b : f32
    linalg.yield %x : f32
  } -> tensor<3x5x7xf32>
  %e2 = tensor.empty() : tensor<3x5xf32>
  %f2 = linalg.fill ins(%lowest : f32) outs(%e2 : tensor<3x5xf32>) -> tensor<3x5xf32>
  %top = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (a, b)>],
      iterator_types = ["parallel", "parallel", "reduction"]} ins(%m : tensor<3x5x7xf32>) outs(%f2 : tensor<3x5xf32>) {
  ^bb0(%a: f32, %o: f32):
    %x = arith.maximumf %a, %o : f32
    linalg.yield %x : f32
  } -> tensor<3x5xf32>
  %p = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (a, b)>, affine_map<(a, b, c) -> (a, b, c)>],
      iterator_types = ["parallel", "parallel", "parallel"]} ins(%m, %top : tensor<3x5x7xf32>, tensor<3x5xf32>) outs(%e1 : tensor<3x5x7xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %x = arith.subf %a, %b : f32
    %y = math.exp %x : f32
    linalg.yield %y : f32
  } -> tensor<3x5x7xf32>
  %f3 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<3x5xf32>) -> tensor<3x5xf32>
  %t = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (a, b)>],
      iterator_types = ["parallel", "parallel", "reduction"]} ins(%p : tensor<3x5x7xf32>) outs(%f3 : tensor<3x5xf32>) {
  ^bb0(%a: f32, %o: f32):
    %x = arith.addf %a, %o : f32
    linalg.yield %x : f32
  } -> tensor<3x5xf32>
  %w = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (a, b)>, affine_map<(a, b, c) -> (a, b, c)>],
      iterator_types = ["parallel", "parallel", "parallel"]} ins(%p, %t : tensor<3x5x7xf32>, tensor<3x5xf32>) outs(%e1 : tensor<3x5x7xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %x = arith.divf %a, %b : f32
    linalg.yield %x : f32
  } -> tensor<3x5x7xf32>
  %e4 = tensor.empty() : tensor<3x5x8xf32>
  %f4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<3x5x8xf32>) -> tensor<3x5x8xf32>
  %o = linalg.batch_matmul ins(%w, %v : tensor<3x5x7xf32>, tensor<3x7x8xf32>) outs(%f4 : tensor<3x5x8xf32>) -> tensor<3x5x8xf32>
  %e5 = tensor.empty() : tensor<5x3x8xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (b, a, c)>, affine_map<(a, b, c) -> (a, b, c)>],
      iterator_types = ["parallel", "parallel", "parallel"]} ins(%o : tensor<3x5x8xf32>) outs(%e5 : tensor<5x3x8xf32>) {
  ^bb0(%a: f32, %b: f32):
    linalg.yield %a : f32
  } -> tensor<5x3x8xf32>
  return %r : tensor<5x3x8xf32>
}

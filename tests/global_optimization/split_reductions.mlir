// RUN: mlirage opt --passes=global-optimization-split-reductions %s | filecheck %s

// The outermost axis in memory becomes partial sums; along the last axis where neighbours in memory are summed.
// CHECK-LABEL: func.func @groups
//  CHECK-SAME: (%[[X:.*]]: tensor<256x96x2x16xf32>
//       CHECK: %[[Z:.*]] = arith.constant 0.0
//       CHECK: %[[P:.*]] = linalg.generic {{.*}}iterator_types = ["parallel", "reduction", "parallel", "reduction"]} ins(%[[X]]
//       CHECK: -> tensor<2x256xf32>
//       CHECK: %[[R:.*]] = linalg.generic {{.*}}iterator_types = ["parallel", "reduction"]} ins(%[[P]]
//       CHECK: return %[[R]]
func.func @groups(%x: tensor<256x96x2x16xf32>) -> tensor<2xf32> {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2xf32>
  %i = linalg.fill ins(%z : f32) outs(%e : tensor<2xf32>) -> tensor<2xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(h, w, g, c) -> (h, w, g, c)>, affine_map<(h, w, g, c) -> (g)>],
      iterator_types = ["reduction", "reduction", "parallel", "reduction"]}
      ins(%x : tensor<256x96x2x16xf32>) outs(%i : tensor<2xf32>) {
  ^bb0(%a: f32, %t: f32):
    %s = arith.mulf %a, %a : f32
    %n = arith.addf %t, %s : f32
    linalg.yield %n : f32
  } -> tensor<2xf32>
  return %r : tensor<2xf32>
}

// Neighbours in memory are results: partial sums keep them together.
// CHECK-LABEL: func.func @channels
//       CHECK: tensor.expand_shape {{.*}} : tensor<32x1000x?xf32> into tensor<32x4x250x?xf32>
//       CHECK: iterator_types = ["parallel", "parallel", "reduction", "parallel"]
//       CHECK: -> tensor<32x4x?xf32>
//       CHECK: iterator_types = ["reduction", "reduction", "parallel"]
func.func @channels(%x: tensor<32x1000x?xf32>, %n: index) -> tensor<?xf32> {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty(%n) : tensor<?xf32>
  %i = linalg.fill ins(%z : f32) outs(%e : tensor<?xf32>) -> tensor<?xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(c, n, w) -> (n, w, c)>, affine_map<(c, n, w) -> (c)>],
      iterator_types = ["parallel", "reduction", "reduction"]}
      ins(%x : tensor<32x1000x?xf32>) outs(%i : tensor<?xf32>) {
  ^bb0(%a: f32, %t: f32):
    %s = arith.addf %a, %t : f32
    linalg.yield %s : f32
  } -> tensor<?xf32>
  return %r : tensor<?xf32>
}

// Whole rows stay; the images of a batch are partial sums.
// CHECK-LABEL: func.func @planes
//       CHECK: iterator_types = ["parallel", "parallel", "reduction", "reduction"]
//       CHECK: -> tensor<5x19xf32>
//       CHECK: iterator_types = ["reduction", "parallel"]
func.func @planes(%x: tensor<5x19x151x149xf32>) -> tensor<19xf32> {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<19xf32>
  %i = linalg.fill ins(%z : f32) outs(%e : tensor<19xf32>) -> tensor<19xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(n, c, h, w) -> (n, c, h, w)>, affine_map<(n, c, h, w) -> (c)>],
      iterator_types = ["reduction", "parallel", "reduction", "reduction"]}
      ins(%x : tensor<5x19x151x149xf32>) outs(%i : tensor<19xf32>) {
  ^bb0(%a: f32, %t: f32):
    %s = arith.addf %a, %t : f32
    linalg.yield %s : f32
  } -> tensor<19xf32>
  return %r : tensor<19xf32>
}

// One axis with a divisor; an operand that does not vary along it; a prime extent stays; a place is one in the whole.
// CHECK-LABEL: func.func @column
//  CHECK-SAME: (%[[X:.*]]: tensor<22499x64xf32>, %[[M:.*]]: tensor<64xf32>
//       CHECK: %[[S:.*]] = tensor.expand_shape %[[X]] {{.*}} into tensor<149x151x64xf32>
//       CHECK: iterator_types = ["reduction", "parallel", "parallel"]} ins(%[[S]], %[[M]]
//       CHECK: -> tensor<149x64xf32>
//       CHECK: iterator_types = ["reduction", "parallel"]
//       CHECK: iterator_types = ["reduction", "parallel"]} ins(%{{.*}} : tensor<22501x64xf32>)
//       CHECK: iterator_types = ["reduction", "parallel", "parallel"]}
//       CHECK: %[[C:.*]] = arith.constant 151
//       CHECK: %[[F:.*]] = arith.muli %{{.*}}, %[[C]]
//       CHECK: %[[L:.*]] = linalg.index 0
//       CHECK: arith.addi %[[F]], %[[L]]
//       CHECK: iterator_types = ["reduction", "parallel"]
//   CHECK-NOT: iterator_types
func.func @column(%x: tensor<22499x64xf32>, %m: tensor<64xf32>, %p: tensor<22501x64xf32>)
    -> (tensor<64xf32>, tensor<64xf32>, tensor<64xf32>) {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64xf32>
  %i = linalg.fill ins(%z : f32) outs(%e : tensor<64xf32>) -> tensor<64xf32>
  %0 = linalg.generic {indexing_maps = [affine_map<(n, c) -> (n, c)>, affine_map<(n, c) -> (c)>, affine_map<(n, c) -> (c)>],
      iterator_types = ["reduction", "parallel"]} ins(%x, %m : tensor<22499x64xf32>, tensor<64xf32>) outs(%i : tensor<64xf32>) {
  ^bb0(%a: f32, %b: f32, %t: f32):
    %d = arith.subf %a, %b : f32
    %q = arith.mulf %d, %d : f32
    %s = arith.addf %q, %t : f32
    linalg.yield %s : f32
  } -> tensor<64xf32>
  %1 = linalg.generic {indexing_maps = [affine_map<(n, c) -> (n, c)>, affine_map<(n, c) -> (c)>],
      iterator_types = ["reduction", "parallel"]} ins(%p : tensor<22501x64xf32>) outs(%i : tensor<64xf32>) {
  ^bb0(%a: f32, %t: f32):
    %s = arith.addf %a, %t : f32
    linalg.yield %s : f32
  } -> tensor<64xf32>
  %2 = linalg.generic {indexing_maps = [affine_map<(n, c) -> (n, c)>, affine_map<(n, c) -> (c)>],
      iterator_types = ["reduction", "parallel"]} ins(%x : tensor<22499x64xf32>) outs(%i : tensor<64xf32>) {
  ^bb0(%a: f32, %t: f32):
    %n = linalg.index 0 : index
    %k = arith.index_cast %n : index to i32
    %f = arith.sitofp %k : i32 to f32
    %q = arith.mulf %a, %f : f32
    %s = arith.addf %q, %t : f32
    linalg.yield %s : f32
  } -> tensor<64xf32>
  return %0, %1, %2 : tensor<64xf32>, tensor<64xf32>, tensor<64xf32>
}

// Rows, short sums, other reductions, and open extents stay.
// CHECK-LABEL: func.func @others
// CHECK-COUNT-4: iterator_types = ["parallel", "reduction", "reduction"]
//     CHECK-NOT: iterator_types
func.func @others(%x: tensor<2x300x300xf32>, %y: tensor<30x30x2xf32>, %d: tensor<?x300x2xf32>, %w: tensor<300x300x2xf32>)
    -> (tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2xf32>
  %i = linalg.fill ins(%z : f32) outs(%e : tensor<2xf32>) -> tensor<2xf32>
  %0 = linalg.generic {indexing_maps = [affine_map<(c, h, w) -> (c, h, w)>, affine_map<(c, h, w) -> (c)>],
      iterator_types = ["parallel", "reduction", "reduction"]} ins(%x : tensor<2x300x300xf32>) outs(%i : tensor<2xf32>) {
  ^bb0(%a: f32, %t: f32):
    %s = arith.addf %t, %a : f32
    linalg.yield %s : f32
  } -> tensor<2xf32>
  %1 = linalg.generic {indexing_maps = [affine_map<(c, h, w) -> (h, w, c)>, affine_map<(c, h, w) -> (c)>],
      iterator_types = ["parallel", "reduction", "reduction"]} ins(%y : tensor<30x30x2xf32>) outs(%i : tensor<2xf32>) {
  ^bb0(%a: f32, %t: f32):
    %s = arith.addf %t, %a : f32
    linalg.yield %s : f32
  } -> tensor<2xf32>
  %2 = linalg.generic {indexing_maps = [affine_map<(c, h, w) -> (h, w, c)>, affine_map<(c, h, w) -> (c)>],
      iterator_types = ["parallel", "reduction", "reduction"]} ins(%d : tensor<?x300x2xf32>) outs(%i : tensor<2xf32>) {
  ^bb0(%a: f32, %t: f32):
    %s = arith.addf %t, %a : f32
    linalg.yield %s : f32
  } -> tensor<2xf32>
  %3 = linalg.generic {indexing_maps = [affine_map<(c, h, w) -> (h, w, c)>, affine_map<(c, h, w) -> (c)>],
      iterator_types = ["parallel", "reduction", "reduction"]} ins(%w : tensor<300x300x2xf32>) outs(%i : tensor<2xf32>) {
  ^bb0(%a: f32, %t: f32):
    %s = arith.maximumf %t, %a : f32
    linalg.yield %s : f32
  } -> tensor<2xf32>
  return %0, %1, %2, %3 : tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>
}

// The greatest per channel of a batch of images: rows first.
// CHECK-LABEL: func.func @greatest
//       CHECK: %[[NEVER:.*]] = arith.constant 0xFF800000 : f32
//       CHECK: linalg.fill ins(%[[NEVER]] : f32) outs(%{{.*}} : tensor<8x64xf32>)
//       CHECK: linalg.generic
//  CHECK-SAME: iterator_types = ["parallel", "parallel", "reduction", "reduction"]
//       CHECK: linalg.generic
//  CHECK-SAME: iterator_types = ["reduction", "parallel"]
//       CHECK: arith.maximumf
func.func @greatest(%x: tensor<8x64x28x28xf32>, %i: tensor<64xf32>) -> tensor<64xf32> {
  %0 = linalg.generic {indexing_maps = [affine_map<(c, n, h, w) -> (n, c, h, w)>, affine_map<(c, n, h, w) -> (c)>],
      iterator_types = ["parallel", "reduction", "reduction", "reduction"]}
      ins(%x : tensor<8x64x28x28xf32>) outs(%i : tensor<64xf32>) {
  ^bb0(%a: f32, %t: f32):
    %s = arith.maximumf %t, %a : f32
    linalg.yield %s : f32
  } -> tensor<64xf32>
  return %0 : tensor<64xf32>
}

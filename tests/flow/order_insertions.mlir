// Parts are written in the order in which they are computed, if they do not overlap.
// RUN: mlirage opt --passes=flow-order-insertions %s | filecheck %s

// CHECK-LABEL: func.func @skip(
// CHECK: %[[EARLY:.+]] = linalg.fill
// CHECK: %[[LATE:.+]] = linalg.generic
// CHECK: %[[A:.+]] = tensor.insert_slice %arg0 into %{{.+}}[0, 12] [4, 4] [1, 1]
// CHECK: %[[T:.+]] = tensor.insert_slice %[[EARLY]] into %[[A]][0, 8] [4, 4] [1, 1]
// CHECK: %[[U:.+]] = tensor.insert_slice %[[LATE]] into %[[T]][0, 0] [4, 8] [1, 1]
// CHECK: return %[[U]]
func.func @skip(%x: tensor<4x4xf32>) -> tensor<4x16xf32> {
  %one = arith.constant 1.0 : f32
  %e = tensor.empty() : tensor<4x4xf32>
  %w = tensor.empty() : tensor<4x8xf32>
  %all = tensor.empty() : tensor<4x16xf32>
  %early = linalg.fill ins(%one : f32) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  %late = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      outs(%w : tensor<4x8xf32>) {
  ^bb0(%o: f32):
    linalg.yield %one : f32
  } -> tensor<4x8xf32>
  %t = tensor.insert_slice %late into %all[0, 0] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<4x16xf32>
  %u = tensor.insert_slice %early into %t[0, 8] [4, 4] [1, 1] : tensor<4x4xf32> into tensor<4x16xf32>
  %v = tensor.insert_slice %x into %u[0, 12] [4, 4] [1, 1] : tensor<4x4xf32> into tensor<4x16xf32>
  return %v : tensor<4x16xf32>
}

// The second part overlaps the first one: they stay. So do those that somebody reads in between.
// CHECK-LABEL: func.func @overlap(
// CHECK: %[[A:.+]] = tensor.insert_slice %{{.+}} into %{{.+}}[0, 0] [4, 4] [1, 1]
// CHECK: %[[B:.+]] = tensor.insert_slice %arg0 into %[[A]][0, 2] [4, 4] [1, 1]
// CHECK: %[[C:.+]] = tensor.insert_slice %arg0 into %[[B]][0, 8] [4, 4] [1, 1]
// CHECK: return %[[B]], %[[C]]
func.func @overlap(%x: tensor<4x4xf32>) -> (tensor<4x16xf32>, tensor<4x16xf32>) {
  %one = arith.constant 1.0 : f32
  %e = tensor.empty() : tensor<4x4xf32>
  %all = tensor.empty() : tensor<4x16xf32>
  %late = linalg.fill ins(%one : f32) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  %t = tensor.insert_slice %late into %all[0, 0] [4, 4] [1, 1] : tensor<4x4xf32> into tensor<4x16xf32>
  %u = tensor.insert_slice %x into %t[0, 2] [4, 4] [1, 1] : tensor<4x4xf32> into tensor<4x16xf32>
  %v = tensor.insert_slice %x into %u[0, 8] [4, 4] [1, 1] : tensor<4x4xf32> into tensor<4x16xf32>
  return %u, %v : tensor<4x16xf32>, tensor<4x16xf32>
}

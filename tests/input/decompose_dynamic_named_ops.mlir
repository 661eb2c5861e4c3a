// RUN: mlirage opt --passes=input-decompose-dynamic-named-ops %s | filecheck %s

// CHECK-LABEL: func.func @softmax
func.func @softmax(%x: tensor<?x5xf32>, %o: tensor<?x5xf32>) -> tensor<?x5xf32> {
  // CHECK: arith.maximumf
  // CHECK: math.exp
  // CHECK: arith.addf
  // CHECK: arith.divf
  // CHECK-NOT: linalg.softmax
  %r = linalg.softmax dimension(1) ins(%x : tensor<?x5xf32>) outs(%o : tensor<?x5xf32>) -> tensor<?x5xf32>
  return %r : tensor<?x5xf32>
}

// What does not fill a tile is never read.
// CHECK-LABEL: func.func @pack
func.func @pack(%x: tensor<?xf32>, %o: tensor<?x8xf32>) -> tensor<?x8xf32> {
  // CHECK: linalg.generic
  // CHECK: scf.if
  // CHECK-NEXT: tensor.extract %arg0
  %p = arith.constant 0.0 : f32
  %r = linalg.pack %x padding_value(%p : f32) inner_dims_pos = [0] inner_tiles = [8] into %o : tensor<?xf32> -> tensor<?x8xf32>
  return %r : tensor<?x8xf32>
}

// CHECK-LABEL: func.func @static
func.func @static(%x: tensor<4x5xf32>, %o: tensor<4x5xf32>) -> tensor<4x5xf32> {
  // CHECK: linalg.softmax
  %r = linalg.softmax dimension(1) ins(%x : tensor<4x5xf32>) outs(%o : tensor<4x5xf32>) -> tensor<4x5xf32>
  return %r : tensor<4x5xf32>
}

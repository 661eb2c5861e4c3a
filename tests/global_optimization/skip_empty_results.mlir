// RUN: mlirage opt --passes=global-optimization-skip-empty-results,canonicalize %s | filecheck %s

// CHECK-LABEL: func.func @none(
// CHECK-SAME: %{{.+}}: tensor<?xf32>, %[[N:.+]]: index
// CHECK: %[[E:.+]] = tensor.empty(%[[N]]) : tensor<0x?xf32>
// CHECK-NOT: linalg
// CHECK: return %[[E]]
func.func @none(%x: tensor<?xf32>, %n: index) -> tensor<0x?xf32> {
  %e = tensor.empty(%n) : tensor<0x?xf32>
  %r = linalg.broadcast ins(%x : tensor<?xf32>) outs(%e : tensor<0x?xf32>) dimensions = [0]
  return %r : tensor<0x?xf32>
}

// A sum of no elements is the init, which has some.
// CHECK-LABEL: func.func @some(
// CHECK: linalg.reduce
func.func @some(%x: tensor<0x?xf32>, %y: tensor<?xf32>) -> tensor<?xf32> {
  %r = linalg.reduce { arith.addf } ins(%x : tensor<0x?xf32>) outs(%y : tensor<?xf32>) dimensions = [0]
  return %r : tensor<?xf32>
}

// RUN: mlirage opt --passes=input-widen-48-bits %s | filecheck %s

// CHECK-LABEL: func.func @scale
func.func @scale(%x: tensor<3xi32>) -> tensor<3xi32> {
  // CHECK: arith.constant dense<[-1, 140737488355327, 5]> : tensor<3xi64>
  %c = arith.constant dense<[-1, 140737488355327, 5]> : tensor<3xi48>
  // CHECK: arith.extsi %arg0 : tensor<3xi32> to tensor<3xi64>
  %w = arith.extsi %x : tensor<3xi32> to tensor<3xi48>
  // CHECK: %[[S:.*]] = arith.addi {{.*}} : tensor<3xi64>
  %s = arith.addi %w, %c : tensor<3xi48>
  // CHECK-NOT: arith.extsi %[[S]]
  %l = arith.extsi %s : tensor<3xi48> to tensor<3xi64>
  // CHECK: arith.trunci %[[S]] : tensor<3xi64> to tensor<3xi32>
  %r = arith.trunci %l : tensor<3xi64> to tensor<3xi32>
  return %r : tensor<3xi32>
}

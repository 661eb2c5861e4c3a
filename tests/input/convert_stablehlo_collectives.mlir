// RUN: mlirage opt --passes=input-convert-stablehlo-collectives %s | filecheck %s

// CHECK-LABEL: func.func @sum
// CHECK-NEXT: return %arg0
func.func @sum(%x: tensor<?xf32>) -> tensor<?xf32> {
  %0 = "stablehlo.all_reduce"(%x) <{replica_groups = dense<0> : tensor<1x1xi64>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %1 = stablehlo.add %a, %b : tensor<f32>
    stablehlo.return %1 : tensor<f32>
  }) : (tensor<?xf32>) -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

// CHECK-LABEL: func.func @nobody
// CHECK: %[[ZERO:.*]] = stablehlo.constant dense<0.0{{.*}}> : tensor<3xf32>
// CHECK: return %[[ZERO]]
func.func @nobody(%x: tensor<3xf32>) -> tensor<3xf32> {
  %0 = "stablehlo.collective_permute"(%x) <{source_target_pairs = dense<> : tensor<0x2xi64>}>
    : (tensor<3xf32>) -> tensor<3xf32>
  return %0 : tensor<3xf32>
}

// CHECK-LABEL: func.func @who
// CHECK: stablehlo.constant dense<0> : tensor<ui32>
func.func @who() -> tensor<ui32> {
  %0 = stablehlo.replica_id : tensor<ui32>
  return %0 : tensor<ui32>
}

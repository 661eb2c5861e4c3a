// RUN: not mlirage opt --passes=input-verify %s 2>&1 | filecheck %s

// Everything at once, in alphabetic order, each with its places.
// CHECK: these operations are not supported:
// CHECK-NEXT: memref.alloc at {{.*}}verify_input.mlir:11:8
// CHECK-NEXT: stablehlo.custom_call "acme.frobnicate" at {{.*}}verify_input.mlir:9:8, {{.*}}verify_input.mlir:10:8
func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {

  %0 = stablehlo.custom_call @acme.frobnicate(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = stablehlo.custom_call @acme.frobnicate(%0) : (tensor<4xf32>) -> tensor<4xf32>
  %2 = memref.alloc() : memref<4xf32>
  return %1 : tensor<4xf32>
}

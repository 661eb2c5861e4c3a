// RUN: mlirage opt --passes=input-convert-torch,canonicalize --split-input-file %s | filecheck %s

// CHECK-LABEL: func.func @relu(%arg0: tensor<2x?xf32>) -> tensor<2x?xf32>
// CHECK: linalg.generic
// CHECK-NOT: torch.
func.func @relu(%x: !torch.vtensor<[2,?],f32>) -> !torch.vtensor<[2,?],f32> {
  %0 = torch.aten.relu %x : !torch.vtensor<[2,?],f32> -> !torch.vtensor<[2,?],f32>
  return %0 : !torch.vtensor<[2,?],f32>
}

// -----

// What holds no torch ops is left as it is.
// CHECK-LABEL: func.func @other
// CHECK-NEXT: stablehlo.abs
func.func @other(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = stablehlo.abs %x : tensor<4xf32>
  return %0 : tensor<4xf32>
}

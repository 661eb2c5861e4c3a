// RUN: mlirage opt --passes=input-normalize-tosa %s | filecheck %s

// An inverse transform is the conjugate of the transform of the conjugate.
// CHECK-LABEL: func.func @fft
func.func @fft(%re: tensor<?x4x8xf32>, %im: tensor<?x4x8xf32>) -> (tensor<?x4x8xf32>, tensor<?x4x8xf32>) {
  // CHECK: %[[N:.*]] = stablehlo.negate %arg1
  // CHECK: %[[Z:.*]] = stablehlo.complex %arg0, %[[N]]
  // CHECK: %[[F:.*]] = stablehlo.fft %[[Z]], type =  FFT, length = [4, 8]
  // CHECK: stablehlo.real %[[F]]
  // CHECK: %[[I:.*]] = stablehlo.imag %[[F]]
  // CHECK: stablehlo.negate %[[I]]
  %r:2 = tosa.fft2d %re, %im {inverse = true} : (tensor<?x4x8xf32>, tensor<?x4x8xf32>) -> (tensor<?x4x8xf32>, tensor<?x4x8xf32>)
  return %r#0, %r#1 : tensor<?x4x8xf32>, tensor<?x4x8xf32>
}

// CHECK-LABEL: func.func @scatter
func.func @scatter(%x: tensor<2x5x3xi8>, %i: tensor<2x4xi32>, %u: tensor<2x4x3xi8>) -> tensor<2x5x3xi8> {
  // CHECK: "stablehlo.scatter"(%arg0, %arg1, %arg2)
  // CHECK-SAME: input_batching_dims = [0]
  %r = tosa.scatter %x, %i, %u : (tensor<2x5x3xi8>, tensor<2x4xi32>, tensor<2x4x3xi8>) -> tensor<2x5x3xi8>
  return %r : tensor<2x5x3xi8>
}

// RUN: mlirage opt --passes=input-convert-stablehlo-fft %s | filecheck %s

// The real parts of all roots of the stages, then the imaginary ones.
// CHECK-DAG: ml_program.global private @roots(#{{.*}}) : tensor<2x16xf32>
// CHECK-DAG: ml_program.global private @roots{{.*}}(#{{.*}}) : tensor<2x41xf32>
// CHECK-LABEL: func.func @fft
// CHECK: tensor.expand_shape %arg0 {{.*}} output_shape [2, 24, 1]
// CHECK: "linalgx.fourier"
// CHECK-SAME: inverse = false
// CHECK-SAME: pairs = 0
// CHECK-SAME: radices = [8, 3]
// CHECK-SAME: scale = 1.000000e+00
// CHECK-NOT: stablehlo
func.func @fft(%x: tensor<2x24xcomplex<f32>>) -> tensor<2x24xcomplex<f32>> {
  %0 = stablehlo.fft %x, type = FFT, length = [24] : (tensor<2x24xcomplex<f32>>) -> tensor<2x24xcomplex<f32>>
  return %0 : tensor<2x24xcomplex<f32>>
}

// Real numbers that were made complex: pairs of them, and all coefficients.
// CHECK-LABEL: func.func @of_real
// CHECK: "linalgx.fourier"
// CHECK-SAME: pairs = 3
// CHECK-SAME: (tensor<2x48x1xf32>, tensor<2x{{.*}}xf32>, tensor<2x48x1xcomplex<f32>>)
func.func @of_real(%x: tensor<2x48xf32>) -> tensor<2x48xcomplex<f32>> {
  %z = stablehlo.convert %x : (tensor<2x48xf32>) -> tensor<2x48xcomplex<f32>>
  %0 = stablehlo.fft %z, type = FFT, length = [48] : (tensor<2x48xcomplex<f32>>) -> tensor<2x48xcomplex<f32>>
  return %0 : tensor<2x48xcomplex<f32>>
}

// The other axis first: many columns side by side; then coefficients of real numbers, with the factor of both.
// CHECK-LABEL: func.func @irfft2
// CHECK: "linalgx.fourier"
// CHECK-SAME: inverse = true
// CHECK-SAME: pairs = 0
// CHECK-SAME: tensor<2x8x9xcomplex<f32>>
// CHECK: "linalgx.fourier"
// CHECK-SAME: pairs = 2
// CHECK-SAME: scale = 7.812500e-03
func.func @irfft2(%x: tensor<2x8x9xcomplex<f32>>) -> tensor<2x8x16xf32> {
  %0 = stablehlo.fft %x, type = IRFFT, length = [8, 16] : (tensor<2x8x9xcomplex<f32>>) -> tensor<2x8x16xf32>
  return %0 : tensor<2x8x16xf32>
}

// A prime: a convolution by transforms of 80 numbers.
// CHECK-LABEL: func.func @prime
// CHECK: tensor.pad
// CHECK: "linalgx.fourier"
// CHECK: "linalgx.fourier"
// CHECK-SAME: inverse = true
// CHECK: tensor.extract_slice
func.func @prime(%x: tensor<2x37xcomplex<f32>>) -> tensor<2x37xcomplex<f32>> {
  %0 = stablehlo.fft %x, type = FFT, length = [37] : (tensor<2x37xcomplex<f32>>) -> tensor<2x37xcomplex<f32>>
  return %0 : tensor<2x37xcomplex<f32>>
}

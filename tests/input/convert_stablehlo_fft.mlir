// RUN: mlirage opt --passes=input-convert-stablehlo-fft %s | filecheck %s

// 12 = 4·3: a stage of radix 4 (two joined factors), then one of radix 3.
// CHECK-DAG: ml_program.global private @twiddles(#{{.*}}) : tensor<4x4x1xcomplex<f32>>
// CHECK-DAG: ml_program.global private @twiddles_0(#{{.*}}) : tensor<3x3x4xcomplex<f32>>
// CHECK-LABEL: func.func @fft
// CHECK: tensor.expand_shape %arg0 {{\[\[}}0], [1, 2, 3]] output_shape [2, 4, 3, 1]
// CHECK: linalg.generic {{.*}}"reduction"
// CHECK: complex.mul
// CHECK: tensor.expand_shape %{{.*}} {{\[\[}}0], [1, 2, 3]] output_shape [2, 3, 1, 4]
// CHECK: linalg.generic
// CHECK-NOT: stablehlo
func.func @fft(%x: tensor<2x12xcomplex<f32>>) -> tensor<2x12xcomplex<f32>> {
  %0 = stablehlo.fft %x, type = FFT, length = [12] : (tensor<2x12xcomplex<f32>>) -> tensor<2x12xcomplex<f32>>
  return %0 : tensor<2x12xcomplex<f32>>
}

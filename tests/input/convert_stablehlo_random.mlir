// RUN: mlirage opt --passes=input-convert-stablehlo-random %s | filecheck %s

// The stream goes on from call to call.
// CHECK: ml_program.global private mutable @rng.state(dense<0> : tensor<i64>)
// CHECK-LABEL: func.func @uniform
func.func @uniform(%a: tensor<f32>, %b: tensor<f32>) -> tensor<5xf32> {
  // CHECK: ml_program.global_load @rng.state
  // CHECK: ml_program.global_store @rng.state
  // CHECK: linalg.generic
  // CHECK-NOT: stablehlo.rng
  %s = stablehlo.constant dense<5> : tensor<1xi64>
  %r = stablehlo.rng %a, %b, %s, distribution = UNIFORM : (tensor<f32>, tensor<f32>, tensor<1xi64>) -> tensor<5xf32>
  return %r : tensor<5xf32>
}

// CHECK-LABEL: func.func @bits
func.func @bits(%s: tensor<2xui64>) -> tensor<3xf16> {
  // CHECK: stablehlo.rng_bit_generator {{.*}} -> (tensor<2xui64>, tensor<3xui16>)
  // CHECK: stablehlo.bitcast_convert {{.*}} : (tensor<3xui16>) -> tensor<3xf16>
  %t, %r = stablehlo.rng_bit_generator %s, algorithm = PHILOX : (tensor<2xui64>) -> (tensor<2xui64>, tensor<3xf16>)
  return %r : tensor<3xf16>
}

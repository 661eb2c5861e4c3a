// RUN: mlirage opt --passes=input-convert-stablehlo-quantization %s | filecheck %s

!q = !quant.uniform<i8:f32, 0.5:3>
!u = !quant.uniform<u8:f32:1, {0.5:3,0.25}>

// Values and signatures are integers; the addition is one of floats.
// CHECK-LABEL: func.func @add(%arg0: tensor<?xi8>) -> tensor<?xi8>
func.func @add(%a: tensor<?x!q>) -> tensor<?x!q> {
  // CHECK: ins({{.*}} : tensor<?xi8>) outs({{.*}} : tensor<?xf32>)
  // CHECK: arith.subi
  // CHECK: %[[F:.*]] = stablehlo.add {{.*}} : tensor<?xf32>
  // CHECK: ins(%[[F]] : tensor<?xf32>) outs({{.*}} : tensor<?xi8>)
  // CHECK: math.roundeven
  %r = stablehlo.add %a, %a : tensor<?x!q>
  return %r : tensor<?x!q>
}

// Scales along an axis are a constant that is read along it.
// CHECK-LABEL: func.func @axis
func.func @axis(%x: tensor<4x2xf32>) -> tensor<4x2x!u> {
  // CHECK: arith.constant dense<[5.000000e-01, 2.500000e-01]> : tensor<2xf32>
  // CHECK: linalg.generic
  %r = stablehlo.uniform_quantize %x : (tensor<4x2xf32>) -> tensor<4x2x!u>
  return %r : tensor<4x2x!u>
}

// What is only moved stays an integer.
// CHECK-LABEL: func.func @move
func.func @move(%a: tensor<4x2x!q>) -> tensor<2x4x!q> {
  // CHECK-NEXT: stablehlo.transpose %arg0, dims = [1, 0] : (tensor<4x2xi8>) -> tensor<2x4xi8>
  // CHECK-NEXT: return
  %r = stablehlo.transpose %a, dims = [1, 0] : (tensor<4x2x!q>) -> tensor<2x4x!q>
  return %r : tensor<2x4x!q>
}

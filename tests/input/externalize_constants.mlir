// RUN: mlirage opt --passes=input-externalize-constants %s | filecheck %s

// CHECK-DAG: ml_program.global private @table(#{{.*}}) : tensor<18xi8>
// CHECK-DAG: ml_program.global private @const(#{{.*}}) : tensor<18xf32>
// CHECK-NOT: ml_program.global
ml_program.global private @table(dense<[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]> : tensor<18xi8>) : tensor<18xi8>

// CHECK-LABEL: func.func @constants
// Seventeen elements or more leave, once; splats and small ones stay.
// CHECK: ml_program.global_load_const @const : tensor<18xf32>
// CHECK: ml_program.global_load_const @const : tensor<18xf32>
// CHECK: arith.constant dense<1.000000e+00> : tensor<100xf32>
// CHECK: arith.constant dense<[1, 2]> : tensor<2xi32>
func.func @constants() -> (tensor<18xf32>, tensor<18xf32>, tensor<100xf32>, tensor<2xi32>) {
  %0 = arith.constant dense<[1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15., 16., 17., 18.]> : tensor<18xf32>
  %1 = arith.constant dense<[1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15., 16., 17., 18.]> : tensor<18xf32>
  %2 = arith.constant dense<1.0> : tensor<100xf32>
  %3 = arith.constant dense<[1, 2]> : tensor<2xi32>
  return %0, %1, %2, %3 : tensor<18xf32>, tensor<18xf32>, tensor<100xf32>, tensor<2xi32>
}

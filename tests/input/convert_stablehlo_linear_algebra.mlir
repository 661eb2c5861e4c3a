// RUN: mlirage opt --passes=input-convert-stablehlo-linear-algebra %s | filecheck %s

// CHECK-LABEL: @cholesky
// CHECK: "linalgx.factorize"(%arg0, {{.*}}) {batch_rank = 1 : i64, flags = "", kind = "cholesky"
func.func @cholesky(%x: tensor<2x3x3xf32>) -> tensor<2x3x3xf32> {
  %0 = stablehlo.cholesky %x, lower = true : tensor<2x3x3xf32>
  return %0 : tensor<2x3x3xf32>
}

// CHECK-LABEL: @solve
// CHECK: flags = "right unit transpose conjugate", kind = "triangular_solve"
func.func @solve(%a: tensor<3x3xcomplex<f32>>, %b: tensor<2x3xcomplex<f32>>) -> tensor<2x3xcomplex<f32>> {
  %0 = "stablehlo.triangular_solve"(%a, %b) <{left_side = false, lower = false, unit_diagonal = true,
       transpose_a = #stablehlo<transpose ADJOINT>}>
       : (tensor<3x3xcomplex<f32>>, tensor<2x3xcomplex<f32>>) -> tensor<2x3xcomplex<f32>>
  return %0 : tensor<2x3xcomplex<f32>>
}

// CHECK-LABEL: @lapack
// CHECK: batch_rank = 0 : i64, flags = "", kind = "lu"
// CHECK-NOT: custom_call
func.func @lapack(%x: tensor<4x3xf64>) -> (tensor<4x3xf64>, tensor<3xi32>, tensor<i32>) {
  %0:3 = stablehlo.custom_call @lapack_dgetrf_ffi(%x) {mhlo.backend_config = {}}
       : (tensor<4x3xf64>) -> (tensor<4x3xf64>, tensor<3xi32>, tensor<i32>)
  return %0#0, %0#1, %0#2 : tensor<4x3xf64>, tensor<3xi32>, tensor<i32>
}

// Eigenvalues of a real matrix are complex: so is the algorithm.
// CHECK-LABEL: @eigenvalues
// CHECK: complex.create
// CHECK: "linalgx.factorize"({{.*}}) {batch_rank = 0 : i64, flags = "values", kind = "eig"
// CHECK: complex.re
// CHECK: complex.im
func.func @eigenvalues(%x: tensor<4x4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %0:5 = stablehlo.custom_call @lapack_sgeev_ffi(%x) {mhlo.backend_config = {compute_left = 78 : ui8, compute_right = 78 : ui8}}
       : (tensor<4x4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4x4xcomplex<f32>>, tensor<4x4xcomplex<f32>>, tensor<i32>)
  return %0#0, %0#1 : tensor<4xf32>, tensor<4xf32>
}

// CHECK-LABEL: @schur
// CHECK: %[[F:.+]]:5 = "linalgx.factorize"(%arg0, {{.*}}) {batch_rank = 0 : i64, flags = "values", kind = "eig"
// CHECK: return %[[F]]#3, %[[F]]#4
func.func @schur(%x: tensor<4x4xcomplex<f32>>) -> (tensor<4x4xcomplex<f32>>, tensor<4x4xcomplex<f32>>) {
  %0:5 = stablehlo.custom_call @lapack_cgees_ffi(%x) {mhlo.backend_config = {mode = 86 : ui8, sort = 78 : ui8}}
       : (tensor<4x4xcomplex<f32>>) -> (tensor<4x4xcomplex<f32>>, tensor<4x4xcomplex<f32>>, tensor<4xcomplex<f32>>, tensor<i32>, tensor<i32>)
  return %0#0, %0#1 : tensor<4x4xcomplex<f32>>, tensor<4x4xcomplex<f32>>
}

// CHECK-LABEL: @real_schur
// CHECK: %[[R:.+]]:5 = "linalgx.factorize"(%arg0, {{.*}}) {batch_rank = 1 : i64, flags = "", kind = "schur"
// CHECK: return %[[R]]#0, %[[R]]#4, %[[R]]#1, %[[R]]#3
func.func @real_schur(%x: tensor<2x4x4xf32>)
    -> (tensor<2x4x4xf32>, tensor<2x4x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>) {
  %0:6 = stablehlo.custom_call @lapack_sgees_ffi(%x) {mhlo.backend_config = {mode = 86 : ui8, sort = 78 : ui8}}
       : (tensor<2x4x4xf32>) -> (tensor<2x4x4xf32>, tensor<2x4x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>, tensor<2xi32>, tensor<2xi32>)
  return %0#0, %0#1, %0#2, %0#3 : tensor<2x4x4xf32>, tensor<2x4x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
}

// What is not known stays for input-verify to report.
// CHECK-LABEL: @other
// CHECK: lapack_sgeqp3_ffi
func.func @other(%x: tensor<4x4xf32>) -> tensor<4xf32> {
  %0 = stablehlo.custom_call @lapack_sgeqp3_ffi(%x) {mhlo.backend_config = {}} : (tensor<4x4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

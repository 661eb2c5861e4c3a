// RUN: mlirage opt --passes=global-optimization-decompose-tensor-ops,canonicalize,cse %s | filecheck %s

// CHECK-LABEL: func.func @concat(
// CHECK: %[[E:.+]] = tensor.empty() : tensor<2x7xf32>
// CHECK: %[[A:.+]] = tensor.insert_slice %arg0 into %[[E]][0, 0] [2, 3] [1, 1]
// CHECK: %[[B:.+]] = tensor.insert_slice %arg1 into %[[A]][0, 3] [2, 4] [1, 1]
// CHECK: return %[[B]]
func.func @concat(%a: tensor<2x3xf32>, %b: tensor<2x4xf32>) -> tensor<2x7xf32> {
  %0 = tensor.concat dim(1) %a, %b : (tensor<2x3xf32>, tensor<2x4xf32>) -> tensor<2x7xf32>
  return %0 : tensor<2x7xf32>
}

// Offsets of dynamic parts are sums.
// CHECK-LABEL: func.func @concat_dynamic(
// CHECK-DAG: %[[DA:.+]] = tensor.dim %arg0, %c0
// CHECK-DAG: %[[DB:.+]] = tensor.dim %arg1, %c0
// CHECK-DAG: %[[AB:.+]] = arith.addi %[[DA]], %[[DB]]
// CHECK: tensor.empty(%{{.+}}) : tensor<?xf32>
// CHECK: tensor.insert_slice %arg0 into %{{.+}}[0] [%[[DA]]] [1]
// CHECK: tensor.insert_slice %arg1 into %{{.+}}[%[[DA]]] [%[[DB]]] [1]
// CHECK: tensor.insert_slice %arg2 into %{{.+}}[%[[AB]]] [5] [1]
func.func @concat_dynamic(%a: tensor<?xf32>, %b: tensor<?xf32>, %c: tensor<5xf32>) -> tensor<?xf32> {
  %0 = tensor.concat dim(0) %a, %b, %c : (tensor<?xf32>, tensor<?xf32>, tensor<5xf32>) -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

// CHECK-LABEL: func.func @generate(
// CHECK: linalg.generic
// CHECK-NEXT: ^bb0
// CHECK-DAG: linalg.index 0
// CHECK-DAG: linalg.index 1
// CHECK: arith.muli
func.func @generate(%n: index) -> tensor<?x4xi64> {
  %0 = tensor.generate %n {
  ^bb0(%i: index, %j: index):
    %p = arith.muli %i, %j : index
    %q = arith.index_cast %p : index to i64
    tensor.yield %q : i64
  } : tensor<?x4xi64>
  return %0 : tensor<?x4xi64>
}

// Two words of 8 bytes are no pattern that a device's fill knows.
// CHECK-LABEL: func.func @wide_splat(
// CHECK: linalg.fill
// CHECK: tensor.splat
func.func @wide_splat(%n: index, %x: complex<f64>, %y: complex<f32>) -> (tensor<?xcomplex<f64>>, tensor<2xcomplex<f32>>) {
  %0 = tensor.splat %x[%n] : tensor<?xcomplex<f64>>
  %1 = tensor.splat %y : tensor<2xcomplex<f32>>
  return %0, %1 : tensor<?xcomplex<f64>>, tensor<2xcomplex<f32>>
}

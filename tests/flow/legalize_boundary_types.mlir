// RUN: mlirage opt --passes=flow-legalize-boundary-types,canonicalize %s | filecheck %s

#id = affine_map<(i) -> (i)>

// Booleans are stored as bytes; bodies compute with i1.
// CHECK-LABEL: func.func @mask(
// CHECK-SAME: %[[M:.+]]: tensor<4xi8>, %[[X:.+]]: tensor<4xf32>) -> tensor<4xi8>
// CHECK: linalg.generic {{.*}} ins(%[[M]], %[[X]] : tensor<4xi8>, tensor<4xf32>) outs(%{{.+}} : tensor<4xi8>)
// CHECK-NEXT: ^bb0(%[[A:.+]]: i8, %[[B:.+]]: f32, %{{.+}}: i8):
// CHECK: %[[P:.+]] = arith.trunci %[[A]] : i8 to i1
// CHECK: %[[Q:.+]] = arith.cmpf
// CHECK: %[[R:.+]] = arith.andi %[[P]], %[[Q]] : i1
// CHECK: %[[S:.+]] = arith.extui %[[R]] : i1 to i8
// CHECK: linalg.yield %[[S]]
func.func @mask(%m: tensor<4xi1>, %x: tensor<4xf32>) -> tensor<4xi1> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4xi1>
  %0 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]} ins(%m, %x : tensor<4xi1>, tensor<4xf32>) outs(%e : tensor<4xi1>) {
  ^bb0(%a: i1, %b: f32, %o: i1):
    %q = arith.cmpf ogt, %b, %zero : f32
    %r = arith.andi %a, %q : i1
    linalg.yield %r : i1
  } -> tensor<4xi1>
  return %0 : tensor<4xi1>
}

// Constants, globals, fills and loads; true is 1, not -1.
// CHECK: ml_program.global private mutable @flag(dense<1> : tensor<i8>) : tensor<i8>
// CHECK-LABEL: func.func @host(
// CHECK-DAG: arith.constant dense<[1, 0]> : tensor<2xi8>
// CHECK-DAG: arith.constant 1 : i8
// CHECK: tensor.extract %{{.+}}[] : tensor<i8>
// CHECK: arith.trunci %{{.+}} : i8 to i1
// CHECK: linalg.fill ins(%{{.+}} : i8) outs(%{{.+}} : tensor<3xi8>)
ml_program.global private mutable @flag(dense<true> : tensor<i1>) : tensor<i1>
func.func @host(%x: tensor<2xi1>) -> (tensor<2xi1>, tensor<3xi1>) {
  %f = ml_program.global_load @flag : tensor<i1>
  %c = tensor.extract %f[] : tensor<i1>
  %k = arith.constant dense<[true, false]> : tensor<2xi1>
  %r = scf.if %c -> tensor<2xi1> {
    scf.yield %x : tensor<2xi1>
  } else {
    scf.yield %k : tensor<2xi1>
  }
  %true = arith.constant true
  %e = tensor.empty() : tensor<3xi1>
  %s = linalg.fill ins(%true : i1) outs(%e : tensor<3xi1>) -> tensor<3xi1>
  return %r, %s : tensor<2xi1>, tensor<3xi1>
}

// Indices are stored as i64.
// CHECK-LABEL: func.func @index(
// CHECK-SAME: -> tensor<4xi64>
// CHECK: %[[I:.+]] = linalg.index 0
// CHECK: %[[J:.+]] = arith.index_cast %[[I]] : index to i64
// CHECK: linalg.yield %[[J]] : i64
func.func @index() -> tensor<4xindex> {
  %e = tensor.empty() : tensor<4xindex>
  %0 = linalg.generic {indexing_maps = [#id], iterator_types = ["parallel"]} outs(%e : tensor<4xindex>) {
  ^bb0(%o: index):
    %i = linalg.index 0 : index
    linalg.yield %i : index
  } -> tensor<4xindex>
  return %0 : tensor<4xindex>
}

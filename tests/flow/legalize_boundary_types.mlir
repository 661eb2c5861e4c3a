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

// Numbers of less than 8 bits are stored in a byte each, the high bits 0, and computed with as they are.
// CHECK-LABEL: func.func @nibbles(
// CHECK-SAME: %[[X:.+]]: tensor<3xi8>, %[[F:.+]]: tensor<3xi8>) -> (tensor<3xi8>, tensor<3xi8>, tensor<2xi8>)
// CHECK-DAG: arith.constant dense<[15, 7]> : tensor<2xi8>
// CHECK: linalg.generic
// CHECK-NEXT: ^bb0(%[[A:.+]]: i8, %[[B:.+]]: i8, %{{.+}}: i8, %{{.+}}: i8):
// CHECK-DAG: %[[P:.+]] = arith.trunci %[[A]] : i8 to i4
// CHECK-DAG: %[[Q:.+]] = arith.trunci %[[B]] : i8 to i4
// CHECK-DAG: %[[H:.+]] = arith.bitcast %[[Q]] : i4 to f4E2M1FN
// CHECK-DAG: %[[R:.+]] = arith.addi %[[P]], %[[P]] : i4
// CHECK-DAG: %[[N:.+]] = arith.negf %[[H]] : f4E2M1FN
// CHECK-DAG: %[[S:.+]] = arith.extui %[[R]] : i4 to i8
// CHECK-DAG: %[[T:.+]] = arith.bitcast %[[N]] : f4E2M1FN to i4
// CHECK-DAG: %[[U:.+]] = arith.extui %[[T]] : i4 to i8
// CHECK: linalg.yield %[[S]], %[[U]] : i8, i8
func.func @nibbles(%x: tensor<3xi4>, %f: tensor<3xf4E2M1FN>) -> (tensor<3xi4>, tensor<3xf4E2M1FN>, tensor<2xi4>) {
  %c = arith.constant dense<[-1, 7]> : tensor<2xi4>
  %e = tensor.empty() : tensor<3xi4>
  %g = tensor.empty() : tensor<3xf4E2M1FN>
  %0:2 = linalg.generic {indexing_maps = [#id, #id, #id, #id], iterator_types = ["parallel"]} ins(%x, %f : tensor<3xi4>, tensor<3xf4E2M1FN>) outs(%e, %g : tensor<3xi4>, tensor<3xf4E2M1FN>) {
  ^bb0(%a: i4, %b: f4E2M1FN, %o: i4, %p: f4E2M1FN):
    %r = arith.addi %a, %a : i4
    %n = arith.negf %b : f4E2M1FN
    linalg.yield %r, %n : i4, f4E2M1FN
  } -> (tensor<3xi4>, tensor<3xf4E2M1FN>)
  return %0#0, %0#1, %c : tensor<3xi4>, tensor<3xf4E2M1FN>, tensor<2xi4>
}

// A body reads an element of a tensor that is no operand.
// CHECK-LABEL: func.func @lookup(
// CHECK: linalg.generic
// CHECK: %[[B:.+]] = tensor.extract %{{.+}}[%{{.+}}] : tensor<4xi8>
// CHECK: %[[P:.+]] = arith.trunci %[[B]] : i8 to i1
// CHECK: arith.select %[[P]]
func.func @lookup(%m: tensor<4xi1>, %x: tensor<4xf32>) -> tensor<4xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4xf32>
  %0 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %i = linalg.index 0 : index
    %b = tensor.extract %m[%i] : tensor<4xi1>
    %r = arith.select %b, %a, %zero : f32
    linalg.yield %r : f32
  } -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// RUN: mlirage opt --passes=input-legalize-signatures %s | filecheck %s

// Scalars are widened at the boundary only.
// CHECK-LABEL: func.func @scalars(
// CHECK-SAME: %[[N:.+]]: i64, %[[F:.+]]: f32, %[[B:.+]]: i32, %[[D:.+]]: f64) -> (i64, f32, i32, f64)
// CHECK-SAME: mlirage.signature = "{\22arguments\22: [{\22name\22: \22arg0\22, \22dtype\22: \22int64\22, \22shape\22: []}, {\22name\22: \22arg1\22, \22dtype\22: \22bfloat16\22
// CHECK-DAG: arith.trunci %[[B]] : i32 to i1
// CHECK-DAG: arith.truncf %[[F]] : f32 to bf16
// CHECK-DAG: %[[INDEX:.+]] = arith.index_cast %[[N]] : i64 to index
// CHECK: arith.addi %[[INDEX]], %[[INDEX]] : index
// CHECK: arith.extui %{{.+}} : i1 to i32
func.func @scalars(%n: index, %f: bf16, %b: i1, %d: f64) -> (index, bf16, i1, f64) {
  %0 = arith.addi %n, %n : index
  return %0, %f, %b, %d : index, bf16, i1, f64
}

// Calls between functions of the module keep their values.
// CHECK-LABEL: func.func @caller(
// CHECK: %[[CALL:.+]]:4 = {{.*}}call @scalars(%{{.+}}, %{{.+}}, %{{.+}}, %arg1) : (i64, f32, i32, f64) -> (i64, f32, i32, f64)
// CHECK: arith.index_cast %[[CALL]]#0 : i64 to index
func.func @caller(%n: i64, %d: f64) -> i64 {
  %index = arith.index_cast %n : i64 to index
  %f = arith.constant 1.0 : bf16
  %b = arith.constant true
  %r:4 = func.call @scalars(%index, %f, %b, %d) : (index, bf16, i1, f64) -> (index, bf16, i1, f64)
  %out = arith.index_cast %r#0 : index to i64
  return %out : i64
}

// A signature from the importer stays; private functions have none.
// CHECK-LABEL: func.func @named
// CHECK-SAME: mlirage.signature = "kept"
func.func @named(%x: tensor<?x3xi8>) -> tensor<?x3xi8> attributes {mlirage.signature = "kept"} {
  return %x : tensor<?x3xi8>
}
// CHECK-LABEL: func.func private @inner
// CHECK-NOT: mlirage.signature
func.func private @inner(%x: index) -> index {
  return %x : index
}

// RUN: mlirage opt --passes=stream-convert-to-stream,cse --split-input-file %s | filecheck %s

// Views are checked, a named extent of a later argument is that of the first.

// CHECK-LABEL: func.func @main(%arg0: !hal.buffer_view, %arg1: !hal.buffer_view, %arg2: f32) -> !hal.buffer_view
// CHECK-DAG: %[[F32:.+]] = arith.constant 83886112 : i32
// CHECK: %[[MESSAGE:.+]] = "util.rodata"() {name = "message: main: x"}
// CHECK: "hal.buffer_view_assert"(%arg0, %[[MESSAGE]], %[[F32]], %c-1, %c4)
// CHECK: %[[N:.+]] = "hal.buffer_view_dim"(%arg0, %{{.+}})
// CHECK: %[[COUNT:.+]] = arith.muli %[[N]], %{{.+}} : index
// CHECK: %[[SIZE:.+]] = arith.muli %[[COUNT]], %{{.+}} : index
// CHECK: %[[X:.+]] = "stream.tensor_import"(%arg0, %[[SIZE]])
// CHECK: "hal.buffer_view_assert"(%arg1, %{{.+}}, %[[F32]], %[[N]])
// CHECK: %[[Y:.+]] = "stream.tensor_import"(%arg1
// CHECK: %[[S:.+]] = arith.extui %{{.+}} : i32 to i64
// CHECK: %[[WIDE:.+]] = arith.index_cast %[[N]] : index to i64
// CHECK: %[[R:.+]] = "stream.async_dispatch"(%[[S]], %[[WIDE]], %[[WIDE]], %[[WIDE]], %[[X]], %[[Y]], %[[SIZE]], %[[COUNT]]
// CHECK-SAME: argument_count = 2 : i64, entry = @ex::@e
// CHECK-SAME: tied = [-1]
// CHECK: %[[RESULT:.+]] = "stream.async_clone"(%[[R]], %[[SIZE]])
// CHECK: "stream.tensor_export"(%[[RESULT]], %[[SIZE]], %[[N]]) {element_type = 83886112 : i32, encoding = tensor<?x4xf32>
func.func @main(%x: tensor<?x4xf32>, %y: tensor<?xf32>, %s: f32) -> tensor<?x4xf32>
    attributes {mlirage.signature = "{\"arguments\": [{\"name\": \"x\", \"shape\": [\"n\", 4]}, {\"name\": \"y\", \"shape\": [\"n\"]}]}"} {
  %c0 = arith.constant 0 : index
  %d = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.dim %y, %c0 : tensor<?xf32>
  %r = "flow.dispatch"(%x, %s, %y, %d, %e, %d) {entry = @ex::@e, tied = [-1], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1>, resultSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<?x4xf32>, f32, tensor<?xf32>, index, index, index) -> tensor<?x4xf32>
  return %r : tensor<?x4xf32>
}

// -----

// Slices and updates are runs of bytes; one element is read by the host.

// CHECK-LABEL: func.func @host_ops
// CHECK: %[[X:.+]] = "stream.tensor_import"
// CHECK: "stream.async_slice"(%[[X]], %c64, %c16, %c32)
// CHECK: %[[S:.+]] = "stream.async_splat"(%{{.+}}, %c64) : (i32, index)
// CHECK: "stream.async_update"(%[[S]], %c64, %{{.+}}, %c32, %c16)
// CHECK: %[[V:.+]] = "stream.async_load"(%{{.+}}, %c64, %c20) : {{.*}} -> f32
// CHECK: arith.bitcast %[[V]] : f32 to i32
// CHECK: "stream.async_fill"(%{{.+}}, %c64, %{{.+}}, %c0, %c4)
func.func @host_ops(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %0 = "flow.tensor_slice"(%x, %c1) {operandSegmentSizes = array<i32: 1, 1, 0, 0>} : (tensor<4x4xf32>, index) -> tensor<2x4xf32>
  %1 = "flow.tensor_splat"(%zero) {operandSegmentSizes = array<i32: 1, 0>} : (f32) -> tensor<4x4xf32>
  %2 = "flow.tensor_update"(%1, %0, %c1) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>} : (tensor<4x4xf32>, tensor<2x4xf32>, index) -> tensor<4x4xf32>
  %3 = "flow.tensor_load"(%2, %c1, %c1) {operandSegmentSizes = array<i32: 1, 0, 2>} : (tensor<4x4xf32>, index, index) -> f32
  %4 = "flow.tensor_store"(%3, %2, %c0, %c0) {operandSegmentSizes = array<i32: 1, 1, 0, 2>} : (f32, tensor<4x4xf32>, index, index) -> tensor<4x4xf32>
  return %4 : tensor<4x4xf32>
}

// -----

// Loops carry resources and their dynamic extents; private functions take and give both.

// CHECK-LABEL: func.func @loop
// CHECK: %[[LOOP:.+]]:2 = scf.for %{{.+}} iter_args(%[[A:.+]] = %{{.+}}, %[[N:.+]] = %{{.+}}) -> (!stream.resource<"*">, index)
// CHECK: %[[C:.+]]:2 = func.call @callee(%[[A]], %[[N]])
// CHECK: %[[NEXT:.+]] = "stream.async_clone"(%[[C]]#0
// CHECK: scf.yield %[[NEXT]], %[[C]]#1
// CHECK: %[[RESULT:.+]] = "stream.async_clone"(%[[LOOP]]#0
// CHECK: "stream.tensor_export"(%[[RESULT]], %{{.+}}, %[[LOOP]]#1)
func.func @loop(%x: tensor<?xf32>, %n: i64) -> tensor<?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %end = arith.index_cast %n : i64 to index
  %r = scf.for %i = %c0 to %end step %c1 iter_args(%a = %x) -> tensor<?xf32> {
    %b = func.call @callee(%a) : (tensor<?xf32>) -> tensor<?xf32>
    scf.yield %b : tensor<?xf32>
  }
  return %r : tensor<?xf32>
}

// CHECK-LABEL: func.func private @callee(%arg0: !stream.resource<"*">, %arg1: index) -> (!stream.resource<"*">, index)
func.func private @callee(%a: tensor<?xf32>) -> tensor<?xf32> {
  return %a : tensor<?xf32>
}

// -----

// State: a variable that the initializer fills.

// CHECK: "util.global"() {is_mutable = false, size = 8 : i64, sym_name = "count", type = !stream.resource<"variable">}
// CHECK-LABEL: func.func @step
// CHECK: %[[OLD:.+]] = "util.global_load"() {symbol = @count} : () -> !stream.resource<"*">
// CHECK: %[[NEW:.+]] = "stream.async_dispatch"({{.*}}%[[OLD]]
// CHECK: "stream.variable_store"(%[[NEW]], %c8) {symbol = @count}
// CHECK-LABEL: func.func private @__init() attributes {mlirage.initializer}
// CHECK: %[[SPLAT:.+]] = "stream.async_splat"
// CHECK: %[[OWNED:.+]] = "stream.async_clone"(%[[SPLAT]]
// CHECK: "util.global_store"(%[[OWNED]]) {symbol = @count}
ml_program.global private mutable @count(dense<1> : tensor<1xi64>) : tensor<1xi64>
func.func @step() {
  %0 = ml_program.global_load @count : tensor<1xi64>
  %1 = "flow.dispatch"(%0) {entry = @ex::@e, tied = [0], operandSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1xi64>) -> tensor<1xi64>
  ml_program.global_store @count = %1 : tensor<1xi64>
  return
}

// -----

// A name that stands twice in one argument: the first axis says what the second must be.

// CHECK-LABEL: func.func @square
// CHECK: "hal.buffer_view_assert"(%arg0, %{{.*}}, %{{.*}}, %c-1, %c-1)
// CHECK: %[[N:.+]] = "hal.buffer_view_dim"(%arg0, %c0_i32)
// CHECK: "hal.buffer_view_assert"(%arg0, %{{.*}}, %{{.*}}, %[[N]], %[[N]])
// CHECK: "stream.tensor_export"(%{{.*}}, %{{.*}}, %[[N]], %[[N]])
func.func @square(%x: tensor<?x?xf32>) -> tensor<?x?xf32>
    attributes {mlirage.signature = "{\"arguments\": [{\"name\": \"x\", \"shape\": [\"n\", \"n\"]}]}"} {
  return %x : tensor<?x?xf32>
}

// A complex number of 16 bytes whose parts are equal is a pattern of 8.
// CHECK-LABEL: @complex_zeros
// CHECK: %[[ZERO:.+]] = arith.constant 0.000000e+00 : f64
// CHECK: %[[PATTERN:.+]] = arith.bitcast %[[ZERO]] : f64 to i64
// CHECK: "stream.async_splat"(%[[PATTERN]]
func.func @complex_zeros() -> tensor<4xcomplex<f64>> {
  %zero = complex.constant [0.0 : f64, 0.0 : f64] : complex<f64>
  %0 = "flow.tensor_splat"(%zero) {operandSegmentSizes = array<i32: 1, 0>} : (complex<f64>) -> tensor<4xcomplex<f64>>
  return %0 : tensor<4xcomplex<f64>>
}

// Tensors become bindings, scalars and extents become constants, results are written where they belong.
// RUN: mlirage opt --passes=hal-materialize-interfaces --split-input-file %s | filecheck %s

// Bindings: the argument, then the result. Constants: f32 (one word), then the extents (two words each).
// CHECK-LABEL: func.func @scale() attributes {hal.interface = {bindings = 2 : i64, constants = 5 : i64, scalars = [f32, index, index]}}
// CHECK: %[[S:.+]] = "hal.interface_constant_load"() {ordinal = 0 : i64, word = 0 : i64} : () -> f32
// CHECK: %[[D:.+]] = "hal.interface_constant_load"() {ordinal = 1 : i64, word = 1 : i64} : () -> index
// CHECK: %[[R:.+]] = "hal.interface_constant_load"() {ordinal = 2 : i64, word = 3 : i64} : () -> index
// CHECK: %[[IN:.+]] = "hal.interface_binding_subspan"(%[[D]]) {binding = 0 : i64{{.*}}} : (index) -> memref<?xf32>
// CHECK: %[[A:.+]] = bufferization.to_tensor %[[IN]] restrict
// CHECK: %[[OUT:.+]] = "hal.interface_binding_subspan"(%[[R]]) {binding = 1 : i64{{.*}}} : (index) -> memref<?xf32>
// CHECK: %[[Y:.+]] = linalg.generic
// CHECK: bufferization.materialize_in_destination %[[Y]] in restrict writable %[[OUT]]
// CHECK: return
module {
module @executable attributes {flow.executable, sym_visibility = "private"} {
  func.func @scale(%a: tensor<?xf32>, %s: f32, %d: index, %r: index) -> tensor<?xf32> {
    %e = tensor.empty(%r) : tensor<?xf32>
    %y = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
        ins(%a : tensor<?xf32>) outs(%e : tensor<?xf32>) {
    ^bb0(%x: f32, %o: f32):
      %z = arith.mulf %x, %s : f32
      linalg.yield %z : f32
    } -> tensor<?xf32>
    return %y : tensor<?xf32>
  }
}
}

// -----

// A tied result is written to the binding of its argument; index is i64 in memory.
// CHECK-LABEL: func.func @bump() attributes {hal.interface = {bindings = 1 : i64, constants = 0 : i64, scalars = []}}
// CHECK: %[[M:.+]] = "hal.interface_binding_subspan"() {binding = 0 : i64{{.*}}} : () -> memref<4xi64>
// CHECK: bufferization.to_tensor %[[M]] restrict writable
// CHECK: bufferization.materialize_in_destination %{{.+}} in restrict writable %[[M]]
module {
module @executable attributes {flow.executable, sym_visibility = "private"} {
  func.func @bump(%a: tensor<4xindex>) -> tensor<4xindex> attributes {flow.tied = [0]} {
    %one = arith.constant 1 : index
    %y = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
        outs(%a : tensor<4xindex>) {
    ^bb0(%o: index):
      %z = arith.addi %o, %one : index
      linalg.yield %z : index
    } -> tensor<4xindex>
    return %y : tensor<4xindex>
  }
}
}

// -----

// A result that is a part of its tied argument is written to that part of the binding, which nobody reads.
// CHECK-LABEL: func.func @part()
// CHECK: %[[O:.+]] = "hal.interface_constant_load"() {ordinal = 0
// CHECK: %[[OUT:.+]] = "hal.interface_binding_subspan"() {binding = 1 : i64{{.*}}} : () -> memref<4x16xf32>
// CHECK-NOT: bufferization.to_tensor %[[OUT]]
// CHECK: %[[Y:.+]] = linalg.generic
// CHECK: %[[PART:.+]] = memref.subview %[[OUT]][0, %[[O]]] [4, 8] [1, 1] : memref<4x16xf32> to memref<4x8xf32, strided<[16, 1], offset: ?>>
// CHECK: bufferization.materialize_in_destination %[[Y]] in restrict writable %[[PART]]
// CHECK-NOT: insert_slice
// CHECK: return
module {
module @executable attributes {flow.executable, sym_visibility = "private"} {
  func.func @part(%a: tensor<4x8xf32>, %t: tensor<4x16xf32>, %offset: index) -> tensor<4x16xf32>
      attributes {flow.tied = [1]} {
    %e = tensor.empty() : tensor<4x8xf32>
    %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
                         iterator_types = ["parallel", "parallel"]}
        ins(%a : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
    ^bb0(%x: f32, %o: f32):
      %z = arith.mulf %x, %x : f32
      linalg.yield %z : f32
    } -> tensor<4x8xf32>
    %u = tensor.insert_slice %y into %t[0, %offset] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<4x16xf32>
    return %u : tensor<4x16xf32>
  }
}
}

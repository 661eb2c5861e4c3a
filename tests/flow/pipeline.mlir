// The whole way from linalg to flow, for small programs that show each kind of result.
// `mlirage compile --compile-to=flow` prints such modules.
// RUN: mlirage opt --passes=canonicalize,cse,flow-form-dispatch-regions,flow-clone-producers,flow-legalize-boundary-types,flow-outline-dispatches,flow-deduplicate-executables,flow-convert-host-ops,canonicalize,cse --split-input-file %s | filecheck %s

// A matmul with bias and relu is one dispatch; the fill is computed inside.
// CHECK: module @dense$0_matmul_4x16x8_f32 attributes {flow.executable, sym_visibility = "private"}
// CHECK-NEXT: func.func @dense$0_matmul_4x16x8_f32(%{{.*}}: tensor<4x8xf32>, %{{.*}}: tensor<8x16xf32>, %{{.*}}: tensor<16xf32>) -> tensor<4x16xf32> attributes {flow.tied = [-1]}
// CHECK: linalg.fill
// CHECK: linalg.matmul
// CHECK: linalg.generic
// CHECK: return
// CHECK-LABEL: func.func @dense(
// CHECK-NEXT: %[[R:.+]] = "flow.dispatch"(%arg0, %arg1, %arg2) {entry = @dense$0_matmul_4x16x8_f32::@dense$0_matmul_4x16x8_f32
// CHECK-NEXT: return %[[R]]
func.func @dense(%x: tensor<4x8xf32>, %w: tensor<8x16xf32>, %bias: tensor<16xf32>) -> tensor<4x16xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x16xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x16xf32>) -> tensor<4x16xf32>
  %product = linalg.matmul ins(%x, %w : tensor<4x8xf32>, tensor<8x16xf32>) outs(%init : tensor<4x16xf32>) -> tensor<4x16xf32>
  %result = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%product, %bias : tensor<4x16xf32>, tensor<16xf32>) outs(%empty : tensor<4x16xf32>) {
  ^bb0(%p: f32, %b: f32, %out: f32):
    %sum = arith.addf %p, %b : f32
    %relu = arith.maximumf %sum, %zero : f32
    linalg.yield %relu : f32
  } -> tensor<4x16xf32>
  return %result : tensor<4x16xf32>
}

// -----

// Softmax over dynamic rows: one dispatch; extents come as index arguments, equal ones are recorded.
// CHECK: func.func @softmax$0_normalize_DxD_f32(%{{.*}}: tensor<?x?xf32>, %[[D0:.+]]: index, %[[D1:.+]]: index, %{{.*}}: index, %{{.*}}: index) -> tensor<?x?xf32> attributes {flow.equal_dims = {{\[\[}}1, 3], [2, 4]], flow.tied = [-1]}
// CHECK-NOT: tensor.dim
// CHECK-LABEL: func.func @softmax(
// CHECK: %[[A:.+]] = tensor.dim %arg0, %c1
// CHECK: %[[B:.+]] = tensor.dim %arg0, %c0
// CHECK: "flow.dispatch"(%arg0, %[[B]], %[[A]], %[[B]], %[[A]])
func.func @softmax(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %d0 = tensor.dim %x, %c0 : tensor<?x?xf32>
  %d1 = tensor.dim %x, %c1 : tensor<?x?xf32>
  %row = tensor.empty(%d0) : tensor<?xf32>
  %all = tensor.empty(%d0, %d1) : tensor<?x?xf32>
  %max_init = linalg.fill ins(%lowest : f32) outs(%row : tensor<?xf32>) -> tensor<?xf32>
  %max = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x?xf32>) outs(%max_init : tensor<?xf32>) {
  ^bb0(%a: f32, %out: f32):
    %m = arith.maximumf %a, %out : f32
    linalg.yield %m : f32
  } -> tensor<?xf32>
  %exp = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%x, %max : tensor<?x?xf32>, tensor<?xf32>) outs(%all : tensor<?x?xf32>) {
  ^bb0(%a: f32, %m: f32, %out: f32):
    %s = arith.subf %a, %m : f32
    %e = math.exp %s : f32
    linalg.yield %e : f32
  } -> tensor<?x?xf32>
  %sum_init = linalg.fill ins(%zero : f32) outs(%row : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%exp : tensor<?x?xf32>) outs(%sum_init : tensor<?xf32>) {
  ^bb0(%a: f32, %out: f32):
    %t = arith.addf %a, %out : f32
    linalg.yield %t : f32
  } -> tensor<?xf32>
  %result = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%exp, %sum : tensor<?x?xf32>, tensor<?xf32>) outs(%all : tensor<?x?xf32>) {
  ^bb0(%e: f32, %s: f32, %out: f32):
    %q = arith.divf %e, %s : f32
    linalg.yield %q : f32
  } -> tensor<?x?xf32>
  return %result : tensor<?x?xf32>
}

// -----

// Two independent matmuls of one shape share an executable.
// CHECK: module @twins$0_matmul_4x4x4_f32
// CHECK-NOT: module @twins$1
// CHECK-LABEL: func.func @twins(
// CHECK: "flow.dispatch"(%arg0, %arg1) {entry = @twins$0_matmul_4x4x4_f32::@twins$0_matmul_4x4x4_f32
// CHECK: "flow.dispatch"(%arg0, %arg2) {entry = @twins$0_matmul_4x4x4_f32::@twins$0_matmul_4x4x4_f32
func.func @twins(%x: tensor<4x4xf32>, %a: tensor<4x4xf32>, %b: tensor<4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>) {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x4xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x4xf32>) -> tensor<4x4xf32>
  %0 = linalg.matmul ins(%x, %a : tensor<4x4xf32>, tensor<4x4xf32>) outs(%init : tensor<4x4xf32>) -> tensor<4x4xf32>
  %1 = linalg.matmul ins(%x, %b : tensor<4x4xf32>, tensor<4x4xf32>) outs(%init : tensor<4x4xf32>) -> tensor<4x4xf32>
  return %0, %1 : tensor<4x4xf32>, tensor<4x4xf32>
}

// -----

// State is loaded and stored in order around the dispatch.
// CHECK-LABEL: func.func @count(
// CHECK-NEXT: %[[OLD:.+]] = ml_program.global_load @counter
// CHECK-NEXT: %[[NEW:.+]] = "flow.dispatch"(%[[OLD]], %arg0)
// CHECK-NEXT: ml_program.global_store @counter = %[[NEW]]
// CHECK-NEXT: return %[[NEW]]
ml_program.global private mutable @counter(dense<0> : tensor<i32>) : tensor<i32>
func.func @count(%step: tensor<i32>) -> tensor<i32> {
  %old = ml_program.global_load @counter : tensor<i32>
  %empty = tensor.empty() : tensor<i32>
  %new = linalg.generic {indexing_maps = [affine_map<() -> ()>, affine_map<() -> ()>, affine_map<() -> ()>], iterator_types = []}
      ins(%old, %step : tensor<i32>, tensor<i32>) outs(%empty : tensor<i32>) {
  ^bb0(%a: i32, %b: i32, %out: i32):
    %sum = arith.addi %a, %b : i32
    linalg.yield %sum : i32
  } -> tensor<i32>
  ml_program.global_store @counter = %new : tensor<i32>
  return %new : tensor<i32>
}

// -----

// The condition of a loop is read by the host; the body is a dispatch.
// CHECK-LABEL: func.func @double_until(
// CHECK: scf.while (%[[X:.+]] = %arg0)
// CHECK: %[[P:.+]] = "flow.dispatch"(%[[X]], %arg1) {entry = @double_until$0_elementwise_scalar_f32xi8
// CHECK-SAME: -> tensor<i8>
// CHECK: %[[BYTE:.+]] = "flow.tensor_load"(%[[P]])
// CHECK: %[[GO:.+]] = arith.trunci %[[BYTE]] : i8 to i1
// CHECK: scf.condition(%[[GO]]) %[[X]]
// CHECK: %[[Y:.+]] = "flow.dispatch"
// CHECK: scf.yield %[[Y]]
func.func @double_until(%start: tensor<f32>, %limit: tensor<f32>) -> tensor<f32> {
  %result = scf.while (%x = %start) : (tensor<f32>) -> tensor<f32> {
    %empty = tensor.empty() : tensor<i1>
    %less = linalg.generic {indexing_maps = [affine_map<() -> ()>, affine_map<() -> ()>, affine_map<() -> ()>], iterator_types = []}
        ins(%x, %limit : tensor<f32>, tensor<f32>) outs(%empty : tensor<i1>) {
    ^bb0(%a: f32, %b: f32, %out: i1):
      %p = arith.cmpf olt, %a, %b : f32
      linalg.yield %p : i1
    } -> tensor<i1>
    %go = tensor.extract %less[] : tensor<i1>
    scf.condition(%go) %x : tensor<f32>
  } do {
  ^bb0(%x: tensor<f32>):
    %empty = tensor.empty() : tensor<f32>
    %twice = linalg.generic {indexing_maps = [affine_map<() -> ()>, affine_map<() -> ()>], iterator_types = []}
        ins(%x : tensor<f32>) outs(%empty : tensor<f32>) {
    ^bb0(%a: f32, %out: f32):
      %s = arith.addf %a, %a : f32
      linalg.yield %s : f32
    } -> tensor<f32>
    scf.yield %twice : tensor<f32>
  }
  return %result : tensor<f32>
}

// -----

// Dynamic addition; extents of both operands and of the result, in order.
// CHECK: func.func @add$0_elementwise_D_f32(%{{.*}}: tensor<?xf32>, %{{.*}}: tensor<?xf32>, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index) -> tensor<?xf32> attributes {flow.equal_dims = {{\[\[}}2, 4]]
// CHECK-LABEL: func.func @add(
func.func @add(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
  %c0 = arith.constant 0 : index
  %d = tensor.dim %a, %c0 : tensor<?xf32>
  %empty = tensor.empty(%d) : tensor<?xf32>
  %sum = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%a, %b : tensor<?xf32>, tensor<?xf32>) outs(%empty : tensor<?xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %s = arith.addf %x, %y : f32
    linalg.yield %s : f32
  } -> tensor<?xf32>
  return %sum : tensor<?xf32>
}

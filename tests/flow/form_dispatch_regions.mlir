// RUN: mlirage opt --passes=flow-form-dispatch-regions %s | filecheck %s

#id = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>

// The residual goes with the later product; the earlier one is a dispatch before it.
// CHECK-LABEL: func.func @residual(
// CHECK: %[[FIRST:.+]] = "flow.dispatch_region"
// CHECK-NEXT: linalg.matmul
// CHECK-NEXT: flow.return
// CHECK: %[[SECOND:.+]] = "flow.dispatch_region"
// CHECK-NEXT: %[[P:.+]] = linalg.matmul
// CHECK-NEXT: %[[S:.+]] = linalg.generic {{.*}} ins(%[[FIRST]], %[[P]]
// CHECK: "flow.return"(%[[S]])
// CHECK: return %[[SECOND]]
func.func @residual(%x: tensor<4x4xf32>, %y: tensor<4x4xf32>, %z: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %e = tensor.empty() : tensor<4x4xf32>
  %0 = linalg.matmul ins(%x, %y : tensor<4x4xf32>, tensor<4x4xf32>) outs(%z : tensor<4x4xf32>) -> tensor<4x4xf32>
  %1 = linalg.matmul ins(%y, %x : tensor<4x4xf32>, tensor<4x4xf32>) outs(%z : tensor<4x4xf32>) -> tensor<4x4xf32>
  %2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%0, %1 : tensor<4x4xf32>, tensor<4x4xf32>) outs(%e : tensor<4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<4x4xf32>
  return %2 : tensor<4x4xf32>
}

// A result that others read, too, is stored: the reader is a dispatch of its own.
// CHECK-LABEL: func.func @read_twice(
// CHECK: "flow.dispatch_region"
// CHECK-NEXT: linalg.matmul
// CHECK-NEXT: flow.return
// CHECK: "flow.dispatch_region"
// CHECK-NEXT: linalg.generic
func.func @read_twice(%x: tensor<4x4xf32>, %z: tensor<4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>) {
  %e = tensor.empty() : tensor<4x4xf32>
  %0 = linalg.matmul ins(%x, %x : tensor<4x4xf32>, tensor<4x4xf32>) outs(%z : tensor<4x4xf32>) -> tensor<4x4xf32>
  %1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%0 : tensor<4x4xf32>) outs(%e : tensor<4x4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = math.exp %a : f32
    linalg.yield %s : f32
  } -> tensor<4x4xf32>
  return %0, %1 : tensor<4x4xf32>, tensor<4x4xf32>
}

// Means of two inputs that one op combines share its rows: one dispatch (layer norm from sums of x and of x * x).
// CHECK-LABEL: func.func @two_sums(
// CHECK: "flow.dispatch_region"
// CHECK-COUNT-3: linalg.generic
// CHECK: flow.return
// CHECK-NOT: flow.dispatch_region
func.func @two_sums(%x: tensor<64x8xf32>, %z: tensor<64xf32>) -> tensor<64x8xf32> {
  %e = tensor.empty() : tensor<64x8xf32>
  %0 = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<64x8xf32>) outs(%z : tensor<64xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.addf %a, %o : f32
    linalg.yield %s : f32
  } -> tensor<64xf32>
  %1 = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<64x8xf32>) outs(%z : tensor<64xf32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.mulf %a, %a : f32
    %s = arith.addf %m, %o : f32
    linalg.yield %s : f32
  } -> tensor<64xf32>
  %2 = linalg.generic {indexing_maps = [#id, #row, #row, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %0, %1 : tensor<64x8xf32>, tensor<64xf32>, tensor<64xf32>) outs(%e : tensor<64x8xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %o: f32):
    %m = arith.subf %a, %b : f32
    %s = arith.divf %m, %c : f32
    linalg.yield %s : f32
  } -> tensor<64x8xf32>
  return %2 : tensor<64x8xf32>
}

// Two chains that read each other's middle may not both be merged: that would be a cycle.
// CHECK-LABEL: func.func @no_cycle(
// CHECK-COUNT-2: flow.dispatch_region
// CHECK: return
func.func @no_cycle(%x: tensor<4x4xf32>, %z: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %e = tensor.empty() : tensor<4x4xf32>
  %0 = linalg.matmul ins(%x, %x : tensor<4x4xf32>, tensor<4x4xf32>) outs(%z : tensor<4x4xf32>) -> tensor<4x4xf32>
  %1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%0 : tensor<4x4xf32>) outs(%e : tensor<4x4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = math.exp %a : f32
    linalg.yield %s : f32
  } -> tensor<4x4xf32>
  %2 = linalg.matmul ins(%1, %x : tensor<4x4xf32>, tensor<4x4xf32>) outs(%z : tensor<4x4xf32>) -> tensor<4x4xf32>
  %3 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%1, %2 : tensor<4x4xf32>, tensor<4x4xf32>) outs(%e : tensor<4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<4x4xf32>
  return %3 : tensor<4x4xf32>
}

// Sums over outer dims are not cut into rows with what they read.
// CHECK-LABEL: func.func @column_sum(
// CHECK: "flow.dispatch_region"
// CHECK-NEXT: linalg.generic
// CHECK: flow.return
// CHECK: "flow.dispatch_region"
// CHECK-NEXT: linalg.generic
func.func @column_sum(%x: tensor<64x8xf32>, %z: tensor<8xf32>) -> (tensor<64x8xf32>, tensor<8xf32>) {
  %e = tensor.empty() : tensor<64x8xf32>
  %0 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<64x8xf32>) outs(%e : tensor<64x8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = math.exp %a : f32
    linalg.yield %s : f32
  } -> tensor<64x8xf32>
  %1 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (j, i)>, #row], iterator_types = ["parallel", "reduction"]} ins(%0 : tensor<64x8xf32>) outs(%z : tensor<8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.addf %a, %o : f32
    linalg.yield %s : f32
  } -> tensor<8xf32>
  return %0, %1 : tensor<64x8xf32>, tensor<8xf32>
}

// State keeps its order around dispatches; a run of bytes is no dispatch, a strided slice is.
// CHECK-LABEL: func.func @slices(
// CHECK: ml_program.global_load @state
// CHECK: ml_program.global_store @state
// CHECK: ml_program.global_load @state
// CHECK: tensor.extract_slice %{{.+}}[1, 0] [2, 8] [1, 1]
// CHECK: "flow.dispatch_region"
// CHECK-NEXT: tensor.extract_slice %{{.+}}[0, 0] [4, 4] [1, 2]
ml_program.global private mutable @state(dense<0.0> : tensor<4x8xf32>) : tensor<4x8xf32>
func.func @slices(%x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<2x8xf32>, tensor<4x4xf32>) {
  %0 = ml_program.global_load @state : tensor<4x8xf32>
  ml_program.global_store @state = %x : tensor<4x8xf32>
  %1 = ml_program.global_load @state : tensor<4x8xf32>
  %2 = tensor.extract_slice %1[1, 0] [2, 8] [1, 1] : tensor<4x8xf32> to tensor<2x8xf32>
  %3 = tensor.extract_slice %1[0, 0] [4, 4] [1, 2] : tensor<4x8xf32> to tensor<4x4xf32>
  return %0, %2, %3 : tensor<4x8xf32>, tensor<2x8xf32>, tensor<4x4xf32>
}

// Elements of 16 bytes: no command fills with them.
// CHECK-LABEL: func.func @wide_fill
// CHECK: "flow.dispatch_region"
// CHECK: linalg.fill
// CHECK: tensor.insert_slice
func.func @wide_fill(%x: tensor<2xcomplex<f64>>) -> tensor<8xcomplex<f64>> {
  %one = complex.constant [1.0, 0.0] : complex<f64>
  %e = tensor.empty() : tensor<8xcomplex<f64>>
  %f = linalg.fill ins(%one : complex<f64>) outs(%e : tensor<8xcomplex<f64>>) -> tensor<8xcomplex<f64>>
  %0 = tensor.insert_slice %x into %f[2] [2] [1] : tensor<2xcomplex<f64>> into tensor<8xcomplex<f64>>
  return %0 : tensor<8xcomplex<f64>>
}

// What looks numbers up in a table stands behind a contraction in a dispatch of its own: kernels of vectors cannot.
// CHECK-LABEL: func.func @table
// CHECK: "flow.dispatch_region"
// CHECK: linalg.matmul
// CHECK: "flow.dispatch_region"
// CHECK: tensor.extract
func.func @table(%x: tensor<?x8xi32>, %y: tensor<8x16xi32>, %table: tensor<256xi32>, %n: index) -> tensor<?x16xi32> {
  %zero = arith.constant 0 : i32
  %e = tensor.empty(%n) : tensor<?x16xi32>
  %f = linalg.fill ins(%zero : i32) outs(%e : tensor<?x16xi32>) -> tensor<?x16xi32>
  %p = linalg.matmul ins(%x, %y : tensor<?x8xi32>, tensor<8x16xi32>) outs(%f : tensor<?x16xi32>) -> tensor<?x16xi32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%p : tensor<?x16xi32>) outs(%e : tensor<?x16xi32>) {
  ^bb0(%v: i32, %o: i32):
    %i = arith.index_cast %v : i32 to index
    %t = tensor.extract %table[%i] : tensor<256xi32>
    linalg.yield %t : i32
  } -> tensor<?x16xi32>
  return %r : tensor<?x16xi32>
}

// -----
// Two branches write their columns of the one result themselves; a target that its own dispatch reads stays whole.
// CHECK-LABEL: func.func @parts(
// CHECK: "flow.dispatch_region"() ({
// CHECK:   %[[A:.+]] = linalg.matmul
// CHECK:   %[[T:.+]] = tensor.insert_slice %[[A]] into %{{.+}}[0, 0] [4, 8] [1, 1]
// CHECK:   "flow.return"(%[[T]])
// CHECK: "flow.dispatch_region"() ({
// CHECK:   %[[B:.+]] = linalg.matmul
// CHECK:   %[[U:.+]] = tensor.insert_slice %[[B]] into %{{.+}}[0, 8] [4, 8] [1, 1]
// CHECK:   "flow.return"(%[[U]])
// CHECK: "flow.dispatch_region"() ({
// CHECK:   linalg.generic
// CHECK-NOT: insert_slice
// CHECK:   "flow.return"
// CHECK: "flow.dispatch_region"() ({
// CHECK-NEXT: tensor.insert_slice
func.func @parts(%a: tensor<4x8xf32>, %b: tensor<8x8xf32>, %c: tensor<8x8xf32>) -> tensor<4x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
  %w = tensor.empty() : tensor<4x16xf32>
  %m = linalg.matmul ins(%a, %b : tensor<4x8xf32>, tensor<8x8xf32>) outs(%f : tensor<4x8xf32>) -> tensor<4x8xf32>
  %n = linalg.matmul ins(%a, %c : tensor<4x8xf32>, tensor<8x8xf32>) outs(%f : tensor<4x8xf32>) -> tensor<4x8xf32>
  %t = tensor.insert_slice %m into %w[0, 0] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<4x16xf32>
  %u = tensor.insert_slice %n into %t[0, 8] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<4x16xf32>
  %s = tensor.extract_slice %u[0, 4] [4, 8] [1, 1] : tensor<4x16xf32> to tensor<4x8xf32>
  %x = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%s : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%p: f32, %o: f32):
    %q = math.exp %p : f32
    linalg.yield %q : f32
  } -> tensor<4x8xf32>
  %v = tensor.insert_slice %x into %u[0, 2] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<4x16xf32>
  return %v : tensor<4x16xf32>
}

// The second loop comes after the first, which reads %m: %n, which reads the second, cannot join %m's region.
// CHECK-LABEL: func.func @loops_keep_their_order
// CHECK: math.exp
// CHECK-NOT: arith.addf
// CHECK: scf.for
// CHECK: scf.for
// CHECK: "flow.dispatch_region"() ({
// CHECK: arith.addf
func.func @loops_keep_their_order(%a: tensor<8xf32>, %count: index) -> (tensor<8xf32>, tensor<8xf32>) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %e = tensor.empty() : tensor<8xf32>
  %m = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%a : tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%p: f32, %o: f32):
    %q = math.exp %p : f32
    linalg.yield %q : f32
  } -> tensor<8xf32>
  %first = scf.for %i = %zero to %count step %one iter_args(%x = %m) -> tensor<8xf32> {
    %y = func.call @outside(%x) : (tensor<8xf32>) -> tensor<8xf32>
    scf.yield %y : tensor<8xf32>
  }
  %second = scf.for %i = %zero to %count step %one iter_args(%x = %a) -> tensor<8xf32> {
    %y = func.call @outside(%x) : (tensor<8xf32>) -> tensor<8xf32>
    scf.yield %y : tensor<8xf32>
  }
  %n = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
                       iterator_types = ["parallel"]}
      ins(%m, %second : tensor<8xf32>, tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%p: f32, %r: f32, %o: f32):
    %q = arith.addf %p, %r : f32
    linalg.yield %q : f32
  } -> tensor<8xf32>
  return %first, %n : tensor<8xf32>, tensor<8xf32>
}
func.func private @outside(%x: tensor<8xf32>) -> tensor<8xf32>

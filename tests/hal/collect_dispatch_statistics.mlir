// What entry points compute and read is told on the functions that count their workgroups.
// RUN: mlirage opt --passes=hal-materialize-interfaces,hal-configure-executables,hal-collect-dispatch-statistics --target=x86_64:x86-64-v3 --split-input-file %s | filecheck %s

// A product of 4x8 and 8x16: 2 * 4 * 8 * 16 operations; 4 * (4 * 8 + 8 * 16 + 4 * 16) bytes.
// CHECK: func.func @product_workgroup_count() {{.*}}hal.statistics = "{\22nodes\22:[\22/fc\22],\22flops\22:1024,\22bytes\22:896,\22kind\22:\22contraction\22
module {
module @executable attributes {flow.executable, sym_visibility = "private"} {
  func.func @product(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>) -> tensor<4x16xf32> {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<4x16xf32>
    %i = linalg.fill ins(%zero : f32) outs(%e : tensor<4x16xf32>) -> tensor<4x16xf32> loc("/fc")
    %y = linalg.matmul ins(%a, %b : tensor<4x8xf32>, tensor<8x16xf32>) outs(%i : tensor<4x16xf32>) -> tensor<4x16xf32> loc("/fc"("model.mlir":3:4))
    return %y : tensor<4x16xf32>
  }
}
}

// -----

// Extents are constants of the dispatch: two operations and 4 * 2 + 4 bytes for each of c0 * c2 elements. A part of
// both nodes.
// CHECK: func.func @dynamic_workgroup_count({{.*}}hal.statistics = "{\22nodes\22:[\22first\22,\22second\22],\22flops\22:[{{\[}}2,0,2]],\22bytes\22:[{{\[}}8,0,2]]
module {
module @executable attributes {flow.executable, sym_visibility = "private"} {
  func.func @dynamic(%a: tensor<?x?xf32>, %m: index, %n: index, %rm: index, %rn: index) -> tensor<?x?xf32>
      attributes {flow.equal_dims = [[1, 3], [2, 4]]} {
    %e = tensor.empty(%m, %n) : tensor<?x?xf32>
    %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
        ins(%a : tensor<?x?xf32>) outs(%e : tensor<?x?xf32>) {
    ^bb0(%x: f32, %o: f32):
      %z = arith.negf %x : f32
      %w = math.exp %z : f32
      linalg.yield %w : f32
    } -> tensor<?x?xf32> loc(fused["first", "second"])
    return %y : tensor<?x?xf32>
  }
}
}

// -----

// Of a table only the rows that are looked up count: 5 indices of 8 bytes, 5 * 3 elements read and written.
// CHECK: func.func @lookup_workgroup_count() {{.*}}\22flops\22:0,\22bytes\22:160
module {
module @executable attributes {flow.executable, sym_visibility = "private"} {
  func.func @lookup(%table: tensor<1000x3xf32>, %rows: tensor<5xi64>) -> tensor<5x3xf32> {
    %e = tensor.empty() : tensor<5x3xf32>
    %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
        ins(%rows : tensor<5xi64>) outs(%e : tensor<5x3xf32>) {
    ^bb0(%r: i64, %o: f32):
      %row = arith.index_cast %r : i64 to index
      %column = linalg.index 1 : index
      %x = tensor.extract %table[%row, %column] : tensor<1000x3xf32>
      linalg.yield %x : f32
    } -> tensor<5x3xf32>
    return %y : tensor<5x3xf32>
  }
}
}

// -----

// Two heads, 3 rows, 5 keys, depth 4, 6 columns: for each of 30 scores 2 * (4 + 6), three of the softmax, and the scale.
// CHECK: func.func @attention_workgroup_count() {{.*}}\22flops\22:720,
module {
module @executable attributes {flow.executable, sym_visibility = "private"} {
  func.func @attention(%q: tensor<2x3x4xf32>, %k: tensor<2x5x4xf32>, %v: tensor<2x5x6xf32>) -> tensor<2x3x6xf32> {
    %half = arith.constant 0.5 : f32
    %e = tensor.empty() : tensor<2x3x6xf32>
    %y = "linalgx.attention"(%q, %k, %v, %e) ({
    ^bb0(%s: f32, %b: index, %r: index, %c: index, %n: index, %d: index):
      %t = arith.mulf %s, %half : f32
      "linalgx.yield"(%t) {operandSegmentSizes = array<i32: 1, 0, 0, 0>} : (f32) -> ()
    }) {indexing_maps = [affine_map<(b, r, c, n, d) -> (b, r, d)>, affine_map<(b, r, c, n, d) -> (b, n, d)>,
        affine_map<(b, r, c, n, d) -> (b, n, c)>, affine_map<(b, r, c, n, d) -> (b, r, c)>], masked_rows = "nan",
        operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1>}
        : (tensor<2x3x4xf32>, tensor<2x5x4xf32>, tensor<2x5x6xf32>, tensor<2x3x6xf32>) -> tensor<2x3x6xf32>
    return %y : tensor<2x3x6xf32>
  }
}
}

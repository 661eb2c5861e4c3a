// Each entry gets its strategy on the root op and a function that counts its workgroups from the scalar operands.
// RUN: mlirage opt --passes=hal-materialize-interfaces,hal-configure-executables --target=x86_64:x86-64-v3 --split-input-file %s | filecheck %s

// Too little to share.
// CHECK-LABEL: func.func @small(
// CHECK: hal.configuration = {kind = "loops", workgroup_tiles = array<i64: 0>}
// CHECK-LABEL: func.func @small_workgroup_count() -> (index, index, index)
// CHECK-NEXT: %[[ONE:.+]] = arith.constant 1 : index
// CHECK-NEXT: return %[[ONE]], %[[ONE]], %[[ONE]]
module {
module @executable attributes {flow.executable, sym_visibility = "private"} {
  func.func @small(%a: tensor<64xf32>) -> tensor<64xf32> {
    %e = tensor.empty() : tensor<64xf32>
    %y = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
        ins(%a : tensor<64xf32>) outs(%e : tensor<64xf32>) {
    ^bb0(%x: f32, %o: f32):
      %z = arith.negf %x : f32
      linalg.yield %z : f32
    } -> tensor<64xf32>
    return %y : tensor<64xf32>
  }
}
}

// -----

// Extents that must be equal are one value: both functions count with the first.
// CHECK-LABEL: func.func @dynamic(
// CHECK: hal.configuration = {kind = "loops", workgroup_tiles = array<i64: [[TILE:[0-9]+]]>}
// CHECK-LABEL: func.func @dynamic_workgroup_count(%arg0: index, %arg1: index) -> (index, index, index)
// CHECK: %[[T:.+]] = arith.constant [[TILE]] : index
// CHECK: %[[N:.+]] = arith.ceildivui %arg0, %[[T]]
// CHECK: return %[[N]], %{{.+}}, %{{.+}}
module {
module @executable attributes {flow.executable, sym_visibility = "private"} {
  func.func @dynamic(%a: tensor<?xf32>, %d: index, %r: index) -> tensor<?xf32> {
    %e = tensor.empty(%r) : tensor<?xf32>
    %y = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
        ins(%a : tensor<?xf32>) outs(%e : tensor<?xf32>) {
    ^bb0(%x: f32, %o: f32):
      %z = arith.negf %x : f32
      linalg.yield %z : f32
    } -> tensor<?xf32>
    return %y : tensor<?xf32>
  }
}
}

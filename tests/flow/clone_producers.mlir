// RUN: mlirage opt --passes=flow-form-dispatch-regions,flow-clone-producers %s | filecheck %s

#id = affine_map<(i, j) -> (i, j)>

// Fills and casts are computed where they are read; nothing of them is left outside.
// CHECK-LABEL: func.func @cast(
// CHECK-NEXT: %[[R:.+]] = "flow.dispatch_region"
// CHECK: arith.sitofp
// CHECK: linalg.fill
// CHECK: linalg.matmul
// CHECK: return %[[R]]
func.func @cast(%x: tensor<4x4xi8>, %y: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x4xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  %c = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4x4xi8>) outs(%e : tensor<4x4xf32>) {
  ^bb0(%a: i8, %o: f32):
    %f = arith.sitofp %a : i8 to f32
    linalg.yield %f : f32
  } -> tensor<4x4xf32>
  %p = linalg.matmul ins(%c, %y : tensor<4x4xf32>, tensor<4x4xf32>) outs(%z : tensor<4x4xf32>) -> tensor<4x4xf32>
  return %p : tensor<4x4xf32>
}

// Each convolution pads for itself.
// CHECK-LABEL: func.func @padding(
// CHECK: "flow.dispatch_region"
// CHECK: tensor.pad
// CHECK: linalg.conv_1d
// CHECK: flow.return
// CHECK: "flow.dispatch_region"
// CHECK: tensor.pad
// CHECK: linalg.conv_1d
// CHECK: flow.return
// CHECK-NOT: tensor.pad
func.func @padding(%x: tensor<8xf32>, %v: tensor<3xf32>, %w: tensor<3xf32>, %z: tensor<8xf32>) -> (tensor<8xf32>, tensor<8xf32>) {
  %zero = arith.constant 0.0 : f32
  %p = tensor.pad %x low[1] high[1] {
  ^bb0(%i: index):
    tensor.yield %zero : f32
  } : tensor<8xf32> to tensor<10xf32>
  %0 = linalg.conv_1d ins(%p, %v : tensor<10xf32>, tensor<3xf32>) outs(%z : tensor<8xf32>) -> tensor<8xf32>
  %1 = linalg.conv_1d ins(%p, %w : tensor<10xf32>, tensor<3xf32>) outs(%z : tensor<8xf32>) -> tensor<8xf32>
  return %0, %1 : tensor<8xf32>, tensor<8xf32>
}

// An init that nobody reads is no operand: the region does not depend on it.
// CHECK-LABEL: func.func @unread_init(
// CHECK: tensor.empty() : tensor<4x4xf32>
// CHECK: linalg.generic {{.*}} ins(%arg0 : tensor<4x4xf32>) outs(%{{[^a].*}} :
func.func @unread_init(%x: tensor<4x4xf32>, %init: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %0 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4x4xf32>) outs(%init : tensor<4x4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %f = math.exp %a : f32
    linalg.yield %f : f32
  } -> tensor<4x4xf32>
  return %0 : tensor<4x4xf32>
}

// The virtual machine has no logarithm: what reads one computes it.
// CHECK-LABEL: func.func @captured_function(
// CHECK-NOT: math.log
// CHECK: "flow.dispatch_region"
// CHECK: %[[LOG:.*]] = math.log
// CHECK: linalg.generic
// CHECK: arith.mulf %{{.*}}, %[[LOG]]
func.func @captured_function(%x: tensor<4xf16>) -> tensor<4xf16> {
  %two = arith.constant 2.0 : f16
  %log = math.log %two : f16
  %e = tensor.empty() : tensor<4xf16>
  %0 = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]} ins(%x : tensor<4xf16>) outs(%e : tensor<4xf16>) {
  ^bb0(%a: f16, %o: f16):
    %m = arith.mulf %a, %log : f16
    linalg.yield %m : f16
  } -> tensor<4xf16>
  return %0 : tensor<4xf16>
}

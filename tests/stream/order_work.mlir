// RUN: mlirage opt --passes=stream-order-work --split-input-file %s | filecheck %s

// Both dispatches come before both reads; what depends on a read comes after.

// CHECK-LABEL: func.func @reads
// CHECK: entry = @ex::@f
// CHECK: entry = @ex::@g
// CHECK-NEXT: "stream.async_load"
// CHECK-NEXT: "stream.async_load"
// CHECK: entry = @ex::@h
func.func @reads(%n: index) -> f32 {
  %c0 = arith.constant 0 : index
  %a = "stream.async_dispatch"(%n) {argument_count = 0 : i64, entry = @ex::@f, operandSegmentSizes = array<i32: 0, 0, 0, 0, 0, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (index) -> !stream.resource<"*">
  %v = "stream.async_load"(%a, %n, %c0) : (!stream.resource<"*">, index, index) -> index
  %b = "stream.async_dispatch"(%n) {argument_count = 0 : i64, entry = @ex::@g, operandSegmentSizes = array<i32: 0, 0, 0, 0, 0, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (index) -> !stream.resource<"*">
  %w = "stream.async_load"(%b, %n, %c0) : (!stream.resource<"*">, index, index) -> index
  %c = "stream.async_dispatch"(%w) {argument_count = 0 : i64, entry = @ex::@h, operandSegmentSizes = array<i32: 0, 0, 0, 0, 0, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (index) -> !stream.resource<"*">
  %r = "stream.async_load"(%c, %v, %c0) : (!stream.resource<"*">, index, index) -> f32
  return %r : f32
}

// -----

// Nothing moves over an assertion that waits for a read.

// CHECK-LABEL: func.func @guarded
// CHECK: entry = @ex::@f
// CHECK: "stream.async_load"
// CHECK: cf.assert
// CHECK: entry = @ex::@g
func.func @guarded(%n: index) {
  %c0 = arith.constant 0 : index
  %a = "stream.async_dispatch"(%n) {argument_count = 0 : i64, entry = @ex::@f, operandSegmentSizes = array<i32: 0, 0, 0, 0, 0, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (index) -> !stream.resource<"*">
  %v = "stream.async_load"(%a, %n, %c0) : (!stream.resource<"*">, index, index) -> i1
  cf.assert %v, "no"
  %b = "stream.async_dispatch"(%n) {argument_count = 0 : i64, entry = @ex::@g, operandSegmentSizes = array<i32: 0, 0, 0, 0, 0, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (index) -> !stream.resource<"*">
  return
}

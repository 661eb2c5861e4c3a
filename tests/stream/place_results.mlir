// RUN: mlirage opt --passes=stream-place-results --split-input-file %s | filecheck %s

// A concatenation: both operands are made in place, in the order in which they are made.

// CHECK-LABEL: func.func @concatenation
// CHECK: %[[T:.+]] = "stream.async_alloca"
// CHECK: %[[T1:.+]] = "stream.async_dispatch"(%[[T]], %{{.+}}, %[[OFF:c64.*]], %{{.+}}) {argument_count = 0 : i64, entry = @ex::@second{{.*}} tied = [0]}
// CHECK: %[[B:.+]] = "stream.resource_subview"(%[[T1]]
// CHECK: %[[T2:.+]] = "stream.async_fill"(%[[T1]], %{{.+}}, %c7_i8, %{{.+}}, %{{.+}})
// CHECK: "stream.resource_subview"(%[[T2]]
// CHECK: "stream.async_dispatch"(%[[B]], {{.*}}entry = @ex::@reader
// CHECK-NOT: stream.async_update
// CHECK: return %[[T2]]
func.func @concatenation() -> !stream.resource<"*"> {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c128 = arith.constant 128 : index
  %seven = arith.constant 7 : i8
  %b = "stream.async_dispatch"(%c64) {argument_count = 0 : i64, entry = @ex::@second, operandSegmentSizes = array<i32: 0, 0, 0, 0, 0, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (index) -> !stream.resource<"*">
  %a = "stream.async_splat"(%seven, %c64) : (i8, index) -> !stream.resource<"*">
  %t = "stream.async_alloca"(%c128) : (index) -> !stream.resource<"*">
  %t1 = "stream.async_update"(%t, %c128, %a, %c64, %c0) : (!stream.resource<"*">, index, !stream.resource<"*">, index, index) -> !stream.resource<"*">
  %t2 = "stream.async_update"(%t1, %c128, %b, %c64, %c64) : (!stream.resource<"*">, index, !stream.resource<"*">, index, index) -> !stream.resource<"*">
  %r = "stream.async_dispatch"(%b, %c64, %c0, %c64, %c64) {argument_count = 1 : i64, entry = @ex::@reader, operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (!stream.resource<"*">, index, index, index, index) -> !stream.resource<"*">
  return %t2 : !stream.resource<"*">
}

// -----

// A concatenation in a concatenation; an argument is copied straight to its place.

// CHECK-LABEL: func.func @nested
// CHECK-SAME: (%[[X:.+]]: !stream
// CHECK: %[[OUTER:.+]] = "stream.async_alloca"(%c256
// CHECK: %[[INNER:.+]] = "stream.resource_subview"(%[[OUTER]], %{{.+}}, %c64{{.*}}, %c128
// CHECK: %[[I1:.+]] = "stream.async_dispatch"(%[[INNER]]
// CHECK: "stream.async_update"(%[[I1]], %{{.+}}, %[[X]]
// CHECK-NOT: stream.async_update
// CHECK: return %[[OUTER]]
func.func @nested(%x: !stream.resource<"*">) -> !stream.resource<"*"> {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c128 = arith.constant 128 : index
  %c256 = arith.constant 256 : index
  %inner = "stream.async_alloca"(%c128) : (index) -> !stream.resource<"*">
  %a = "stream.async_dispatch"(%c64) {argument_count = 0 : i64, entry = @ex::@first, operandSegmentSizes = array<i32: 0, 0, 0, 0, 0, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (index) -> !stream.resource<"*">
  %i1 = "stream.async_update"(%inner, %c128, %a, %c64, %c0) : (!stream.resource<"*">, index, !stream.resource<"*">, index, index) -> !stream.resource<"*">
  %i2 = "stream.async_update"(%i1, %c128, %x, %c64, %c64) : (!stream.resource<"*">, index, !stream.resource<"*">, index, index) -> !stream.resource<"*">
  %outer = "stream.async_alloca"(%c256) : (index) -> !stream.resource<"*">
  %o1 = "stream.async_update"(%outer, %c256, %i2, %c128, %c64) : (!stream.resource<"*">, index, !stream.resource<"*">, index, index) -> !stream.resource<"*">
  return %o1 : !stream.resource<"*">
}

// -----

// The target is read in between: the copy stays. So it does where the part is changed afterwards.

// CHECK-LABEL: func.func @refused
// CHECK: "stream.async_update"
// CHECK: "stream.async_update"
func.func @refused() -> (!stream.resource<"*">, !stream.resource<"*">) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c128 = arith.constant 128 : index
  %seven = arith.constant 7 : i8
  %t = "stream.async_splat"(%seven, %c128) : (i8, index) -> !stream.resource<"*">
  %a = "stream.async_dispatch"(%c64) {argument_count = 0 : i64, entry = @ex::@first, operandSegmentSizes = array<i32: 0, 0, 0, 0, 0, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (index) -> !stream.resource<"*">
  %r = "stream.async_dispatch"(%t, %c128, %c0, %c128, %c64) {argument_count = 1 : i64, entry = @ex::@reader, operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (!stream.resource<"*">, index, index, index, index) -> !stream.resource<"*">
  %t1 = "stream.async_update"(%t, %c128, %a, %c64, %c0) : (!stream.resource<"*">, index, !stream.resource<"*">, index, index) -> !stream.resource<"*">
  %u = "stream.async_alloca"(%c128) : (index) -> !stream.resource<"*">
  %b = "stream.async_dispatch"(%c64) {argument_count = 0 : i64, entry = @ex::@first, operandSegmentSizes = array<i32: 0, 0, 0, 0, 0, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (index) -> !stream.resource<"*">
  %u1 = "stream.async_update"(%u, %c128, %b, %c64, %c0) : (!stream.resource<"*">, index, !stream.resource<"*">, index, index) -> !stream.resource<"*">
  %b1 = "stream.async_fill"(%b, %c64, %seven, %c0, %c64) : (!stream.resource<"*">, index, i8, index, index) -> !stream.resource<"*">
  return %t1, %u1 : !stream.resource<"*">, !stream.resource<"*">
}

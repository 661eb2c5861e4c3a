// RUN: mlirage opt --passes=stream-schedule-concurrency --split-input-file %s | filecheck %s

// Two branches run side by side; what overwrites waits for the last reader; disjoint ranges wait for nobody.

// CHECK-LABEL: func.func @waves
// CHECK: entry = @ex::@start{{.*}} wave = 0
// CHECK: entry = @ex::@left{{.*}} wave = 1
// CHECK: entry = @ex::@right{{.*}} wave = 2
// CHECK: "stream.async_fill"{{.*}}wave = 2
// CHECK: entry = @ex::@overwrite{{.*}} wave = 3
// CHECK: "stream.async_fill"{{.*}}wave = 3
// CHECK: "stream.async_fill"{{.*}}wave = 3
func.func @waves(%n: index) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c128 = arith.constant 128 : index
  %one = arith.constant 1 : i8
  %t = "stream.timepoint_immediate"() : () -> !stream.timepoint
  %e = "stream.async_execute"(%t) ({
    %a = "stream.async_dispatch"(%n) {argument_count = 0 : i64, entry = @ex::@start, operandSegmentSizes = array<i32: 0, 0, 0, 0, 0, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (index) -> !stream.resource<"*">
    %b = "stream.async_dispatch"(%a, %n, %c0, %n, %c128) {argument_count = 1 : i64, entry = @ex::@left, operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (!stream.resource<"*">, index, index, index, index) -> !stream.resource<"*">
    %c = "stream.async_dispatch"(%a, %n, %c0, %n, %n) {argument_count = 1 : i64, entry = @ex::@right, operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (!stream.resource<"*">, index, index, index, index) -> !stream.resource<"*">
    %d = "stream.async_dispatch"(%a, %n, %c0, %n, %n) {argument_count = 1 : i64, entry = @ex::@overwrite, operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [0]} : (!stream.resource<"*">, index, index, index, index) -> !stream.resource<"*">
    %b1 = "stream.async_fill"(%b, %c128, %one, %c0, %c64) : (!stream.resource<"*">, index, i8, index, index) -> !stream.resource<"*">
    %b2 = "stream.async_fill"(%b1, %c128, %one, %c0, %c64) : (!stream.resource<"*">, index, i8, index, index) -> !stream.resource<"*">
    %b3 = "stream.async_fill"(%b2, %c128, %one, %c64, %c64) : (!stream.resource<"*">, index, i8, index, index) -> !stream.resource<"*">
    "stream.yield"() {operandSegmentSizes = array<i32: 0>} : () -> ()
  }) {resultSegmentSizes = array<i32: 1, 0>} : (!stream.timepoint) -> !stream.timepoint
  return
}

// -----
// Bytes 0 to 32 and 32 to 64 of every 64: two parts of one tensor are written at the same time. A third dispatch writes
// what the second one does, and waits.
// CHECK-LABEL: func.func @parts
// CHECK: entry = @ex::@left{{.*}} wave = 0
// CHECK: entry = @ex::@right{{.*}} wave = 0
// CHECK: entry = @ex::@again{{.*}} wave = 1
func.func @parts(%n: index) {
  %c0 = arith.constant 0 : index
  %t = "stream.timepoint_immediate"() : () -> !stream.timepoint
  %e = "stream.async_execute"(%t) ({
    %a = "stream.async_dispatch"(%n) {argument_count = 0 : i64, entry = @ex::@left, operandSegmentSizes = array<i32: 0, 0, 0, 0, 0, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], stream.parts = [array<i64: 64, 0, 32>], tied = [-1]} : (index) -> !stream.resource<"*">
    %b = "stream.async_dispatch"(%a, %n, %c0, %n, %n) {argument_count = 1 : i64, entry = @ex::@right, operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], stream.parts = [array<i64: 64, 32, 64>], tied = [0]} : (!stream.resource<"*">, index, index, index, index) -> !stream.resource<"*">
    %c = "stream.async_dispatch"(%b, %n, %c0, %n, %n) {argument_count = 1 : i64, entry = @ex::@again, operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], stream.parts = [array<i64: 64, 48, 64>], tied = [0]} : (!stream.resource<"*">, index, index, index, index) -> !stream.resource<"*">
    "stream.yield"() {operandSegmentSizes = array<i32: 0>} : () -> ()
  }) {resultSegmentSizes = array<i32: 1, 0>} : (!stream.timepoint) -> !stream.timepoint
  return
}

// RUN: mlirage opt --passes=stream-schedule-execution --split-input-file %s | filecheck %s

// One region up to the read, one after it. The host waits to read and to return.

// CHECK-LABEL: func.func @read
// CHECK: %[[NOW:.+]] = "stream.timepoint_immediate"
// CHECK: %[[FIRST:.+]]:2 = "stream.async_execute"(%[[NOW]])
// CHECK: stream.async_splat
// CHECK: entry = @ex::@f
// CHECK: "stream.yield"
// CHECK: "stream.timepoint_await"(%[[FIRST]]#0)
// CHECK: %[[V:.+]] = "stream.async_load"(%[[FIRST]]#1
// CHECK: %[[SECOND:.+]]:2 = "stream.async_execute"
// CHECK: entry = @ex::@g
// CHECK: "stream.timepoint_await"(%[[SECOND]]#0)
// CHECK: return %[[SECOND]]#1
func.func @read(%n: index) -> !stream.resource<"*"> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : i8
  %s = "stream.async_splat"(%c1, %n) : (i8, index) -> !stream.resource<"*">
  %a = "stream.async_dispatch"(%s, %n, %c0, %n, %n) {argument_count = 1 : i64, entry = @ex::@f, operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (!stream.resource<"*">, index, index, index, index) -> !stream.resource<"*">
  %v = "stream.async_load"(%a, %n, %c0) : (!stream.resource<"*">, index, index) -> index
  %b = "stream.async_dispatch"(%v) {argument_count = 0 : i64, entry = @ex::@g, operandSegmentSizes = array<i32: 0, 0, 0, 0, 0, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (index) -> !stream.resource<"*">
  return %b : !stream.resource<"*">
}

// -----

// Loops and branches carry timepoints: nothing waits before the return.

// CHECK-LABEL: func.func @control_flow
// CHECK: %[[INIT:.+]]:2 = "stream.async_execute"
// CHECK: %[[LOOP:.+]]:2 = scf.for {{.+}} iter_args(%[[A:.+]] = %[[INIT]]#1, %[[T:.+]] = %[[INIT]]#0)
// CHECK: %[[BODY:.+]]:2 = "stream.async_execute"(%[[T]])
// CHECK: scf.yield %[[BODY]]#1, %[[BODY]]#0
// CHECK: %[[IF:.+]] = scf.if %{{.+}} -> (!stream.timepoint)
// CHECK: "stream.async_execute"(%[[LOOP]]#1)
// CHECK: variable_store
// CHECK: } else {
// CHECK: scf.yield %[[LOOP]]#1
// CHECK: "stream.timepoint_await"(%[[IF]])
// CHECK: return
func.func @control_flow(%n: index, %c: i1) -> !stream.resource<"*"> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %one = arith.constant 1 : i8
  %s = "stream.async_splat"(%one, %n) : (i8, index) -> !stream.resource<"*">
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%a = %s) -> !stream.resource<"*"> {
    %b = "stream.async_fill"(%a, %n, %one, %c0, %c1) : (!stream.resource<"*">, index, i8, index, index) -> !stream.resource<"*">
    scf.yield %b : !stream.resource<"*">
  }
  scf.if %c {
    "stream.variable_store"(%r, %n) {symbol = @s} : (!stream.resource<"*">, index) -> ()
  }
  return %r : !stream.resource<"*">
}

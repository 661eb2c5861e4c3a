// RUN: mlirage opt --passes=stream-schedule-execution,stream-schedule-concurrency,stream-schedule-allocation,stream-pack-resources,canonicalize,cse --split-input-file %s | filecheck %s

// %a lives in waves 0 and 1, %b in 1 and 2: side by side, 192 (112 aligned to 128, + 64) bytes. %c is made in the memory
// of the result, which is allocated for the caller.

// CHECK-LABEL: func.func private @chain
// CHECK: %[[RESULT:.+]] = "stream.resource_alloc"(%c64) : (index) -> !stream.resource<"external">
// CHECK: %[[ARENA:.+]]:2 = "stream.resource_alloca"(%{{.+}}, %c192)
// CHECK: %[[DONE:.+]] = "stream.cmd_execute"(%[[ARENA]]#1, %arg0, %[[RESULT]], %[[ARENA]]#0, %c64, %c64, %c192)
// CHECK-NEXT: ^bb0(%[[X:.+]]: !stream.resource<"*">, %[[OUT:.+]]: !stream.resource<"*">, %[[MEMORY:.+]]: !stream.resource<"*">):
// CHECK-NEXT: "stream.cmd_dispatch"(%[[X]], %[[MEMORY]], %c0, %c0, %c64, %c112) {access = ["r", "w"], entry = @ex::@f
// CHECK-NEXT: "stream.cmd_dispatch"(%[[MEMORY]], %[[MEMORY]], %c0, %c128, %c112, %c64) {access = ["r", "w"], entry = @ex::@g
// CHECK-NEXT: "stream.cmd_dispatch"(%[[MEMORY]], %[[OUT]], %c128, %c0, %c64, %c64) {access = ["r", "w"], entry = @ex::@h
// CHECK: access = ["r", "w", "rw"]
// CHECK: "stream.resource_dealloca"(%[[DONE]], %[[ARENA]]#0, %c192)
// CHECK: "stream.timepoint_await"(%[[DONE]])
// CHECK: return %[[RESULT]]
func.func private @chain(%x: !stream.resource<"*">) -> !stream.resource<"*"> {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c112 = arith.constant 112 : index
  %a = "stream.async_dispatch"(%x, %c64, %c0, %c64, %c112) {argument_count = 1 : i64, entry = @ex::@f, operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (!stream.resource<"*">, index, index, index, index) -> !stream.resource<"*">
  %b = "stream.async_dispatch"(%a, %c112, %c0, %c112, %c64) {argument_count = 1 : i64, entry = @ex::@g, operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (!stream.resource<"*">, index, index, index, index) -> !stream.resource<"*">
  %c = "stream.async_dispatch"(%b, %c64, %c0, %c64, %c64) {argument_count = 1 : i64, entry = @ex::@h, operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (!stream.resource<"*">, index, index, index, index) -> !stream.resource<"*">
  return %c : !stream.resource<"*">
}

// -----

// Independent work is concurrent; the arena holds a static part and, behind it, sizes known at run time.

// CHECK-LABEL: func.func private @side_by_side
// CHECK: %[[PADDED:.+]] = arith.addi %arg1, %c63
// CHECK: %[[SLOT:.+]] = arith.andi %[[PADDED]], %c-64
// CHECK: %[[TOTAL:.+]] = arith.addi %[[SLOT]], %c64
// CHECK: "stream.resource_alloca"(%{{.+}}, %[[TOTAL]])
// CHECK: "stream.cmd_concurrent"() ({
// CHECK-NEXT: "stream.cmd_fill"(%{{.+}}, %c64, %arg1, %c1_i8)
// CHECK-NEXT: "stream.cmd_fill"(%{{.+}}, %c0, %c64, %c1_i8)
// CHECK-NEXT: "stream.yield"
// CHECK: "stream.cmd_dispatch"(%{{.+}}, %{{.+}}, %{{.+}}, %c64, %c0, %c0, %arg1, %c64, %arg1)
func.func private @side_by_side(%x: !stream.resource<"*">, %n: index) -> !stream.resource<"*"> {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %one = arith.constant 1 : i8
  %a = "stream.async_splat"(%one, %n) : (i8, index) -> !stream.resource<"*">
  %b = "stream.async_splat"(%one, %c64) : (i8, index) -> !stream.resource<"*">
  %c = "stream.async_dispatch"(%a, %b, %n, %c64, %c0, %c0, %n, %c64, %n) {argument_count = 2 : i64, entry = @ex::@f, operandSegmentSizes = array<i32: 0, 2, 2, 2, 2, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (!stream.resource<"*">, !stream.resource<"*">, index, index, index, index, index, index, index) -> !stream.resource<"*">
  return %c : !stream.resource<"*">
}

// -----

// One arena for two regions with a read in between; it goes after the last use.

// CHECK-LABEL: func.func private @two_regions
// CHECK: %[[ARENA:.+]]:2 = "stream.resource_alloca"
// CHECK-NOT: stream.resource_alloca
// CHECK: %[[FIRST:.+]] = "stream.cmd_execute"(%[[ARENA]]#1
// CHECK: "stream.timepoint_await"(%[[FIRST]])
// CHECK: "stream.resource_load"(%[[ARENA]]#0
// CHECK: %[[SECOND:.+]] = "stream.cmd_execute"
// CHECK: "stream.resource_dealloca"(%[[SECOND]]
func.func private @two_regions() -> !stream.resource<"*"> {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %one = arith.constant 1 : i8
  %a = "stream.async_splat"(%one, %c64) : (i8, index) -> !stream.resource<"*">
  %v = "stream.async_load"(%a, %c64, %c0) : (!stream.resource<"*">, index, index) -> i8
  %b = "stream.async_fill"(%a, %c64, %v, %c0, %c64) : (!stream.resource<"*">, index, i8, index, index) -> !stream.resource<"*">
  %c = "stream.async_clone"(%b, %c64) : (!stream.resource<"*">, index) -> !stream.resource<"*">
  return %c : !stream.resource<"*">
}

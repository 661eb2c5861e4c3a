// RUN: mlirage opt --passes=hal-convert-to-hal,canonicalize,cse --split-input-file %s | filecheck %s

// Constant commands are recorded by the initializer and replayed: the call executes with its buffers in the slots.

// CHECK-DAG: "util.global"() {is_mutable = false, sym_name = "__device", type = !hal.device}
// CHECK-DAG: "util.global"() {is_mutable = false, sym_name = "__executable_ex", type = !hal.executable}
// CHECK-DAG: "util.global"() {is_mutable = false, sym_name = "__command_buffer_0", type = !hal.command_buffer}
// CHECK-LABEL: func.func @static
// CHECK: %[[DEVICE:.+]] = "util.global_load"() {symbol = @__device}
// CHECK: %[[X:.+]] = "hal.buffer_view_buffer"(%arg0)
// CHECK: %[[Y:.+]] = "hal.allocator_allocate"(%[[DEVICE]], %c64)
// CHECK: %[[READY:.+]] = "hal.fence_create"
// CHECK: %[[ARENA:.+]] = "hal.device_queue_alloca"(%[[DEVICE]], %{{.+}}, %[[READY]], %c128)
// CHECK: %[[COMMANDS:.+]] = "util.global_load"() {symbol = @__command_buffer_0}
// CHECK: %[[DONE:.+]] = "hal.fence_create"
// CHECK: "hal.device_queue_execute"(%[[DEVICE]], %[[READY]], %[[DONE]], %[[COMMANDS]], %[[X]], %[[Y]], %[[ARENA]], %c0, %c0, %c0, %c64, %c64, %c128)
// CHECK: "hal.device_queue_dealloca"(%[[DEVICE]], %[[DONE]], %{{.+}}, %[[ARENA]])
// CHECK: "hal.fence_await"(%[[DONE]])
// CHECK: "hal.buffer_view_create"(%[[Y]], %c0, %c64, %{{.+}}, %c16)

// Nothing is left of executables but their binaries.
// CHECK: module @ex attributes
// CHECK-NOT: workgroup_count

// CHECK-LABEL: func.func private @__init() attributes {mlirage.initializer}
// CHECK: %[[DEVICE:.+]] = "hal.device_get"
// CHECK: "util.global_store"(%[[DEVICE]]) {symbol = @__device}
// CHECK: %[[BEST:.+]] = "util.rodata"() {name = "format: best"}
// CHECK: "hal.device_supports"(%[[DEVICE]], %[[BEST]])
// CHECK: scf.if
// CHECK: "hal.executable_create"(%[[DEVICE]], %[[BEST]]
// CHECK: } else {
// CHECK: "util.rodata"() {name = "format: plain"}
// CHECK: scf.if
// CHECK: "hal.executable_create"
// CHECK: cf.assert %false, "the device supports none of the formats of @ex: best, plain"
// CHECK: %[[COMMANDS:.+]] = "hal.command_buffer_create"(%[[DEVICE]], %c0_i32, %c3_i32)
// CHECK: "hal.command_buffer_fill_buffer"(%[[COMMANDS]], %c2_i32, %c64, %c64, %c7_i64, %c2_i32)
// CHECK: "hal.command_buffer_copy_buffer"(%[[COMMANDS]], %c0_i32, %c0, %c2_i32, %c0, %c64)
// CHECK-NEXT: "hal.command_buffer_execution_barrier"(%[[COMMANDS]])
// The scalars 5 : i32 and 2.0 : f64 are one word and two, the workgroup count is 5 / 2 rounded up.
// CHECK: "hal.command_buffer_dispatch"(%[[COMMANDS]], %{{.+}}, %c1_i32, %c3, %c1, %c1, %c5_i32, %c0_i32, %c1073741824_i32, %c2_i32, %c1_i32, %c0, %c0, %c128, %c64)
// CHECK-NOT: execution_barrier
// CHECK: "hal.command_buffer_finalize"(%[[COMMANDS]])
// CHECK: "util.global_store"(%[[COMMANDS]]) {symbol = @__command_buffer_0}
func.func @static(%view: !hal.buffer_view) -> !hal.buffer_view {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c128 = arith.constant 128 : index
  %seven = arith.constant 7 : i16
  %s0 = arith.constant 5 : i64
  %s1 = arith.constant 0x4000000000000000 : i64
  %x = "stream.tensor_import"(%view, %c64) : (!hal.buffer_view, index) -> !stream.resource<"external">
  %now = "stream.timepoint_immediate"() : () -> !stream.timepoint
  %y = "stream.resource_alloc"(%c64) : (index) -> !stream.resource<"external">
  %arena, %ready = "stream.resource_alloca"(%now, %c128) : (!stream.timepoint, index) -> (!stream.resource<"transient">, !stream.timepoint)
  %t = "stream.cmd_execute"(%ready, %x, %y, %arena, %c64, %c64, %c128) ({
  ^bb0(%0: !stream.resource<"*">, %1: !stream.resource<"*">, %2: !stream.resource<"*">):
    "stream.cmd_concurrent"() ({
      "stream.cmd_fill"(%2, %c64, %c64, %seven) : (!stream.resource<"*">, index, index, i16) -> ()
      "stream.cmd_copy"(%0, %c0, %2, %c0, %c64) : (!stream.resource<"*">, index, !stream.resource<"*">, index, index) -> ()
      "stream.yield"() {operandSegmentSizes = array<i32: 0>} : () -> ()
    }) : () -> ()
    "stream.cmd_dispatch"(%s0, %s1, %2, %1, %c0, %c0, %c128, %c64) {access = ["r", "w"], entry = @ex::@f, operandSegmentSizes = array<i32: 2, 2, 2, 2>, scalar_types = [i32, f64]} : (i64, i64, !stream.resource<"*">, !stream.resource<"*">, index, index, index, index) -> ()
    "stream.yield"() {operandSegmentSizes = array<i32: 0>} : () -> ()
  }) {access = ["r", "w", "rw"], operandSegmentSizes = array<i32: 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3>} : (!stream.timepoint, !stream.resource<"external">, !stream.resource<"external">, !stream.resource<"transient">, index, index, index) -> !stream.timepoint
  "stream.resource_dealloca"(%t, %arena, %c128) : (!stream.timepoint, !stream.resource<"transient">, index) -> ()
  "stream.timepoint_await"(%t) : (!stream.timepoint) -> ()
  %result = "stream.tensor_export"(%y, %c64) {element_type = 83886112 : i32, encoding = tensor<16xf32>, operandSegmentSizes = array<i32: 1, 1, 0>} : (!stream.resource<"external">, index) -> !hal.buffer_view
  return %result : !hal.buffer_view
}
module @ex attributes {flow.executable, hal.executable.entries = ["e", "f"], hal.executable.variants = [{data = "a", format = "best"}, {data = "b", format = "plain"}]} {
  func.func @f_workgroup_count(%n: i32, %s: f64) -> (index, index, index) {
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %i = arith.index_cast %n : i32 to index
    %x = arith.ceildivui %i, %c2 : index
    return %x, %c1, %c1 : index, index, index
  }
}

// -----

// A length known at run time: recorded in the call, executed once.

// CHECK-LABEL: func.func private @dynamic
// CHECK: %[[COMMANDS:.+]] = "hal.command_buffer_create"(%{{.+}}, %c1_i32, %c1_i32)
// CHECK: "hal.command_buffer_fill_buffer"(%[[COMMANDS]], %c0_i32, %c0, %arg1, %c0_i64, %c1_i32)
// CHECK: "hal.command_buffer_finalize"(%[[COMMANDS]])
// CHECK: "hal.device_queue_execute"(%{{.+}}, %{{.+}}, %{{.+}}, %[[COMMANDS]], %arg0, %c0, %arg1)
// CHECK: "hal.fence_await"
// CHECK: %[[BITS:.+]] = "hal.buffer_load"(%arg0, %c0, %c2_i32)
// CHECK: %[[HALF:.+]] = arith.trunci %[[BITS]] : i64 to i16
// CHECK: arith.bitcast %[[HALF]] : i16 to f16
func.func private @dynamic(%x: !stream.resource<"external">, %n: index) -> f16 {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0 : i8
  %now = "stream.timepoint_immediate"() : () -> !stream.timepoint
  %t = "stream.cmd_execute"(%now, %x, %n) ({
  ^bb0(%0: !stream.resource<"*">):
    "stream.cmd_fill"(%0, %c0, %n, %zero) : (!stream.resource<"*">, index, index, i8) -> ()
    "stream.yield"() {operandSegmentSizes = array<i32: 0>} : () -> ()
  }) {access = ["w"], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1>} : (!stream.timepoint, !stream.resource<"external">, index) -> !stream.timepoint
  "stream.timepoint_await"(%t) : (!stream.timepoint) -> ()
  %v = "stream.resource_load"(%x, %n, %c0) : (!stream.resource<"external">, index, index) -> f16
  return %v : f16
}

// -----

// Fences of the caller: the last work signals the second itself, and nobody waits.

// CHECK-LABEL: func.func @fences
// CHECK: "hal.device_queue_submit"(%{{.+}}, %arg1, %arg2,
// CHECK-NOT: hal.fence_create
// CHECK-NOT: hal.device_queue_barrier
// CHECK: return
func.func @fences(%x: !stream.resource<"external">, %wait: !hal.fence, %signal: !hal.fence) {
  %c0 = arith.constant 0 : index
  %c4 = arith.constant 4 : index
  %zero = arith.constant 0 : i8
  %start = "stream.timepoint_import"(%wait) : (!hal.fence) -> !stream.timepoint
  %t = "stream.cmd_execute"(%start, %x, %c4) ({
  ^bb0(%0: !stream.resource<"*">):
    "stream.cmd_fill"(%0, %c0, %c4, %zero) : (!stream.resource<"*">, index, index, i8) -> ()
    "stream.yield"() {operandSegmentSizes = array<i32: 0>} : () -> ()
  }) {access = ["w"], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1>} : (!stream.timepoint, !stream.resource<"external">, index) -> !stream.timepoint
  "stream.timepoint_signal"(%t, %signal) : (!stream.timepoint, !hal.fence) -> ()
  return
}

// -----

// No work: the second fence is signalled when the first is.

// CHECK-LABEL: func.func @nothing
// CHECK: "hal.device_queue_barrier"(%{{.+}}, %arg0, %arg1)
func.func @nothing(%wait: !hal.fence, %signal: !hal.fence) {
  %start = "stream.timepoint_import"(%wait) : (!hal.fence) -> !stream.timepoint
  "stream.timepoint_signal"(%start, %signal) : (!stream.timepoint, !hal.fence) -> ()
  return
}

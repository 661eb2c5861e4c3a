// RUN: mlirage opt --passes=hal-convert-to-hal-inline,canonicalize,cse --execution-model=inline-dynamic --split-input-file %s | filecheck %s
// RUN: mlirage opt --passes=hal-convert-to-hal-inline,canonicalize,cse --execution-model=inline-static --split-input-file %s | filecheck %s --check-prefix=LINKED

// The commands are done in order where they were submitted; nothing of devices and fences is left.

// CHECK-LABEL: func.func @static
// CHECK: %[[X:.+]] = "hal_inline.buffer_view_buffer"(%arg0)
// CHECK: %[[Y:.+]] = "hal_inline.buffer_allocate"(%c64)
// CHECK: %[[ARENA:.+]] = "hal_inline.buffer_allocate"(%c128)
// CHECK: "util.buffer_fill"(%[[ARENA]], %c64, %c64, %c7_i16)
// CHECK: "util.buffer_copy"(%[[X]], %c0, %[[ARENA]], %c0, %c64)
// CHECK: %[[EXECUTABLE:.+]] = "util.global_load"() {symbol = @__executable_ex}
// The scalars 5 : i32 and 2.0 : f64 are one word and two, the workgroup count is 5 / 2 rounded up.
// CHECK: "hal_loader.executable_dispatch"(%[[EXECUTABLE]], %c1_i32, %c3, %c1, %c1, %c5_i32, %c0_i32, %c1073741824_i32, %[[ARENA]], %[[Y]], %c0, %c0, %c128, %c64)
// CHECK: "hal_inline.buffer_view_create"(%[[Y]], %c0, %c64, %{{.+}}, %c16)
// CHECK-NOT: stream.
// CHECK-NOT: workgroup_count
// CHECK-LABEL: func.func private @__init() attributes {mlirage.initializer}
// CHECK: %[[BEST:.+]] = "util.rodata"() {name = "format: best"}
// CHECK: "hal_loader.executable_query_support"(%[[BEST]])
// CHECK: "hal_loader.executable_load"(%[[BEST]]
// CHECK: "util.global_store"(%{{.+}}) {symbol = @__executable_ex}

// LINKED-LABEL: func.func @static
// LINKED: "hal_inline.dispatch"(%c1_i32, %c3, %c1, %c1, %c5_i32, %{{.+}}) {{.*}}symbol = "f"
// LINKED-NOT: hal_loader
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

// A loop carries a timepoint and a resource; the timepoint goes.

// CHECK-LABEL: func.func private @loop
// CHECK: scf.for %{{.+}} = %c0 to %arg1 step %c1 iter_args(%[[OLD:.+]] = %arg0) -> (!util.buffer) {
// CHECK: %[[NEW:.+]] = "hal_inline.buffer_allocate"(%c4)
// CHECK: "util.buffer_copy"(%[[OLD]], %c0, %[[NEW]], %c0, %c4)
// CHECK: scf.yield %[[NEW]] : !util.buffer
// CHECK: "util.buffer_load"(%{{.+}}, %c0) : (!util.buffer, index) -> f32
// CHECK-NOT: timepoint
func.func private @loop(%x: !stream.resource<"external">, %n: index) -> f32 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %now = "stream.timepoint_immediate"() : () -> !stream.timepoint
  %x0 = "stream.resource_cast"(%x) : (!stream.resource<"external">) -> !stream.resource<"transient">
  %last, %done = scf.for %i = %c0 to %n step %c1 iter_args(%old = %x0, %before = %now) -> (!stream.resource<"transient">, !stream.timepoint) {
    %new, %ready = "stream.resource_alloca"(%before, %c4) : (!stream.timepoint, index) -> (!stream.resource<"transient">, !stream.timepoint)
    %t = "stream.cmd_execute"(%ready, %old, %new, %c4, %c4) ({
    ^bb0(%0: !stream.resource<"*">, %1: !stream.resource<"*">):
      "stream.cmd_copy"(%0, %c0, %1, %c0, %c4) : (!stream.resource<"*">, index, !stream.resource<"*">, index, index) -> ()
      "stream.yield"() {operandSegmentSizes = array<i32: 0>} : () -> ()
    }) {access = ["r", "w"], operandSegmentSizes = array<i32: 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2>} : (!stream.timepoint, !stream.resource<"transient">, !stream.resource<"transient">, index, index) -> !stream.timepoint
    scf.yield %new, %t : !stream.resource<"transient">, !stream.timepoint
  }
  "stream.timepoint_await"(%done) : (!stream.timepoint) -> ()
  %v = "stream.resource_load"(%last, %c4, %c0) : (!stream.resource<"transient">, index, index) -> f32
  return %v : f32
}

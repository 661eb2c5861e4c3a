// RUN: mlirage opt --passes=stream-place-in-scratch,canonicalize,cse --outputs=caller --split-input-file %s | filecheck %s

// The arena lies in the last argument; the companion tells its size, here without arguments.

// CHECK-LABEL: func.func @static.scratch_size() -> i64
// CHECK: %[[SIZE:.+]] = arith.constant 128 : i64
// CHECK: return %[[SIZE]]
// CHECK-LABEL: func.func @static
// CHECK: %[[GIVEN:.+]] = "hal.buffer_view_dim"(%arg1, %{{.+}})
// CHECK: %[[FITS:.+]] = arith.cmpi uge, %[[GIVEN]], %c128
// CHECK: cf.assert %[[FITS]], "static: scratch has not the bytes that static.scratch_size tells"
// CHECK: %[[SCRATCH:.+]] = "stream.tensor_import"(%arg1, %c128)
// CHECK: %[[PART:.+]] = "stream.resource_subview"(%[[SCRATCH]], %c128, %c0, %c100)
// CHECK: %[[ARENA:.+]] = "stream.resource_cast"(%[[PART]])
// CHECK: "stream.cmd_execute"(%{{.+}}, %[[ARENA]], %c100)
// CHECK-NOT: resource_dealloca
func.func @static(%x: !hal.buffer_view, %scratch: !hal.buffer_view) {
  %c0 = arith.constant 0 : index
  %c100 = arith.constant 100 : index
  %zero = arith.constant 0 : i8
  %now = "stream.timepoint_immediate"() : () -> !stream.timepoint
  %arena, %ready = "stream.resource_alloca"(%now, %c100) : (!stream.timepoint, index) -> (!stream.resource<"transient">, !stream.timepoint)
  %t = "stream.cmd_execute"(%ready, %arena, %c100) ({
  ^bb0(%0: !stream.resource<"*">):
    "stream.cmd_fill"(%0, %c0, %c100, %zero) : (!stream.resource<"*">, index, index, i8) -> ()
    "stream.yield"() {operandSegmentSizes = array<i32: 0>} : () -> ()
  }) {access = ["w"], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1>} : (!stream.timepoint, !stream.resource<"transient">, index) -> !stream.timepoint
  "stream.resource_dealloca"(%t, %arena, %c100) : (!stream.timepoint, !stream.resource<"transient">, index) -> ()
  return
}

// -----

// A size made of extents: the companion takes the arguments. An arena in a loop has its place too.

// CHECK-LABEL: func.func @dynamic.scratch_size(%arg0: !hal.buffer_view) -> i64
// CHECK: %[[N:.+]] = "hal.buffer_view_dim"(%arg0, %{{.+}})
// CHECK: arith.muli %[[N]]
// CHECK-LABEL: func.func @dynamic
// CHECK: %[[SCRATCH:.+]] = "stream.tensor_import"(%arg1, %[[TOTAL:[0-9]+]])
// CHECK: scf.for
// CHECK: "stream.resource_subview"(%[[SCRATCH]], %[[TOTAL]], %{{.+}}, %c4)
// CHECK-NOT: resource_alloca
func.func @dynamic(%x: !hal.buffer_view, %scratch: !hal.buffer_view) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %i0 = arith.constant 0 : i32
  %zero = arith.constant 0 : i8
  %n = "hal.buffer_view_dim"(%x, %i0) : (!hal.buffer_view, i32) -> index
  %size = arith.muli %n, %c4 : index
  %now = "stream.timepoint_immediate"() : () -> !stream.timepoint
  %arena, %ready = "stream.resource_alloca"(%now, %size) : (!stream.timepoint, index) -> (!stream.resource<"transient">, !stream.timepoint)
  %t = "stream.cmd_execute"(%ready, %arena, %size) ({
  ^bb0(%0: !stream.resource<"*">):
    "stream.cmd_fill"(%0, %c0, %size, %zero) : (!stream.resource<"*">, index, index, i8) -> ()
    "stream.yield"() {operandSegmentSizes = array<i32: 0>} : () -> ()
  }) {access = ["w"], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1>} : (!stream.timepoint, !stream.resource<"transient">, index) -> !stream.timepoint
  "stream.resource_dealloca"(%t, %arena, %size) : (!stream.timepoint, !stream.resource<"transient">, index) -> ()
  %last = scf.for %i = %c0 to %n step %c1 iter_args(%before = %t) -> (!stream.timepoint) {
    %small, %small_ready = "stream.resource_alloca"(%before, %c4) : (!stream.timepoint, index) -> (!stream.resource<"transient">, !stream.timepoint)
    %u = "stream.cmd_execute"(%small_ready, %small, %c4) ({
    ^bb0(%0: !stream.resource<"*">):
      "stream.cmd_fill"(%0, %c0, %c4, %zero) : (!stream.resource<"*">, index, index, i8) -> ()
      "stream.yield"() {operandSegmentSizes = array<i32: 0>} : () -> ()
    }) {access = ["w"], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1>} : (!stream.timepoint, !stream.resource<"transient">, index) -> !stream.timepoint
    "stream.resource_dealloca"(%u, %small, %c4) : (!stream.timepoint, !stream.resource<"transient">, index) -> ()
    scf.yield %u : !stream.timepoint
  }
  "stream.timepoint_await"(%last) : (!stream.timepoint) -> ()
  return
}

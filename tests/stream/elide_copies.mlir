// RUN: mlirage opt --passes=stream-materialize-copy-on-write,stream-elide-copies --split-input-file %s | filecheck %s

// The target of an update is not read later: no copy. The second update of the same value needs one.

// CHECK-LABEL: func.func @updates
// CHECK: %[[SPLAT:.+]] = "stream.async_splat"
// CHECK-NEXT: %[[A:.+]] = "stream.async_fill"(%[[SPLAT]]
// CHECK-NEXT: %[[COPY:.+]] = "stream.async_clone"(%[[A]]
// CHECK: %[[B:.+]] = "stream.async_update"(%[[COPY]]
// CHECK: %[[C:.+]] = "stream.async_update"(%[[A]]
// CHECK: return %[[B]], %[[C]]
func.func @updates(%x: !stream.resource<"*">) -> (!stream.resource<"*">, !stream.resource<"*">) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c256 = arith.constant 256 : index
  %zero = arith.constant 0 : i8
  %one = arith.constant 1 : i8
  %a = "stream.async_splat"(%zero, %c256) : (i8, index) -> !stream.resource<"*">
  %a2 = "stream.async_fill"(%a, %c256, %one, %c0, %c64) : (!stream.resource<"*">, index, i8, index, index) -> !stream.resource<"*">
  %b = "stream.async_update"(%a2, %c256, %x, %c64, %c0) : (!stream.resource<"*">, index, !stream.resource<"*">, index, index) -> !stream.resource<"*">
  %c = "stream.async_update"(%a2, %c256, %x, %c64, %c64) : (!stream.resource<"*">, index, !stream.resource<"*">, index, index) -> !stream.resource<"*">
  %b2 = "stream.async_clone"(%b, %c256) : (!stream.resource<"*">, index) -> !stream.resource<"*">
  %c2 = "stream.async_clone"(%c, %c256) : (!stream.resource<"*">, index) -> !stream.resource<"*">
  return %b2, %c2 : !stream.resource<"*">, !stream.resource<"*">
}

// -----

// Arguments are not changed, and not given away; what is returned twice is copied once.

// CHECK-LABEL: func.func @arguments
// CHECK-SAME: (%[[X:.+]]: !stream.resource
// CHECK: %[[COPY:.+]] = "stream.async_clone"(%[[X]]
// CHECK: %[[B:.+]] = "stream.async_fill"(%[[COPY]]
// CHECK: %[[AGAIN:.+]] = "stream.async_clone"(%[[B]]
// CHECK: %[[SAME:.+]] = "stream.async_clone"(%[[X]]
// CHECK: return
func.func @arguments(%x: !stream.resource<"*">) -> (!stream.resource<"*">, !stream.resource<"*">, !stream.resource<"*">) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %one = arith.constant 1 : i8
  %b = "stream.async_fill"(%x, %c64, %one, %c0, %c64) : (!stream.resource<"*">, index, i8, index, index) -> !stream.resource<"*">
  %b1 = "stream.async_clone"(%b, %c64) : (!stream.resource<"*">, index) -> !stream.resource<"*">
  %b2 = "stream.async_clone"(%b, %c64) : (!stream.resource<"*">, index) -> !stream.resource<"*">
  %x2 = "stream.async_clone"(%x, %c64) : (!stream.resource<"*">, index) -> !stream.resource<"*">
  return %b1, %b2, %x2 : !stream.resource<"*">, !stream.resource<"*">, !stream.resource<"*">
}

// -----

// A slice is a part of its source, unless the source changes while the slice is still read.

// CHECK-LABEL: func.func @slices
// CHECK: %[[A:.+]] = "stream.async_splat"
// CHECK: %[[PART:.+]] = "stream.resource_subview"(%[[A]]
// CHECK: %[[COPY:.+]] = "stream.async_slice"(%[[A]]
// CHECK: "stream.async_dispatch"(%[[PART]]
// CHECK-NOT: stream.async_clone
// CHECK: "stream.async_fill"(%[[A]]
// CHECK: "stream.async_dispatch"(%[[COPY]]
func.func @slices() {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c256 = arith.constant 256 : index
  %one = arith.constant 1 : i8
  %a = "stream.async_splat"(%one, %c256) : (i8, index) -> !stream.resource<"*">
  %part = "stream.async_slice"(%a, %c256, %c0, %c64) : (!stream.resource<"*">, index, index, index) -> !stream.resource<"*">
  %late = "stream.async_slice"(%a, %c256, %c64, %c64) : (!stream.resource<"*">, index, index, index) -> !stream.resource<"*">
  %0 = "stream.async_dispatch"(%part, %c64, %c0, %c64, %c64) {argument_count = 1 : i64, entry = @ex::@e, operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (!stream.resource<"*">, index, index, index, index) -> !stream.resource<"*">
  %b = "stream.async_fill"(%a, %c256, %one, %c0, %c64) : (!stream.resource<"*">, index, i8, index, index) -> !stream.resource<"*">
  %1 = "stream.async_dispatch"(%late, %c64, %c0, %c64, %c64) {argument_count = 1 : i64, entry = @ex::@e, operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [-1]} : (!stream.resource<"*">, index, index, index, index) -> !stream.resource<"*">
  return
}

// -----

// What a loop carries is its own: it changes in place. A value from outside is copied in each iteration.

// CHECK-LABEL: func.func @loop
// CHECK: %[[A:.+]] = "stream.async_splat"
// CHECK-NOT: "stream.async_
// CHECK: scf.for {{.*}} iter_args(%[[CARRIED:.+]] = %[[A]])
// CHECK-NEXT: %[[NEW:.+]] = "stream.async_fill"(%[[CARRIED]]
// CHECK-NEXT: %[[COPY:.+]] = "stream.async_splat"
// CHECK-NEXT: %[[OTHER:.+]] = "stream.async_fill"(%[[COPY]]
// CHECK-NEXT: "stream.async_update"(%[[NEW]], %{{.+}}, %[[OTHER]]
// CHECK-NEXT: scf.yield
func.func @loop(%n: index) -> !stream.resource<"*"> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %one = arith.constant 1 : i8
  %two = arith.constant 2 : i8
  %a = "stream.async_splat"(%one, %c64) : (i8, index) -> !stream.resource<"*">
  %b = "stream.async_splat"(%two, %c64) : (i8, index) -> !stream.resource<"*">
  %init = "stream.async_clone"(%a, %c64) : (!stream.resource<"*">, index) -> !stream.resource<"*">
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%x = %init) -> !stream.resource<"*"> {
    %y = "stream.async_fill"(%x, %c64, %one, %c0, %c1) : (!stream.resource<"*">, index, i8, index, index) -> !stream.resource<"*">
    %z = "stream.async_fill"(%b, %c64, %one, %c0, %c1) : (!stream.resource<"*">, index, i8, index, index) -> !stream.resource<"*">
    %w = "stream.async_update"(%y, %c64, %z, %c64, %c0) : (!stream.resource<"*">, index, !stream.resource<"*">, index, index) -> !stream.resource<"*">
    %next = "stream.async_clone"(%w, %c64) : (!stream.resource<"*">, index) -> !stream.resource<"*">
    scf.yield %next : !stream.resource<"*">
  }
  %result = "stream.async_clone"(%r, %c64) : (!stream.resource<"*">, index) -> !stream.resource<"*">
  return %result : !stream.resource<"*">
}

// -----

// A variable is changed in place; its old contents, read later, are kept; what is returned is a copy.

// CHECK-LABEL: func.func @state
// CHECK: %[[S:.+]] = "util.global_load"
// CHECK: %[[OLD:.+]] = "stream.async_clone"(%[[S]]
// CHECK-NEXT: %[[NEW:.+]] = "stream.async_fill"(%[[S]]
// CHECK-NOT: stream.variable_store
// CHECK: %[[RESULT:.+]] = "stream.async_clone"(%[[NEW]]
// CHECK: return %[[OLD]], %[[RESULT]]
"util.global"() {is_mutable = false, size = 64 : i64, sym_name = "s", type = !stream.resource<"variable">} : () -> ()
func.func @state() -> (!stream.resource<"*">, !stream.resource<"*">) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %one = arith.constant 1 : i8
  %s = "util.global_load"() {symbol = @s} : () -> !stream.resource<"*">
  %new = "stream.async_fill"(%s, %c64, %one, %c0, %c64) : (!stream.resource<"*">, index, i8, index, index) -> !stream.resource<"*">
  "stream.variable_store"(%new, %c64) {symbol = @s} : (!stream.resource<"*">, index) -> ()
  %s2 = "stream.async_clone"(%s, %c64) : (!stream.resource<"*">, index) -> !stream.resource<"*">
  %new2 = "stream.async_clone"(%new, %c64) : (!stream.resource<"*">, index) -> !stream.resource<"*">
  return %s2, %new2 : !stream.resource<"*">, !stream.resource<"*">
}

// -----

// A snapshot that is read in a loop which stores to the variable is kept: the second iteration reads it too.

// CHECK-LABEL: func.func @snapshot_in_loop
// CHECK: %[[S:.+]] = "util.global_load"
// CHECK: %[[OLD:.+]] = "stream.async_clone"(%[[S]]
// CHECK: scf.for
// CHECK: "stream.async_load"(%[[OLD]]
// CHECK: "stream.variable_store"
"util.global"() {is_mutable = false, size = 64 : i64, sym_name = "s", type = !stream.resource<"variable">} : () -> ()
func.func @snapshot_in_loop(%x: !stream.resource<"*">, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %s = "util.global_load"() {symbol = @s} : () -> !stream.resource<"*">
  scf.for %i = %c0 to %n step %c1 {
    %v = "stream.async_load"(%s, %c64, %c0) : (!stream.resource<"*">, index, index) -> f32
    "stream.variable_store"(%x, %c64) {symbol = @s} : (!stream.resource<"*">, index) -> ()
  }
  return
}

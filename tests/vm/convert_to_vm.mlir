// RUN: mlirage opt --passes=vm-convert-to-vm,cse --split-input-file %s | filecheck %s

// Integers narrower than a register are masked after what may overflow, sign-extended before what is signed.
// CHECK-LABEL: func.func @narrow
// CHECK-SAME: (%[[A:.*]]: i8, %[[B:.*]]: i8)
// CHECK: %[[SUM:.*]] = "vm.add_i32"(%[[A]], %[[B]]) : (i8, i8) -> i8
// CHECK: %[[MASK:.*]] = "vm.const_32"() {value = 255 : i32} : () -> i8
// CHECK: "vm.and_i32"(%[[SUM]], %[[MASK]])
// CHECK: %[[X:.*]] = "vm.extend_s_i8_i32"(%[[A]])
// CHECK: %[[Y:.*]] = "vm.extend_s_i8_i32"(%[[B]])
// CHECK: "vm.lt_s_i32"(%[[Y]], %[[X]]) : (i8, i8) -> i1
func.func @narrow(%a: i8, %b: i8) -> (i8, i1) {
  %0 = arith.addi %a, %b : i8
  %1 = arith.cmpi sgt, %a, %b : i8
  return %0, %1 : i8, i1
}

// -----

// Control flow, functions and globals stay.
// CHECK: "util.global"
// CHECK-LABEL: func.func @control
// CHECK: "vm.global_load"() {symbol = @count} : () -> i64
// CHECK: cf.cond_br
// CHECK: call @control
// CHECK: "vm.assert"(%{{.*}}) {message = "too deep", status = 8 : i32} : (i1) -> ()
// CHECK-NOT: cf.assert
"util.global"() {sym_name = "count", type = i64, is_mutable = true} : () -> ()
func.func @control(%n: i64) -> i64 {
  %0 = "util.global_load"() {symbol = @count} : () -> i64
  %1 = arith.cmpi slt, %n, %0 : i64
  cf.cond_br %1, ^bb1, ^bb2(%n : i64)
^bb1:
  %2 = func.call @control(%0) : (i64) -> i64
  cf.br ^bb2(%2 : i64)
^bb2(%3: i64):
  cf.assert %1, "too deep"
  return %3 : i64
}

// -----

// A hal op is a call of the runtime; a list of operands is a group of the convention.
// CHECK-LABEL: func.func @hal
// CHECK-SAME: (%[[D:.*]]: !hal.device, %[[F:.*]]: !hal.fence
// CHECK: %[[NULL:.*]] = "vm.null_ref"() : () -> !hal.fence
// CHECK: %[[JOINED:.*]] = "vm.call_import"(%[[F]], %[[NULL]], %[[F]])
// CHECK-SAME: convention = "[r]_r", function = "hal.fence_join"
// CHECK-SAME: repetitions = array<i32: 3>
// CHECK: "vm.call_import"(%[[D]], %[[NULL]], %[[JOINED]], %{{.*}}, %[[B:.*]], %[[B]], %[[C:.*]], %[[C]], %[[C]], %[[C]])
// CHECK-SAME: convention = "rrrr[r][I][I]_", function = "hal.device_queue_execute"
// CHECK-SAME: repetitions = array<i32: 2, 2, 2>
// CHECK: "vm.rodata"() {name = "message"} : () -> !util.buffer
func.func @hal(%d: !hal.device, %f: !hal.fence, %c: !hal.command_buffer, %b: !hal.buffer, %n: index) -> !util.buffer {
  %null = "util.null"() : () -> !hal.fence
  %joined = "hal.fence_join"(%f, %null, %f) : (!hal.fence, !hal.fence, !hal.fence) -> !hal.fence
  "hal.device_queue_execute"(%d, %null, %joined, %c, %b, %b, %n, %n, %n, %n)
    {operandSegmentSizes = array<i32: 1, 1, 1, 1, 2, 2, 2>}
    : (!hal.device, !hal.fence, !hal.fence, !hal.command_buffer, !hal.buffer, !hal.buffer, index, index, index, index)
    -> ()
  %m = "util.rodata"() {name = "message"} : () -> !util.buffer
  return %m : !util.buffer
}

// -----

// Unordered comparisons are the opposites of ordered ones; f16 is computed in f32.
// CHECK-LABEL: func.func @floats
// CHECK: %[[A:.*]] = "vm.f16_f32"(%{{.*}}) : (f16) -> f32
// CHECK: %[[B:.*]] = "vm.f16_f32"
// CHECK: %[[P:.*]] = "vm.mul_f32"(%[[A]], %[[B]])
// CHECK: "vm.f32_f16"(%[[P]]) : (f32) -> f16
// CHECK: %[[LE:.*]] = "vm.le_f32"
// CHECK: %[[ONE:.*]] = "vm.const_32"() {value = 1 : i32} : () -> i1
// CHECK: "vm.xor_i32"(%[[LE]], %[[ONE]])
func.func @floats(%a: f16, %b: f16, %x: f32, %y: f32) -> (f16, i1) {
  %0 = arith.mulf %a, %b : f16
  %1 = arith.cmpf ugt, %x, %y : f32
  return %0, %1 : f16, i1
}

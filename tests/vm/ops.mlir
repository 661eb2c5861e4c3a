// RUN: mlirage opt --split-input-file %s | filecheck %s

// Ops of every form: registers, constants, globals, texts, imports.
// CHECK-LABEL: func.func @forms
// CHECK: "vm.const_64"() {value = 3 : i64} : () -> index
// CHECK: "vm.const_32"() {value = 1.500000e+00 : f32} : () -> f32
// CHECK: "vm.global_store_ref"(%{{.*}}) {symbol = @state} : (!hal.buffer) -> ()
// CHECK: "vm.import_resolved"() {function = "hal.later"} : () -> i32
// CHECK: "vm.assert"(%{{.*}}) {message = "text", status = 5 : i32} : (i1) -> ()
// CHECK: "vm.call_import"
func.func @forms(%c: i1, %r: !hal.buffer) -> f32 {
  %0 = "vm.const_64"() {value = 3 : i64} : () -> index
  %1 = "vm.const_32"() {value = 1.5 : f32} : () -> f32
  "vm.global_store_ref"(%r) {symbol = @state} : (!hal.buffer) -> ()
  %2 = "vm.import_resolved"() {function = "hal.later"} : () -> i32
  "vm.assert"(%c) {message = "text", status = 5 : i32} : (i1) -> ()
  "vm.call_import"(%0, %r) {function = "a.b", convention = "Ir_", repetitions = array<i32>,
    operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>, resultSegmentSizes = array<i32: 0, 0, 0, 0, 0, 0, 0, 0>}
    : (index, !hal.buffer) -> ()
  return %1 : f32
}

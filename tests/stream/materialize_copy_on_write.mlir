// RUN: mlirage opt --passes=stream-materialize-copy-on-write %s | filecheck %s

"util.global"() {is_mutable = false, size = 64 : i64, sym_name = "s", type = !stream.resource<"variable">} : () -> ()

// CHECK-LABEL: func.func @tied
// CHECK: %[[A:.+]] = "stream.async_clone"(%arg0, %c64)
// CHECK: "stream.async_fill"(%[[A]]
// CHECK: %[[B:.+]] = "stream.async_clone"(%arg1, %c64)
// CHECK: "stream.async_dispatch"(%arg0, %[[B]], {{.*}}tied = [1]
func.func @tied(%a: !stream.resource<"*">, %b: !stream.resource<"*">) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %one = arith.constant 1 : i8
  %0 = "stream.async_fill"(%a, %c64, %one, %c0, %c64) : (!stream.resource<"*">, index, i8, index, index) -> !stream.resource<"*">
  %1 = "stream.async_dispatch"(%a, %b, %c64, %c64, %c0, %c0, %c64, %c64, %c64) {argument_count = 2 : i64, entry = @ex::@f, operandSegmentSizes = array<i32: 0, 2, 2, 2, 2, 1>, resultSegmentSizes = array<i32: 1>, scalar_types = [], tied = [1]} : (!stream.resource<"*">, !stream.resource<"*">, index, index, index, index, index, index, index) -> !stream.resource<"*">
  return
}

// A snapshot is kept where it is read after a store, here one that a called function does.

// CHECK-LABEL: func.func @snapshot
// CHECK: %[[OLD:.+]] = "util.global_load"
// CHECK: %[[COPY:.+]] = "stream.async_clone"(%[[OLD]]
// CHECK: "stream.async_load"(%[[OLD]]
// CHECK: call @store
// CHECK: "stream.async_load"(%[[COPY]]
func.func @snapshot(%x: !stream.resource<"*">) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %old = "util.global_load"() {symbol = @s} : () -> !stream.resource<"*">
  %0 = "stream.async_load"(%old, %c64, %c0) : (!stream.resource<"*">, index, index) -> f32
  func.call @store(%x) : (!stream.resource<"*">) -> ()
  %1 = "stream.async_load"(%old, %c64, %c0) : (!stream.resource<"*">, index, index) -> f32
  return
}

func.func private @store(%x: !stream.resource<"*">) {
  %c64 = arith.constant 64 : index
  "stream.variable_store"(%x, %c64) {symbol = @s} : (!stream.resource<"*">, index) -> ()
  return
}

// RUN: not mlirage opt --passes=stream-verify %s 2>&1 | filecheck %s

// CHECK: the stream phase left what has no schedule:
// CHECK-NEXT: stream.async_load: not an op of scheduled programs
// CHECK-NEXT: util.global_load: a resource of unknown lifetime
// CHECK-NEXT: arith.select: a tensor on the host
// CHECK-NOT: stream.resource_load
func.func @main(%a: !stream.resource<"external">, %t: tensor<4xf32>, %c: i1, %n: index) {
  %0 = "stream.async_load"(%a, %n, %n) : (!stream.resource<"external">, index, index) -> f32
  %1 = "util.global_load"() {symbol = @g} : () -> !stream.resource<"*">
  %2 = arith.select %c, %t, %t : tensor<4xf32>
  %3 = "stream.resource_load"(%a, %n, %n) : (!stream.resource<"external">, index, index) -> f32
  return
}

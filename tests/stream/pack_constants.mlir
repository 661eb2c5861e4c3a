// RUN: mlirage opt --passes=stream-convert-to-stream,cse,stream-pack-constants %s | filecheck %s

// 12 bytes at 0, then 8 at 64: 128 bytes of slab. The initializer gives it to the device first.

// CHECK: "util.global"() {is_mutable = false, sym_name = "__constants", type = !stream.resource<"constant">}
// CHECK: func.func private @__init()
// CHECK: %[[SLAB:.+]] = "stream.resource_constant"(%c128) {name = "__constants"}
// CHECK: "util.global_store"(%[[SLAB]]) {symbol = @__constants}
// CHECK: %[[A:.+]] = "util.global_load"() {symbol = @__constants}
// CHECK: "stream.resource_subview"(%[[A]], %{{.+}}, %c0, %c12)
// CHECK: "stream.resource_subview"(%{{.+}}, %{{.+}}, %c64{{.*}}, %c8)
// CHECK-NOT: stream.async_constant
ml_program.global private mutable @a(dense<[1.0, 2.0, 3.0]> : tensor<3xf32>) : tensor<3xf32>
ml_program.global private mutable @b(dense<[1, 2]> : tensor<2xi32>) : tensor<2xi32>

// RUN: not mlirage opt --passes=hal-verify %s 2>&1 | filecheck %s

// CHECK: the hal phase left what the host cannot run:
// CHECK-NEXT: stream.timepoint_immediate: not an op of host programs
// CHECK-NEXT: arith.select: values of type complex<f32> do not exist on the host
// CHECK-NOT: hal.fence_await
func.func @main(%a: !hal.fence, %t: complex<f32>, %c: i1) {
  %0 = "stream.timepoint_immediate"() : () -> !stream.timepoint
  %1 = arith.select %c, %t, %t : complex<f32>
  "hal.fence_await"(%a) : (!hal.fence) -> ()
  return
}

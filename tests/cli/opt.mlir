// RUN: mlirage opt --passes=cse %s | filecheck %s
// RUN: not mlirage opt --passes=no-such-pass %s 2>&1 | filecheck %s --check-prefix=UNKNOWN

// UNKNOWN: no pass is called 'no-such-pass'

// CHECK-LABEL: func.func @twice
// CHECK: arith.addf
// CHECK-NOT: arith.addf
func.func @twice(%x: f32) -> (f32, f32) {
  %0 = arith.addf %x, %x : f32
  %1 = arith.addf %x, %x : f32
  return %0, %1 : f32, f32
}

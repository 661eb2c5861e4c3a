// RUN: not mlirage opt %s 2>&1 | filecheck %s

// CHECK: 'vm.add_i32' takes i32 where i64 is given
func.func @kinds(%a: i32, %b: i64) {
  %0 = "vm.add_i32"(%a, %b) : (i32, i64) -> i32
  return
}

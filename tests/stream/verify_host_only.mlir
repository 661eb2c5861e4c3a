// RUN: mlirage opt --passes=stream-verify-host-only %s | filecheck %s

// CHECK-LABEL: func.func @collatz
func.func @collatz(%n: i64) -> i64 {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c2 = arith.constant 2 : i64
  %c3 = arith.constant 3 : i64
  %r:2 = scf.while (%x = %n, %steps = %c0) : (i64, i64) -> (i64, i64) {
    %go = arith.cmpi ne, %x, %c1 : i64
    scf.condition(%go) %x, %steps : i64, i64
  } do {
  ^bb0(%x: i64, %steps: i64):
    %half = arith.divui %x, %c2 : i64
    %rest = arith.remui %x, %c2 : i64
    %odd = arith.cmpi eq, %rest, %c1 : i64
    %triple = arith.muli %x, %c3 : i64
    %next = arith.addi %triple, %c1 : i64
    %y = arith.select %odd, %next, %half : i64
    %more = arith.addi %steps, %c1 : i64
    scf.yield %y, %more : i64, i64
  }
  return %r#1 : i64
}

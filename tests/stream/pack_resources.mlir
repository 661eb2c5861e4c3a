// RUN: mlirage opt --passes=stream-pack-resources,canonicalize,cse --split-input-file %s | filecheck %s

// Multiples of n: 1024 n and 512 n live together, the other 1024 n comes after the first: 1536 n in all.

// CHECK-LABEL: func.func @multiples
// CHECK: %[[OFFSET:.+]] = arith.muli %arg0, %c1024
// CHECK: %[[B:.+]] = arith.addi %[[OFFSET]], %c128
// CHECK: %[[ALL:.+]] = arith.muli %arg0, %c1536
// CHECK: %[[TOTAL:.+]] = arith.addi %[[ALL]], %c128
// CHECK: return %[[TOTAL]], %c128, %[[B]], %c128
func.func @multiples(%n: index) -> (index, index, index, index) {
  %base = arith.constant 128 : index
  %c1024 = arith.constant 1024 : index
  %c512 = arith.constant 512 : index
  %a = arith.muli %n, %c1024 : index
  %b = arith.muli %n, %c512 : index
  %r:4 = "stream.resource_pack"(%base, %a, %b, %a) {intervals = [0, 1, 1, 2, 2, 3], operandSegmentSizes = array<i32: 1, 3>, resultSegmentSizes = array<i32: 1, 3>} : (index, index, index, index) -> (index, index, index, index)
  return %r#0, %r#1, %r#2, %r#3 : index, index, index, index
}

// -----

// Unrelated sizes share a slot as large as the larger when they are never live together.

// CHECK-LABEL: func.func @slots
// CHECK: %[[LARGER:.+]] = arith.maxui %arg0, %arg1
// CHECK: %[[PADDED:.+]] = arith.addi %[[LARGER]], %c63
// CHECK: %[[SLOT:.+]] = arith.andi %[[PADDED]], %c-64
// CHECK: return %[[SLOT]], %c0, %c0
func.func @slots(%n: index, %m: index) -> (index, index, index) {
  %c0 = arith.constant 0 : index
  %r:3 = "stream.resource_pack"(%c0, %n, %m) {intervals = [0, 1, 2, 3], operandSegmentSizes = array<i32: 1, 2>, resultSegmentSizes = array<i32: 1, 2>} : (index, index, index) -> (index, index, index)
  return %r#0, %r#1, %r#2 : index, index, index
}

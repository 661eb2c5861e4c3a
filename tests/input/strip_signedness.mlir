// RUN: mlirage opt --passes=input-strip-signedness %s | filecheck %s

// CHECK-LABEL: func.func @loop(%arg0: tensor<2xi32>, %arg1: i1) -> tensor<2xi32>
// CHECK-NOT: ui32
// CHECK-NOT: unrealized_conversion_cast
// CHECK: scf.while (%{{.*}} = %arg0) : (tensor<2xi32>) -> tensor<2xi32>
// CHECK: arith.addi
func.func @loop(%x: tensor<2xui32>, %p: i1) -> tensor<2xui32> {
  %0 = scf.while (%a = %x) : (tensor<2xui32>) -> tensor<2xui32> {
    scf.condition(%p) %a : tensor<2xui32>
  } do {
  ^bb0(%b: tensor<2xui32>):
    %c = builtin.unrealized_conversion_cast %b : tensor<2xui32> to tensor<2xi32>
    %d = arith.addi %c, %c : tensor<2xi32>
    %e = builtin.unrealized_conversion_cast %d : tensor<2xi32> to tensor<2xui32>
    scf.yield %e : tensor<2xui32>
  }
  return %0 : tensor<2xui32>
}

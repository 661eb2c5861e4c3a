// RUN: mlirage opt --passes=input-convert-parallel-loops %s | filecheck %s

// A loop per number; what is inserted goes on from one turn to the next.
// CHECK-LABEL: func.func @rows
// CHECK: scf.for %[[I:.*]] = %{{.*}} to %arg2 step %{{.*}} iter_args(%[[A:.*]] = %arg1)
// CHECK-NEXT: scf.for %[[J:.*]] = %{{.*}} to %{{.*}} step %{{.*}} iter_args(%[[B:.*]] = %[[A]])
// CHECK: %[[S:.*]] = tensor.extract_slice %arg0[%[[I]], %[[J]]]
// CHECK: %[[T:.*]] = tensor.insert_slice %[[S]] into %[[B]][%[[I]], %[[J]]] [1, 2] [1, 1]
// CHECK: scf.yield %[[T]]
// CHECK-NOT: scf.forall
func.func @rows(%a: tensor<3x4xf32>, %o: tensor<3x4xf32>, %n: index) -> tensor<3x4xf32> {
  %r = scf.forall (%i, %j) = (0, 0) to (%n, 4) step (1, 2) shared_outs(%t = %o) -> (tensor<3x4xf32>) {
    %s = tensor.extract_slice %a[%i, %j] [1, 2] [1, 1] : tensor<3x4xf32> to tensor<1x2xf32>
    scf.forall.in_parallel {
      tensor.parallel_insert_slice %s into %t[%i, %j] [1, 2] [1, 1] : tensor<1x2xf32> into tensor<3x4xf32>
    }
  }
  return %r : tensor<3x4xf32>
}

// CHECK-LABEL: func.func @total
// CHECK: %[[R:.*]] = scf.for %[[I:.*]] = %arg1 to %arg2 step %arg3 iter_args(%[[T:.*]] = %arg4)
// CHECK: %[[E:.*]] = tensor.extract %arg0[%[[I]]]
// CHECK: %[[S:.*]] = arith.addf %[[T]], %[[E]]
// CHECK: scf.yield %[[S]]
// CHECK: return %[[R]]
func.func @total(%a: tensor<?xf32>, %l: index, %h: index, %s: index, %z: f32) -> f32 {
  %r = scf.parallel (%i) = (%l) to (%h) step (%s) init (%z) -> f32 {
    %e = tensor.extract %a[%i] : tensor<?xf32>
    scf.reduce(%e : f32) {
    ^bb0(%p: f32, %q: f32):
      %t = arith.addf %p, %q : f32
      scf.reduce.return %t : f32
    }
  }
  return %r : f32
}

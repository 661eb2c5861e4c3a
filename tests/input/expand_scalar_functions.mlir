// RUN: mlirage opt --passes=input-expand-scalar-functions %s | filecheck %s

// CHECK-LABEL: func.func @all
// CHECK: math.sin %arg0
// CHECK: math.cos %arg0
// CHECK: %[[M:.*]] = arith.maximumf %arg0, %arg1
// CHECK: arith.minimumf %[[M]], %arg2
// CHECK: %[[F:.*]] = math.isfinite %arg0
// CHECK: %[[O:.*]] = arith.cmpf ord, %arg0, %arg0
// CHECK: arith.cmpi ult, %[[F]], %[[O]] : tensor<?xi1>
func.func @all(%x: tensor<?xf32>, %l: tensor<?xf32>, %h: tensor<?xf32>)
    -> (tensor<?xf32>, tensor<?xf32>, tensor<?xf32>, tensor<?xi1>) {
  %s, %c = math.sincos %x : tensor<?xf32>
  %m = math.clampf %x to [%l, %h] : tensor<?xf32>
  %i = math.isinf %x : tensor<?xf32>
  return %s, %c, %m, %i : tensor<?xf32>, tensor<?xf32>, tensor<?xf32>, tensor<?xi1>
}

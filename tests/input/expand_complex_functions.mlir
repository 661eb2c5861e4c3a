// RUN: mlirage opt --passes=input-expand-complex-functions %s | filecheck %s

// |z| of f32 parts is computed in f64, and is infinite where a part is.
// CHECK-LABEL: func.func @abs
func.func @abs(%z: complex<f32>) -> f32 {
  // CHECK: %[[A:.*]] = complex.re %arg0
  // CHECK: arith.extf %[[A]] : f32 to f64
  // CHECK: math.sqrt {{.*}} : f64
  // CHECK: arith.truncf {{.*}} : f64 to f32
  // CHECK-NOT: complex.abs
  %r = complex.abs %z : complex<f32>
  return %r : f32
}

// Arithmetic stays.
// CHECK-LABEL: func.func @product
func.func @product(%z: complex<f64>) -> complex<f64> {
  // CHECK: complex.mul
  %r = complex.mul %z, %z : complex<f64>
  return %r : complex<f64>
}

// CHECK-LABEL: func.func @exp
func.func @exp(%z: complex<f64>) -> complex<f64> {
  // CHECK-NOT: complex.exp
  // CHECK: math.cos
  // CHECK: complex.create
  %r = complex.exp %z : complex<f64>
  return %r : complex<f64>
}

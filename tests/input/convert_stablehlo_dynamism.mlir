// RUN: mlirage opt --passes=input-convert-stablehlo-dynamism,cse,canonicalize --split-input-file %s | filecheck %s

// The extent of %x is asked for only where the type leaves open whether it is 1.
// CHECK-LABEL: func.func @broadcast
// CHECK: %[[EQUAL:.*]] = arith.cmpi eq
// CHECK: scf.if %[[EQUAL]]
// CHECK:   linalg.generic
// CHECK: else
// CHECK:   arith.select
// CHECK:   tensor.extract %arg0
func.func @broadcast(%x: tensor<?xf32>, %shape: tensor<2xi32>) -> tensor<?x5xf32> {
  %0 = stablehlo.dynamic_broadcast_in_dim %x, %shape, dims = [0] : (tensor<?xf32>, tensor<2xi32>) -> tensor<?x5xf32>
  return %0 : tensor<?x5xf32>
}

// -----

// CHECK-LABEL: func.func @same_extent
// CHECK-NOT: scf.if
// CHECK: linalg.generic
func.func @same_extent(%x: tensor<?xf32>) -> tensor<?x5xf32> {
  %c0 = arith.constant 0 : index
  %c5 = arith.constant 5 : index
  %n = tensor.dim %x, %c0 : tensor<?xf32>
  %shape = tensor.from_elements %n, %c5 : tensor<2xindex>
  %0 = stablehlo.dynamic_broadcast_in_dim %x, %shape, dims = [0] : (tensor<?xf32>, tensor<2xindex>) -> tensor<?x5xf32>
  return %0 : tensor<?x5xf32>
}

// -----

// CHECK-LABEL: func.func @flatten
// CHECK: tensor.collapse_shape %arg0 {{\[\[}}0, 1]]
func.func @flatten(%x: tensor<?x8xf32>, %shape: tensor<1xi64>) -> tensor<?xf32> {
  %0 = stablehlo.dynamic_reshape %x, %shape : (tensor<?x8xf32>, tensor<1xi64>) -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

// -----

// Start indices are clamped so that the whole slice lies inside.
// CHECK-LABEL: func.func @gather
// CHECK: linalg.generic
// CHECK: arith.minsi
// CHECK: arith.maxsi
// CHECK: tensor.extract %arg0
func.func @gather(%x: tensor<?x8xf32>, %i: tensor<3x1xi32>, %sizes: tensor<2xi32>) -> tensor<3x8xf32> {
  %0 = "stablehlo.dynamic_gather"(%x, %i, %sizes) <{
    dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0],
      index_vector_dim = 1>}> : (tensor<?x8xf32>, tensor<3x1xi32>, tensor<2xi32>) -> tensor<3x8xf32>
  return %0 : tensor<3x8xf32>
}

// RUN: mlirage opt --passes=input-externalize-constants,global-optimization-pack-weights --target=x86_64-unknown-linux-gnu:x86-64-v4:+avx512vnni %s | filecheck %s

// Groups of four steps of depth lie side by side. The instruction takes unsigned bytes on the left: the sign bit is
// turned over, and 128 times the sums of the columns are taken off.
// CHECK: affine_map<(d0, d1, d2) -> (d1 floordiv 16, d2 floordiv 4, (d1 mod 16) * 4 + d2 mod 4)>
// CHECK: ml_program.global private @const.panels16x4(#extern{{.*}}) : tensor<1x2x64xi8>
// CHECK-LABEL: func.func @bytes(
// CHECK: %[[I:.+]] = linalg.generic {{.+}} ins(%arg0, %{{.+}} : tensor<2x5xi8>, tensor<1x2x64xi8>)
// CHECK: arith.xori
// CHECK: arith.extui
// CHECK: arith.extsi
// CHECK: linalg.generic {{.+}} ins(%[[I]], %{{.+}} : tensor<2x6xi32>, tensor<6xi32>)
// CHECK: arith.subi
func.func @bytes(%x: tensor<2x5xi8>, %init: tensor<2x6xi32>) -> tensor<2x6xi32> {
  %w = arith.constant dense<[[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 0],
                             [1, 1, 1, 1, 1, 9]]> : tensor<5x6xi8>
  %r = linalg.matmul ins(%x, %w : tensor<2x5xi8>, tensor<5x6xi8>) outs(%init : tensor<2x6xi32>) -> tensor<2x6xi32>
  return %r : tensor<2x6xi32>
}

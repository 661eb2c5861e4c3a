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

// Three taps in a row are a group of four: one of zeros, which the image has a column more for.
// CHECK-LABEL: func.func @taps(
// CHECK: %[[P:.+]] = tensor.pad %arg0 low[0, 0, 0, 0] high[0, 0, 0, 1]
// CHECK: linalg.generic {{.+}}"reduction", "reduction", "reduction", "reduction"]} ins(%[[P]], %{{.+}} : tensor<1x1x9x10xi8>, tensor<1x1x2x1x16x4xi8>)
func.func @taps(%x: tensor<1x1x9x9xi8>, %init: tensor<1x4x4x5xi32>) -> tensor<1x4x4x5xi32> {
  %w = arith.constant dense<[[[[0, 1, 2], [3, 4, 5]]], [[[6, 7, 8], [9, 10, 11]]], [[[12, 13, 14], [15, 16, 17]]], [[[18, 19, 20], [21, 22, 23]]], [[[24, 25, 26], [27, 28, 29]]]]> : tensor<5x1x2x3xi8>
  %r = linalg.generic {indexing_maps = [
      affine_map<(n, f, h, w, c, k, l) -> (n, c, h * 2 + k, w * 2 + l)>,
      affine_map<(n, f, h, w, c, k, l) -> (f, c, k, l)>, affine_map<(n, f, h, w, c, k, l) -> (n, h, w, f)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<1x1x9x9xi8>, tensor<5x1x2x3xi8>) outs(%init : tensor<1x4x4x5xi32>) {
  ^bb0(%a: i8, %b: i8, %t: i32):
    %1 = arith.extui %a : i8 to i32
    %2 = arith.extsi %b : i8 to i32
    %3 = arith.muli %1, %2 : i32
    %4 = arith.addi %t, %3 : i32
    linalg.yield %4 : i32
  } -> tensor<1x4x4x5xi32>
  return %r : tensor<1x4x4x5xi32>
}

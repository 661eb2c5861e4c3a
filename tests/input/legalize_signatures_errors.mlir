// RUN: not mlirage opt --passes=input-legalize-signatures %s 2>&1 | filecheck %s
// CHECK: function @unranked: argument 1 has type tensor<*xf32>, which a caller cannot pass
func.func @unranked(%n: i32, %x: tensor<*xf32>) {
  return
}

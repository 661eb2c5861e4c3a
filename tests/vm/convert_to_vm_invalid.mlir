// RUN: not mlirage opt --passes=vm-convert-to-vm %s 2>&1 | filecheck %s

// All at once, by the names of the model.
// CHECK: the host program holds what the virtual machine cannot run:
// CHECK: node_1{{.*}}: math.exp: no such instruction
// CHECK: node_2{{.*}}: arith.addi: the virtual machine has no values of type i128
func.func @unsupported(%a: f32, %b: i128) -> (f32, i128) {
  %0 = math.exp %a : f32 loc("node_1")
  %1 = arith.addi %b, %b : i128 loc("node_2")
  return %0, %1 : f32, i128
}

// RUN: mlirage opt --passes=stream-convert-to-stream,cse,stream-schedule-execution --execution-model=async-external --split-input-file %s | filecheck %s

// Work starts at the caller's first fence and signals the second; nobody waits inside.

// CHECK-LABEL: func.func @main
// CHECK-SAME: (%arg0: !hal.buffer_view, %[[WAIT:.+]]: !hal.fence, %[[SIGNAL:.+]]: !hal.fence) -> !hal.buffer_view
// CHECK-SAME: \22abi\22: \22coarse-fences\22
// CHECK: %[[START:.+]] = "stream.timepoint_import"(%[[WAIT]])
// CHECK: %[[T:.+]]:2 = "stream.async_execute"(%[[START]])
// CHECK-NOT: timepoint_await
// CHECK: "stream.tensor_export"(%[[T]]#1
// CHECK: "stream.timepoint_signal"(%[[T]]#0, %[[SIGNAL]])
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> attributes {mlirage.signature = "{\"arguments\": [], \"results\": []}"} {
  return %x : tensor<4xf32>
}

// -----

// What the host reads it waits for; what comes after is at once ready, and signalled all the same.

// CHECK-LABEL: func.func @read
// CHECK: %[[START:.+]] = "stream.timepoint_import"(%arg1)
// CHECK: "stream.timepoint_await"(%[[START]])
// CHECK: "stream.async_load"
// CHECK: %[[NOW:.+]] = "stream.timepoint_immediate"
// CHECK: "stream.timepoint_signal"(%[[NOW]], %arg2)
func.func @read(%x: tensor<f32>) -> f32 {
  %v = "flow.tensor_load"(%x) {operandSegmentSizes = array<i32: 1, 0, 0>} : (tensor<f32>) -> f32
  return %v : f32
}

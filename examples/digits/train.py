"""Trains the demo's model and writes `digits.onnx` and `held_out.npz`, both kept in the repository.

The data are 1,797 handwritten digits of 8x8 grey pixels (E. Alpaydin and C. Kaynak, "Optical Recognition of
Handwritten Digits", UCI Machine Learning Repository, CC BY 4.0) as scikit-learn ships them. A third is held out before
training and never looked at. Needs torch, scikit-learn and onnx; takes about a minute:

    python examples/digits/train.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from torch import nn

FOLDER = Path(__file__).parent
EPOCHS = 60
HELD_OUT = 599


def build_network() -> nn.Sequential:
    """Two convolutions with batch norm, a strided one instead of a second pool, and two dense layers."""
    return nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(),
        nn.Conv2d(24, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def train(network: nn.Sequential, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Fits `network`; images are shifted by up to one pixel at random."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    network.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(64):
            shift = tuple(int(s) for s in torch.randint(-1, 2, (2,)))
            logits = network(torch.roll(images[batch], shift, (2, 3)))
            loss = nn.functional.cross_entropy(logits, labels[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    network.eval()


def export(network: nn.Sequential) -> onnx.ModelProto:
    """The network as ONNX: pixels 0..16 as uint8 in, log-probabilities out, any batch size."""
    nodes, initializers = [], []
    value = "scaled"
    initializers.append(numpy_helper.from_array(np.float32(1 / 16), "pixel_scale"))
    nodes.append(helper.make_node("Cast", ["image"], ["pixels"], "to_float", to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Mul", ["pixels", "pixel_scale"], [value], "scale"))
    for number, layer in enumerate(network):
        name = f"{type(layer).__name__.lower()}_{number}"
        inputs = [value]
        for key, tensor in layer.state_dict().items():
            if key != "num_batches_tracked":
                initializers.append(numpy_helper.from_array(tensor.numpy(), f"{name}.{key}"))
                inputs.append(f"{name}.{key}")
        match layer:
            case nn.Conv2d():
                operator, attributes = "Conv", {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
            case nn.BatchNorm2d():
                operator, attributes = "BatchNormalization", {"epsilon": layer.eps}
            case nn.ReLU():
                operator, attributes = "Relu", {}
            case nn.MaxPool2d():
                operator, attributes = "MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}
            case nn.Flatten():
                operator, attributes = "Flatten", {"axis": 1}
            case nn.Linear():
                operator, attributes = "Gemm", {"transB": 1}
            case _:
                raise TypeError(f"no export for {name}")
        value = f"{name}.out"
        nodes.append(helper.make_node(operator, inputs, [value], name, **attributes))
    nodes.append(helper.make_node("LogSoftmax", [value], ["log_probability"], "log_softmax", axis=1))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("log_probability", TensorProto.FLOAT, ["batch", 10])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    """Trains, exports, and says the accuracy on the held-out images."""
    torch.manual_seed(7)
    data = load_digits()
    order = np.random.default_rng(7).permutation(len(data.images))
    images = data.images[order].astype(np.uint8)[:, None]
    labels = data.target[order].astype(np.int64)
    network = build_network()
    pixels = torch.from_numpy(images[HELD_OUT:]).float() / 16
    train(network, pixels, torch.from_numpy(labels[HELD_OUT:]))
    with torch.no_grad():
        logits = network(torch.from_numpy(images[:HELD_OUT]).float() / 16)
    accuracy = (logits.argmax(1).numpy() == labels[:HELD_OUT]).mean()
    (FOLDER / "digits.onnx").write_bytes(export(network).SerializeToString())
    np.savez_compressed(FOLDER / "held_out.npz", images=images[:HELD_OUT], labels=labels[:HELD_OUT].astype(np.uint8))
    print(f"accuracy on {HELD_OUT} held-out images: {accuracy:.2%}")


if __name__ == "__main__":
    main()

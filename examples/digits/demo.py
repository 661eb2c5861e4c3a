"""The demo of `make demo`: a model trained on real handwritten digits, compiled, run and checked; then ResNet-50.

python examples/digits/demo.py [--target TARGET]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from rich.console import Console

import mlirage

FOLDER = Path(__file__).parent
SHADES = " .:-=+*#%@"
console = Console(highlight=False, soft_wrap=True)


def median_milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Median wall time of `call` over `repeats` calls after one to warm up."""
    call()
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def draw(images: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> None:
    """Draws images side by side in characters, with what the model says under each."""
    for row in range(images.shape[-2]):
        console.print(
            "   ".join(
                "".join(SHADES[int(p) * (len(SHADES) - 1) // 16] * 2 for p in image[0, row]) for image in images
            ),
            markup=False,
        )
    width = images.shape[-1] * 2
    captions = (f"says {p}" + ("" if p == t else f", is {t}") for p, t in zip(predicted, labels, strict=True))
    console.print("   ".join(f"{caption:^{width}}" for caption in captions), markup=False)


def run_digits(target: str) -> bool:
    """Compiles the digits model, classifies the held-out images, and tells whether accuracy is as it must be."""
    console.print("[bold]Handwritten digits[/bold]: a small CNN on images it has never seen")
    start = time.perf_counter()
    module = mlirage.compile(FOLDER / "digits.onnx", target=target)
    compile_seconds = time.perf_counter() - start
    run = mlirage.load(module)
    held_out = np.load(FOLDER / "held_out.npz")
    images, labels = held_out["images"], held_out["labels"]
    (scores,) = run(images)
    predicted = scores.argmax(axis=1)
    accuracy = float((predicted == labels).mean())
    wrong = np.flatnonzero(predicted != labels)
    shown = np.concatenate([np.arange(5), wrong[:1]])
    draw(images[shown], predicted[shown], labels[shown])
    one = images[:1]
    console.print(
        f"  accuracy      {accuracy:.2%} of {len(labels)} held-out images\n"
        f"  module        {len(bytes(module)) / 1024:.0f} KiB (weights, schedule and machine code)\n"
        f"  compile time  {compile_seconds:.2f} s\n"
        f"  latency       {median_milliseconds(lambda: run(one), 200) * 1e3:.0f} µs for one image, "
        f"{median_milliseconds(lambda: run(images), 20):.2f} ms for {len(labels)}"
    )
    return accuracy >= 0.97


def run_resnet50(target: str) -> bool:
    """Compiles and runs the ResNet-50 that the onnx package ships, against its bundled output."""
    console.print("\n[bold]ResNet-50[/bold]: light_resnet50.onnx of the onnx package")
    folder = Path(onnx.__file__).parent / "backend/test/data/light"
    start = time.perf_counter()
    module = mlirage.compile(folder / "light_resnet50.onnx", target=target)
    compile_seconds = time.perf_counter() - start
    run = mlirage.load(module)
    count = 3 * 224 * 224
    image = (np.arange(count).reshape(1, 3, 224, 224) / count).astype(np.float32)  # what the bundled output is for
    tensor = onnx.TensorProto()
    tensor.ParseFromString((folder / "light_resnet50_output_0.pb").read_bytes())
    expected = numpy_helper.to_array(tensor)
    (result,) = run(image)
    right = bool(np.allclose(result, expected, rtol=1e-3, atol=1e-5))
    console.print(
        f"  result        {'equals' if right else 'DIFFERS FROM'} the bundled output {expected.shape}\n"
        f"  module        {len(bytes(module)) / 1024:.0f} KiB (its weights are constant fills and stay so)\n"
        f"  compile time  {compile_seconds:.2f} s\n"
        f"  latency       {median_milliseconds(lambda: run(image), 20):.1f} ms"
    )
    return right


def main() -> int:
    """Runs both demos; the exit code is 1 if an answer is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="host", help="target to compile for")
    target = parser.parse_args().target
    good = run_digits(target)
    good = run_resnet50(target) and good
    if not good:
        console.print("[red]wrong answers: please report this[/red]")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

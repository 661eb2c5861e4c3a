"""Damaged parameter files under sanitizers: an error or an answer, never a crash, a hang or a leak."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

import mlirage
from mlirage.archives import Archive, write_archive
from mlirage.archives.archive import parameter_of
from tests.runtime.c_runtime_test import INCLUDES, RUNTIME, SOURCES, WARNINGS

COUNT = int(os.environ.get("MLIRAGE_FUZZ_COUNT", "100000"))


def make_corpus(folder: Path) -> list[Path]:
    """Files of the compiler and of the format's own library: names to escape, no tensors, empty ones, many."""
    compiled, foreign, empty, many = (
        folder / f"{name}.safetensors" for name in ("compiled", "foreign", "empty", "many")
    )
    values = ", ".join(str(i / 4) for i in range(37))
    mlirage.compile(
        f"""func.func @main(%a: tensor<37xf32>) -> tensor<37xf32> {{
          %w = arith.constant dense<[{values}]> : tensor<37xf32>
          %e = tensor.empty() : tensor<37xf32>
          %r = linalg.mul ins(%a, %w : tensor<37xf32>, tensor<37xf32>) outs(%e : tensor<37xf32>) -> tensor<37xf32>
          return %r : tensor<37xf32> }}""",
        parameters=str(compiled),
    )
    save_file(
        {
            'with "quotes" \\ and ü \U0001f600\n': np.arange(7, dtype=np.int16),
            "half": np.ones((3, 5), ml_dtypes.bfloat16),
            "none": np.zeros((0, 4), np.float64),
        },
        foreign,
        metadata={"format": "pt"},
    )
    save_file({}, empty)
    save_file({f"layer.{i}.weight": np.arange(i, dtype=np.uint8) for i in range(40)}, many)
    arrays = {f"blk.{i}.w": np.arange(3 * i, dtype=np.float32).reshape(3, i) for i in range(1, 9)}
    parameters = [parameter_of(key, array) for key, array in arrays.items()]
    binary = [folder / "weights.irpa", folder / "weights.gguf"]
    for path in binary:
        write_archive(path, Archive(tuple(parameters), {"general.name": "fuzz", "mlirage.program": "abc"}))
    splat = parameter_of("splat", np.broadcast_to(np.int16(7), (9, 9)))
    write_archive(folder / "splat.irpa", Archive((splat, *parameters)))
    linked = bytearray(binary[0].read_bytes())
    linked[16:24] = len(linked).to_bytes(8, "little")  # the offset of the next header
    write_archive(folder / "one.irpa", Archive((parameter_of("one", np.ones(3)),)))
    (folder / "linked.irpa").write_bytes(linked + (folder / "one.irpa").read_bytes())
    return [compiled, foreign, empty, many, *binary, folder / "splat.irpa", folder / "linked.irpa"]


def test_damaged_files(tmp_path: Path) -> None:
    program = tmp_path / "parameters_fuzz"
    sanitize = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sources = [RUNTIME / "tests" / "parameters" / "parameters_fuzz.c", *SOURCES]
    build = ["gcc", *WARNINGS, *sanitize, *INCLUDES, *map(str, sources), "-o", str(program), "-ldl", "-lpthread", "-lm"]
    subprocess.run(build, check=True)
    seed = os.environ.get("MLIRAGE_FUZZ_SEED", "1")
    command = [str(program), str(COUNT), seed, *map(str, make_corpus(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120 + COUNT // 200, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    print(done.stdout)
    count, accepted, refused = (int(number) for number in re.findall(r"\d+", done.stdout))
    assert count == COUNT
    assert accepted > 0
    assert refused > 0

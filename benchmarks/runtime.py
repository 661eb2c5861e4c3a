"""`python -m benchmarks.runtime`: what a call from C costs, and what threads bring, idle and beside two busy programs.

Builds the runtime and `runtime_figures.c` with gcc, compiles its models and prints a line for each figure. One thread
(local-sync) and two (local-task) take turns, so that other programs on the machine meet both alike.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import click

import mlirage

RUNTIME = Path(__file__).parents[1] / "runtime"
ADD = """
func.func @main(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
  %sum = arith.addf %a, %b : tensor<4xf32>
  return %sum : tensor<4xf32>
}
"""
MATMUL = """
func.func @main(%a: tensor<NxNxf32>, %b: tensor<NxNxf32>) -> tensor<NxNxf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<NxNxf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<NxNxf32>) -> tensor<NxNxf32>
  %product = linalg.matmul ins(%a, %b : tensor<NxNxf32>, tensor<NxNxf32>)
    outs(%init : tensor<NxNxf32>) -> tensor<NxNxf32>
  return %product : tensor<NxNxf32>
}
"""
MEANINGS = {
    "call": "a call",
    "idle": "with no other program of ours",
    "busy": "beside two busy programs",
    "after": "after they ended",
}


def _build(folder: Path) -> Path:
    program = folder / "figures"
    sources = [path for path in (RUNTIME / "src").rglob("*.c") if not path.name.endswith("none.c")]
    includes = [f"-I{RUNTIME / 'include'}", f"-I{RUNTIME / 'src'}"]
    main = Path(__file__).with_name("runtime_figures.c")
    command = ["gcc", "-O2", "-std=gnu11", *includes, str(main), *map(str, sources), "-o", str(program)]
    subprocess.run([*command, "-ldl", "-lpthread", "-lm"], check=True)
    return program


def _measure(program: Path, mode: str, title: str, module: bytes, rounds: int, shape: str) -> None:
    path = program.with_name("module.mlirage")
    path.write_bytes(module)
    command = [str(program), mode, str(path), str(rounds), shape, shape]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        label, one, two, ratio, total = line.split()
        click.echo(
            f"{title}, {MEANINGS[label]}: {one} us on local-sync, {two} us on local-task with two threads; "
            f"one / two threads: median {ratio}, of all time {total}"
        )


@click.command()
@click.option("--rounds", default=31, show_default=True, help="Turns of either.")
@click.option("--extents", default="128,512,1024", show_default=True, help="Extents of the products.")
def main(rounds: int, extents: str) -> None:
    """Measure the runtime from C."""
    with tempfile.TemporaryDirectory() as name:
        program = _build(Path(name))
        _measure(program, "overhead", "4-element add", bytes(mlirage.compile(ADD)), rounds, "4")
        for extent in extents.split(","):
            module = bytes(mlirage.compile(MATMUL.replace("NxN", f"{extent}x{extent}")))
            _measure(program, "threads", f"product of {extent}x{extent}", module, rounds, f"{extent}x{extent}")


if __name__ == "__main__":
    main()

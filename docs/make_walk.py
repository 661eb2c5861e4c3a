"""Writes docs/walk.md: a small model followed from file to result, with the program after every phase.

python docs/make_walk.py          # writes the page
python docs/make_walk.py --check  # exit code 1 if the page is not what this would write
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from mlirage import importers
from mlirage.compiler import PHASES, run_phases
from mlirage.options import CompileOptions
from mlirage.program import Program
from mlirage.vm.encode import encode_module

PAGE = Path(__file__).parent / "walk.md"
# A fixed target, so that the page does not depend on the machine that writes it.
TARGET = "x86_64-unknown-linux-gnu:x86-64-v3"

INTRODUCTION = """# The walk of a model

<!-- Written by docs/make_walk.py from a real compilation; a test keeps it current. -->

A dense layer with softmax, from the ONNX file to the module, for an AVX2 machine. Every block below is what
`mlirage compile layer.onnx --dump-ir=DIR` writes (locations left out), and every one of them can be edited and compiled
on from: `mlirage compile DIR/06-flow.mlir --compile-from=flow`.

The model: `y = softmax(relu(x · w + b))`, `x: [rows, 8]`, `w: [8, 4]`.
"""

NOTES = {
    "start": "The importer writes linalg on tensors. The weights are not in the text: `#ml_program.extern` names an "
    "array that travels beside the module. The signature keeps names, dtypes and the symbolic dimension.",
    "input": "Dialects that are not linalg, tensor, arith, math or scf would be converted here. ONNX comes in as "
    "linalg already.",
    "abi": "Public functions get their final signature.",
    "preprocessing": "Ops are raised and normalized.",
    "global-optimization": "Whole-program rewrites: constants are evaluated by our own compiler and runtime, weights "
    "get the layout the kernels want, elementwise ops fuse.",
    "dispatch-creation": "What is computed together is grouped: one region is one kernel launch.",
    "flow": "Regions become functions of executables, named by what they compute; the host program launches them.",
    "stream": "Tensors become byte ranges of resources with lifetimes. The whole function is one region of work with "
    "one timepoint; memory is planned.",
    "executable-sources": "Executables get their interface: bindings and 32-bit constants in place of tensors.",
    "executable-configurations": "How each kernel is to be computed is written on its root op as data, and the number "
    "of workgroups becomes a function of the shapes.",
    "executable-targets": "Executables are machine code now; the bytes travel beside the module like weights.",
    "hal": "The host program records command buffers, allocates, executes and waits.",
    "vm": "The host program is register code.",
}


def build_model() -> ModelProto:
    """The layer as ONNX."""
    random = np.random.default_rng(1)
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["dense"], "dense"),
        helper.make_node("Relu", ["dense"], ["active"], "relu"),
        helper.make_node("Softmax", ["active"], ["y"], "softmax", axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 4])],
        [
            numpy_helper.from_array(random.standard_normal((8, 4)).astype(np.float32), "w"),
            numpy_helper.from_array(random.standard_normal(4).astype(np.float32), "b"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def show(program: Program) -> str:
    """The program's text; long attribute texts are cut."""
    return re.sub(r'("[^"\n]{160})[^"\n]*"', r'\1…"', str(program.module).strip())


def write_page() -> str:
    """The whole page."""
    options = CompileOptions(target=TARGET, cache_dir="off")
    program = importers.import_source(build_model(), options)
    parts = [INTRODUCTION, f"## start\n\n{NOTES['start']}\n\n```mlir\n{show(program)}\n```\n"]
    previous = "start"
    last = show(program)
    for phase in PHASES:
        step = CompileOptions(target=TARGET, cache_dir="off", compile_from=previous, compile_to=phase.name)
        program.options = step
        run_phases(program)
        text = show(program)
        body = "The program is as before.\n" if text == last else f"```mlir\n{text}\n```\n"
        parts.append(f"## {phase.name}\n\n{NOTES[phase.name]}\n\n{body}")
        previous, last = phase.name, text
    module = encode_module(program)
    parts.append(
        f"## end\n\nThe module file: {len(module):,} bytes with machine code, weights, schedule and signature. "
        "`mlirage dump layer.mlirage` shows what is in it; [module-format.md](module-format.md) tells how.\n"
    )
    return "\n".join(parts)


def main() -> int:
    """Writes or checks the page."""
    page = write_page()
    if "--check" in sys.argv:
        return 0 if PAGE.read_text() == page else 1
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())

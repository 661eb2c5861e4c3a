"""`torch.compile(model, backend="mlirage")`: the graphs that PyTorch captures run as mlirage modules.

Forward and backward graphs are compiled when they are captured, and again when PyTorch's guards say that they no longer
hold (other extents: dynamic ones after the second). Where no gradients are wanted, parameters and buffers are constants
of the module; a change of one compiles the graph anew. Nothing falls back: an operator that is not supported is an
error that names it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._dynamo.backends.common import aot_autograd
from torch.utils._python_dispatch import _disable_current_modes  # pyright: ignore[reportPrivateUsage]

from mlirage.compiled_module import CompiledModule
from mlirage.compiler import assemble, run_phases
from mlirage.errors import CompileError, UsageError
from mlirage.importers.pytorch_aten import import_graph
from mlirage.importers.pytorch_export import decompositions
from mlirage.options import CompileOptions, make_options
from mlirage.runtime import load

_Run = Callable[..., list[Any]]


def mlirage_backend(
    graph: torch.fx.GraphModule, example_inputs: Sequence[Any], options: dict[str, Any] | None = None, **_: Any
) -> Callable[..., Any]:
    """Compiles what `torch.compile` captured; `options` are those of `mlirage.compile`, `device`, `threads`."""
    chosen = dict(options or {})
    placement = {name: chosen.pop(name) for name in ("device", "threads") if name in chosen}
    settings = make_options(**chosen)
    for value in example_inputs:
        if isinstance(value, torch.Tensor) and value.device.type != "cpu":
            raise UsageError(f"backend 'mlirage' takes tensors of the CPU, not of {value.device}")
    originals = list(example_inputs)

    def compile_graph(module: torch.fx.GraphModule, inputs: Sequence[Any]) -> _Run:
        return _boxed(_Compiled(module, {}, settings, placement))

    def compile_for_inference(module: torch.fx.GraphModule, inputs: Sequence[Any]) -> _Run:
        return _boxed(_Compiled(module, _static(module, originals), settings, placement))

    compiler: Any = aot_autograd(
        fw_compiler=compile_graph,
        bw_compiler=compile_graph,
        inference_compiler=compile_for_inference,
        decompositions=decompositions(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch's own tracing
        return compiler(graph, example_inputs)


def _static(module: torch.fx.GraphModule, originals: Sequence[Any]) -> dict[int, torch.Tensor]:
    """Inputs, by number, that are the model's own parameters and buffers, and stay so."""
    nodes = [node for node in module.graph.nodes if node.op == "placeholder"]
    if len(nodes) != len(originals):  # PyTorch dropped or added some: all stay arguments
        return {}
    found: dict[int, torch.Tensor] = {}
    for i, (node, value) in enumerate(zip(nodes, originals, strict=True)):
        kind = getattr(value, "_dynamo_static_input_type", None)
        if isinstance(value, torch.nn.Parameter) or (isinstance(value, torch.Tensor) and kind):
            meta = node.meta["val"]
            if isinstance(value, torch._subclasses.FakeTensor) or tuple(meta.shape) != tuple(value.shape):  # pyright: ignore
                return {}
            found[i] = value
    return found


class _Compiled:
    """A graph as a loaded module; compiled anew when a tensor that is a constant in it has changed."""

    def __init__(
        self,
        module: torch.fx.GraphModule,
        constants: dict[int, torch.Tensor],
        options: CompileOptions,
        placement: dict[str, Any],
    ) -> None:
        self.module = module
        self.constants = constants
        self.options = options
        self.placement = placement
        (output,) = (node for node in module.graph.nodes if node.op == "output")
        self.kinds = [_kind(value) for value in output.args[0]]
        self.versions: list[int] = []
        self.run: Any = None
        self.compile()

    def compile(self) -> None:
        """Compiles and loads the graph with its constants as they are now."""
        self.versions = [tensor._version for tensor in self.constants.values()]  # pyright: ignore
        try:
            with _disable_current_modes():  # PyTorch traces with fake tensors, these are real
                program = import_graph(self.module, self.constants, self.options)
            run_phases(program)
            compiled = CompiledModule.of(assemble(program))
        except CompileError as error:
            raise type(error)(f"torch.compile(backend='mlirage'): {error}") from error
        self.run = load(compiled, **self.placement)

    def __call__(self, *arguments: Any) -> list[Any]:
        """The graph's results."""
        if any(t._version != v for t, v in zip(self.constants.values(), self.versions, strict=True)):  # pyright: ignore
            self.compile()
        given = [x for i, x in enumerate(arguments) if i not in self.constants]
        results = iter(self.run(*given))
        return [None if kind is None else kind(next(results)) for kind in self.kinds]


def _kind(value: Any) -> Callable[[Any], Any] | None:
    """What a result is handed over as."""
    if value is None:
        return None
    meta = value.meta["val"] if isinstance(value, torch.fx.Node) else value
    if isinstance(meta, torch.Tensor):
        return _as_tensor
    number = int if isinstance(meta, torch.SymInt | int) else float
    return lambda result: number(result)


def _as_tensor(result: Any) -> torch.Tensor:
    return result if isinstance(result, torch.Tensor) else torch.as_tensor(result)


def _boxed(compiled: _Compiled) -> _Run:
    """PyTorch hands the arguments over as one list, which it wants emptied."""

    def run(arguments: list[Any]) -> list[Any]:
        given = list(arguments)
        arguments.clear()
        return compiled(*given)

    run._boxed_call = True  # pyright: ignore[reportFunctionMemberAccess]
    return run

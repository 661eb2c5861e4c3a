"""Entry points of an executable become functions that the vm phase converts (docs/architecture.md, "vmvx").

func.func @e() attributes {hal.interface = …} { %m = hal.interface_binding_subspan … linalg.generic … }
  ─>
func.func @e(%b0: !util.buffer, %b1: !util.buffer, %c0: i32, …, %id_x: i32, …, %count_z: i32) {
  scf.for %i = … { %x = util.buffer_load %b0[%o] : f32; … }
  return }
"""

from __future__ import annotations

from mlirage.codegen.configuration import Entry
from mlirage.codegen.cpu import default, special
from mlirage.codegen.cpu.arguments import interface_to_arguments
from mlirage.codegen.cpu.bufferize import copies_to_loops, to_buffers
from mlirage.codegen.cpu.distribute import distribute
from mlirage.codegen.cpu.float_formats import expand_floats
from mlirage.codegen.cpu.lower import expand_complex
from mlirage.codegen.cpu.math_expansion import expand_math
from mlirage.codegen.vmvx.memory import memory_to_buffers
from mlirage.codegen.vmvx.microkernels import use_microkernels
from mlirage.codegen.vmvx.target import VM
from mlirage.mlir import func, ir, run_pipeline

_KINDS = (special, default)
_TO_LOOPS = (
    "func.func(convert-linalg-to-loops),canonicalize,cse,fold-memref-alias-ops,canonicalize,cse,"
    "func.func(loop-invariant-code-motion),expand-strided-metadata,lower-affine,func.func(arith-expand),"
    "canonicalize,cse,func.func(loop-invariant-code-motion)"
)
_CLEAN = "canonicalize,cse,func.func(loop-invariant-code-motion),canonicalize,cse"


def configure(entry: Entry) -> None:
    """Writes the configuration of `entry`, unless somebody has done so."""
    try:
        entry.configured()
    except ValueError:
        choice = special.configure(entry, VM) or default.configure(entry, VM)
        entry.configure(*choice)


def lower_entry_points(module: ir.Module) -> None:
    """Rewrites every configured entry point of an executable in place.

    Raises:
      CompileError: an op has no lowering; the text names it and where it comes from.
    """
    operation = module.operation
    with operation.context, ir.Location.unknown():
        for function in [op for op in operation.regions[0].blocks[0].operations if isinstance(op, func.FuncOp)]:
            if "hal.interface" in function.operation.attributes:
                _lower(Entry(function))


def _lower(entry: Entry) -> None:
    _, configuration = entry.configured()
    kind = {kind.KIND: kind for kind in _KINDS}[configuration.kind]
    alone = _Alone(entry)
    entry = alone.entry
    interface_to_arguments(entry)
    expand_complex(entry)
    expand_math(entry, VM)
    expand_floats(entry, VM)
    kind.schedule(entry, configuration, VM)
    to_buffers(entry)
    copies_to_loops(entry)
    distribute(entry, any(configuration.workgroup_tiles))
    use_microkernels(entry)
    run_pipeline(entry.operation.parent, _TO_LOOPS)
    memory_to_buffers(entry)
    run_pipeline(entry.operation.parent, _CLEAN)
    alone.put_back()


class _Alone:
    """An entry point in a module of its own, so that passes see nothing else, and back in its place."""

    def __init__(self, entry: Entry) -> None:
        self.place = entry.operation
        with entry.operation.location:
            self.module = ir.Module.create()
        clone = entry.operation.clone(ip=ir.InsertionPoint(self.module.body))
        assert isinstance(clone, func.FuncOp)
        self.entry = Entry(clone)

    def put_back(self) -> None:
        for op in list(self.module.body.operations):
            op.operation.move_before(self.place)
        self.place.erase()

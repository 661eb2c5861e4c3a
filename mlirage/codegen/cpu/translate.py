"""One configured entry point becomes an object file.

    interface form ─arguments─> schedule (on tensors) ─> bufferize ─> distribute ─> lower ─> LLVM IR ─llvm─> object

Runs in a worker process: anything native that goes wrong here must not take the compiler with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlirage.codegen import llvm as llvm_backend
from mlirage.codegen import strategy
from mlirage.codegen.configuration import Entry
from mlirage.codegen.cpu.abi import EntryInterface, build_wrapper
from mlirage.codegen.cpu.arguments import SCRATCH_ATTRIBUTE, interface_to_arguments
from mlirage.codegen.cpu.bufferize import bufferize
from mlirage.codegen.cpu.distribute import distribute
from mlirage.codegen.cpu.float_formats import expand_floats
from mlirage.codegen.cpu.loop_remarks import hot_loops
from mlirage.codegen.cpu.lower import expand_complex, lower_to_llvm_ir
from mlirage.codegen.cpu.math_expansion import expand_math
from mlirage.codegen.cpu.requantization import simplify_requantization
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import func, ir


@dataclass(frozen=True)
class Translated:
    """The object file of one entry point and what the library's table says of it.

    Attributes:
      object: ELF object that defines the entry point's symbol.
      interface: its row of the table.
      files: texts for `--dump-ir`, by file name.
    """

    object: bytes
    interface: EntryInterface
    files: dict[str, str] = field(default_factory=dict[str, str])


def translate_entry(
    module: ir.Module, symbol: str, target: CpuTarget, opt_level: int = 3, keep_files: bool = False
) -> Translated:
    """Translates the one entry point in `module` (interface form, configured); `module` is consumed.

    Args:
      symbol: what the entry point is called inside the library.

    Raises:
      CompileError, ir.MLIRError: something has no lowering.
    """
    with module.context, ir.Location.unknown():
        function = next(op for op in module.body.operations if isinstance(op, func.FuncOp))
        entry = Entry(function)
        _, configuration = entry.configured()
        interface = ir.DictAttr(entry.operation.attributes["hal.interface"])
        scalars = tuple(_llvm_type(ir.TypeAttr(t).value) for t in ir.ArrayAttr(interface["scalars"]))
        bindings = ir.IntegerAttr(interface["bindings"]).value
        files = {"configured.mlir": str(module)} if keep_files else {}
        kind = strategy.kind_of(configuration)
        interface_to_arguments(entry)
        expand_complex(entry)
        simplify_requantization(entry, target)
        expand_math(entry, target)
        expand_floats(entry, target)
        kind.schedule(entry, configuration, target)
        bufferize(entry)
        if hasattr(kind, "lower_vectors"):
            kind.lower_vectors(entry, configuration, target)  # pyright: ignore
        distribute(entry, any(configuration.workgroup_tiles))
        scratch = ir.IntegerAttr(entry.operation.attributes[SCRATCH_ATTRIBUTE]).value
        if keep_files:
            files["bufferized.mlir"] = str(module)
        name = entry.name
        body = f"{symbol}.workgroup"
        entry.operation.attributes["sym_name"] = ir.StringAttr.get(body)
        entry.operation.attributes["sym_visibility"] = ir.StringAttr.get("private")
        text = lower_to_llvm_ir(entry, target)
    row = EntryInterface(symbol, name, bindings, scalars, scratch)
    # The wrapper comes first: profilers take all that follows an entry point for its own.
    head, define, rest = text.partition("\ndefine ")
    text = f"{head}\n{build_wrapper(row, body, target.pointer_bytes)}{define}{rest}"
    compiled = llvm_backend.compile_ir(text, target, opt_level, keep_files, unroll=getattr(kind, "LLVM_UNROLLS", True))
    if keep_files:
        remarks = "".join(f"{loop}\n" for loop in hot_loops(compiled.optimized_ir))
        files |= {
            "remarks.txt": remarks,
            "llvm.ll": text,
            "optimized.ll": compiled.optimized_ir,
            "asm.s": compiled.assembly,
        }
    return Translated(compiled.object, row, files)


def _llvm_type(scalar: ir.Type) -> str:
    match scalar:
        case ir.IndexType():
            return "i64"
        case ir.F64Type():
            return "double"
        case ir.F32Type():
            return "float"
        case ir.F16Type():
            return "half"
        case ir.BF16Type():
            return "bfloat"
        case _:
            return str(scalar)

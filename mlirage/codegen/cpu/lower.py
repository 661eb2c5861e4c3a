"""Buffers, loops, vectors and arithmetic of an entry point become LLVM dialect, then LLVM IR text."""

from __future__ import annotations

from mlirage.codegen import llvm as llvm_backend
from mlirage.codegen.configuration import Entry
from mlirage.codegen.target import CpuTarget
from mlirage.errors import CompileError
from mlirage.mlir import ir, llvm, run_pipeline, walk

_TO_LOOPS = (
    "func.func(convert-linalg-to-loops),canonicalize,cse,fold-memref-alias-ops,canonicalize,cse,"
    "func.func(loop-invariant-code-motion)"
)


def _to_llvm(target: CpuTarget) -> str:
    x86 = "enable-x86=true " if target.architecture == "x86_64" else ""
    return (
        "expand-strided-metadata,lower-affine,"
        "func.func(convert-vector-to-scf{full-unroll=true target-rank=1}),"
        "lower-affine,func.func(arith-expand),convert-scf-to-cf,"
        "convert-vector-to-llvm{vector-contract-lowering=outerproduct reassociate-fp-reductions=true "
        f"{x86}vector-transpose-lowering=shuffle1d}},"
        "convert-math-to-llvm,convert-complex-to-llvm,expand-strided-metadata,lower-affine,"
        "finalize-memref-to-llvm{use-generic-functions=false},convert-arith-to-llvm,convert-index-to-llvm,"
        "convert-func-to-llvm{use-bare-ptr-memref-call-conv=1},convert-cf-to-llvm,convert-ub-to-llvm,"
        "reconcile-unrealized-casts,canonicalize,cse"
    )


def expand_complex(entry: Entry) -> None:
    """complex arithmetic becomes arithmetic on parts, with ranges kept (no overflow in between)."""
    if any(op.name.startswith("complex.") for op in entry.walk()):
        run_pipeline(entry.operation.parent, "func.func(convert-complex-to-standard{complex-range=improved})")


def lower_to_llvm_ir(entry: Entry, target: CpuTarget) -> str:
    """LLVM IR text of the entry's module, readable by the backend.

    Raises:
      CompileError: an op has no lowering; the text names it and where it comes from.
    """
    module = entry.operation.parent
    name = entry.name
    run_pipeline(module, _TO_LOOPS)
    run_pipeline(module, _to_llvm(target))
    if target.uses_sve:
        _mask_words(module)
    _check(module, name)
    text = llvm.translate_module_to_llvmir(module)
    return llvm_backend.downgrade(_with_attributes(text, target))


def _mask_words(module: ir.Operation) -> None:
    """Masked loads and stores of bf16, which LLVM cannot select for SVE, become those of i16."""
    for op in list(walk(module)):
        if op.name not in ("llvm.intr.masked.load", "llvm.intr.masked.store"):
            continue
        number = 2 if op.name == "llvm.intr.masked.load" else 0
        kind = ir.VectorType(op.operands[number].type)
        if not isinstance(kind.element_type, ir.BF16Type):
            continue
        words = ir.VectorType.get(kind.shape, ir.IntegerType.get_signless(16))
        with ir.InsertionPoint(op), op.location:
            operands = list(op.operands)
            operands[number] = llvm.bitcast(words, operands[number])
            names = [a if isinstance(a, str) else a.name for a in op.attributes]
            attributes = {name: op.attributes[name] for name in names}
            results = [words] if number else []
            new = ir.Operation.create(op.name, results, operands, attributes)
            if number:
                op.results[0].replace_all_uses_with(llvm.bitcast(kind, new.results[0]))
        op.erase()


def _check(module: ir.Operation, name: str) -> None:
    """The translation to LLVM IR crashes on anything that is not LLVM dialect: look first."""
    for op in walk(module):
        if not op.name.startswith("llvm."):
            raise CompileError(f"{op.location}: no code generation for {op.name} in @{name}: {op.get_asm()[:300]}")


def _with_attributes(text: str, target: CpuTarget) -> str:
    """Function attributes that MLIR has no place for.

    `no-builtins`: loops must not become calls of memcpy or memset.
    """
    attributes = (
        f'nounwind "no-builtins" "no-trapping-math"="true" "prefer-vector-width"="{target.vector_bytes * 8}" '
        '"frame-pointer"="none"'
    )
    if target.uses_sve:  # as long or longer
        attributes += f" vscale_range({target.vector_bytes // 16},16)"
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if line.startswith("define ") and line.endswith("{"):
            lines[i] = f"{line[:-1]}{attributes} {{"
    return "\n".join(lines) + "\n"

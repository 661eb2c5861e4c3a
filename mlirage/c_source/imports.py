"""Calls of the native modules hal_inline, vmvx and the program's kernels as C."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlirage.c_source.microkernels import is_contraction
from mlirage.mlir import ir

if TYPE_CHECKING:
    from mlirage.c_source.functions import FunctionPrinter


def emit_import(printer: FunctionPrinter, op: ir.Operation) -> None:
    """Prints a call.

    Raises:
      NotImplementedError: a function that C programs do not have.
    """
    function = ir.StringAttr(op.attributes["function"]).value
    groups = list(ir.DenseI32ArrayAttr(op.attributes["repetitions"]))
    operands = [printer.names[v] for v in op.operands]
    match function.removeprefix("hal_inline."):
        case "buffer_allocate":
            printer.make_reference(op.result, "allocate", operands)
        case "buffer_view_buffer":
            printer.make_reference(op.result, "view_buffer", operands)
        case "buffer_view_dim":
            view, index = operands
            printer.add(
                f'CHECK({view}.view != NULL && {index} < {view}.view->rank, MODEL_OUT_OF_RANGE, "no such axis");'
            )
            printer.add(f"{printer.name_value(op.result)} = (uint64_t){view}.view->shape[{index}];")
        case "buffer_view_assert":
            view, _, element_type, *shape = operands
            message = printer.tables.text(_rodata_name(op.operands[1]))
            extents = ", ".join(f"(int64_t){extent}" for extent in shape) or "0"
            printer.add("{")
            printer.add(f"  const int64_t shape[] = {{{extents}}};")
            printer.add(f"  TRY(view_assert(self, {view}, {message}, {element_type}, {len(shape)}, shape));")
            printer.add("}")
        case "buffer_view_create":
            buffer, offset, length, element_type, *shape = operands
            printer.tables.rank(len(shape))
            printer.add("{")
            printer.add(f"  const uint64_t shape[] = {{{', '.join(shape) or '0'}}};")
            printer.make_reference(
                op.result, "view_create", [buffer, offset, length, element_type, f"{len(shape)}u", "shape"]
            )
            printer.add("}")
        case _ if function.endswith("_executables.dispatch"):
            _emit_dispatch(printer, op, operands, groups)
        case _ if is_contraction(function):
            _emit_contraction(printer, function, operands, groups[0])
        case _:
            raise NotImplementedError(f"the function {function} is not part of C programs")


def _rodata_name(value: ir.Value) -> str:
    owner = value.owner
    if not isinstance(owner, ir.Operation | ir.OpView) or owner.operation.name != "vm.rodata":
        raise NotImplementedError("a message that is no read-only data")
    return ir.StringAttr(owner.operation.attributes["name"]).value


def _emit_contraction(printer: FunctionPrinter, function: str, operands: list[str], loops: int) -> None:
    name = printer.tables.microkernel(function)
    has_zeros = len(operands) > 6 + 4 * loops
    zeros = operands[:2] if has_zeros else ["0", "0"]
    lhs, rhs, out, *rest = operands[2:] if has_zeros else operands
    offsets, steps = rest[:3], [f"(int64_t){step}" for step in rest[3:]]
    printer.add("{")
    printer.add(f"  const uint64_t offsets[] = {{{', '.join(offsets)}}};")
    printer.add(f"  const int64_t loops[] = {{{', '.join(steps) or '0'}}};")
    arguments = ["self", lhs, rhs, out, *zeros, "offsets", f"{loops}u", "loops"]
    printer.add(f"  TRY({name}({', '.join(arguments)}));")
    printer.add("}")


def _emit_dispatch(printer: FunctionPrinter, op: ir.Operation, operands: list[str], groups: list[int]) -> None:
    """A native kernel: `iIII[i][r][I][I]_`, see docs/architecture.md."""
    constant_count, binding_count = groups[0], groups[1]
    owner = op.operands[0].owner
    assert isinstance(owner, ir.Operation | ir.OpView)
    printer.tables.kernel(ir.IntegerAttr(owner.operation.attributes["value"]).value)
    lists = {"counts": operands[1:4], "words": operands[4 : 4 + constant_count]}
    rest = operands[4 + constant_count :]
    for name in ("buffers", "offsets", "lengths"):
        lists[name], rest = rest[:binding_count], rest[binding_count:]
    types = {
        "counts": "uint64_t",
        "words": "uint32_t",
        "buffers": "ref_t",
        "offsets": "uint64_t",
        "lengths": "uint64_t",
    }
    printer.add("{")
    for name, values in lists.items():
        empty = "{NULL, 0, 0, NULL, NULL}" if name == "buffers" else "0"
        size = max(1, len(values))
        text = ", ".join(values) or empty
        printer.add(f"  const {types.get(name, 'uint64_t')} {name}[{size}] = {{{text}}};")
    size = max(1, binding_count)
    printer.add(f"  void* pointers[{size}];")
    printer.add(f"  size_t sizes[{size}];")
    arguments = ["self", operands[0], "counts", f"{constant_count}u", "words", f"{binding_count}u", "buffers"]
    printer.add(f"  TRY(run_kernel({', '.join([*arguments, 'offsets', 'lengths', 'pointers', 'sizes'])}));")
    printer.add("}")

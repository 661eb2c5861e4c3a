"""Lists of tensors whose elements' extents TensorFlow's graph leaves open are given those of what is put in them.

%l = "tf.TensorListReserve"(%minus_one, %n) : … -> tensor<!tf_type.variant<tensor<*xf32>>>
"tf.TensorListSetItem"(%l, %i, %row) : (…, tensor<5xf32>) -> …
=>  variants of tensor<5xf32> everywhere, and the shape [5] in place of -1

TensorFlow's own shape inference does not look through the loops that fill them (`tf.map_fn`, `tf.TensorArray`). Values
that hold one list (results of loops, their bodies' arguments, …) form a class; what any of them takes or gives says the
extents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from mlirage.mlir import ir, new_context, walk

_OPEN = re.compile(r"!tf_type\.variant<tensor<\*x([^>]+(?:>(?=>>))?)>>")
_PARTLY_OPEN = re.compile(r"tensor<!tf_type\.variant<tensor<((?:[0-9]+x)*\?x.*)>>>")
_KEEPING = (
    "tf.Identity", "tf.TensorListPopBack", "tf.TensorListPushBack", "tf.TensorListResize", "tf.TensorListSetItem",
)  # fmt: skip


class _Classes:
    """Values that hold the same list; by number, as values are compared by identity only."""

    def __init__(self) -> None:
        self.values: list[ir.Value[Any]] = []
        self.parents: list[int] = []
        self.numbers: dict[ir.Value[Any], int] = {}

    def number(self, value: ir.Value[Any]) -> int:
        """Of a value's class."""
        if value not in self.numbers:
            self.numbers[value] = len(self.values)
            self.values.append(value)
            self.parents.append(self.numbers[value])
        place = self.numbers[value]
        while self.parents[place] != place:
            place = self.parents[place]
        return place

    def join(self, left: ir.Value[Any], right: ir.Value[Any]) -> None:
        """Makes one class of two."""
        self.parents[self.number(left)] = self.number(right)


def with_known_elements(text: str) -> str:
    """The text of a module of TensorFlow's ops; unchanged if its lists' extents are known or cannot be."""
    if "variant<tensor<*x" not in text and not re.search(r"variant<tensor<[0-9x]*\?", text):
        return text
    context = new_context()
    context.allow_unregistered_dialects = True
    with context, ir.Location.unknown():
        try:
            module = ir.Module.parse(text)
        except ir.MLIRError:  # what TensorFlow cannot lower it reports itself
            return text
        functions = {
            ir.StringAttr(op.attributes["sym_name"]).value: op.operation
            for op in module.body.operations
            if op.operation.name == "func.func"
        }
        classes = _Classes()
        for op in list(walk(module.operation)):
            for left, right in _same_list(op, functions):
                if "variant" in str(left.type) and "variant" in str(right.type):
                    classes.join(left, right)
        shapes: dict[int, str] = {}
        for op in list(walk(module.operation)):
            found = _element(op)
            if found is not None and found[1]:
                shapes.setdefault(classes.number(found[0]), found[1])
        for value in list(classes.values):
            _refine(value, shapes.get(classes.number(value)))
        for op in list(walk(module.operation)):
            if op.name in ("tf.TensorListReserve", "tf.EmptyTensorList"):
                _say_shape(op, shapes.get(classes.number(op.results[0])))
        _as_tensors(module, classes)
        for function in functions.values():
            block = function.regions[0].blocks[0]
            kinds = [value.type for value in block.operations[len(block.operations) - 1].operation.operands]
            inputs = [argument.type for argument in block.arguments]
            function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, kinds))
        return str(module.operation.get_asm(enable_debug_info=True))


def _as_tensors(module: ir.Module, classes: _Classes) -> None:
    """Lists whose elements have open extents, which TensorFlow does not lower, become tensors that calls read.

    "tf.TensorListSetItem"(%l, %i, %x) : (variant<tensor<?x4xf32>>, …)
    =>  "tf.XlaCustomCallV2"(%l, %i, %x) {call_target_name = "tf.ListSet"} : (tensor<7x?x4xf32>, …)
    """
    kinds: dict[int, ir.Type] = {}
    for op in walk(module.operation):
        if op.name in ("tf.TensorListReserve", "tf.TensorListFromTensor"):
            match = _PARTLY_OPEN.fullmatch(str(op.results[0].type))
            if match is not None:
                kinds.setdefault(classes.number(op.results[0]), ir.Type.parse(f"tensor<{_count(op)}x{match[1]}>"))
    if not kinds:
        return
    for value in list(classes.values):
        if classes.number(value) in kinds:
            value.set_type(kinds[classes.number(value)])
    for op in list(walk(module.operation)):
        held = [*op.operands, *op.results]
        if not any(value in classes.numbers and classes.number(value) in kinds for value in held):
            continue
        for name in ("output_shapes", "T"):
            if name in op.attributes:
                del op.attributes[name]
        with ir.InsertionPoint(op), op.location:
            _rewrite(op)


def _rewrite(op: ir.Operation) -> None:
    operands = list(op.operands)
    if op.name in ("tf.TensorListFromTensor", "tf.TensorListStack"):
        made = operands[0]
    elif op.name == "tf.TensorListReserve":
        like, user = _like(op)
        with ir.InsertionPoint(user):  # what it is like may be made after it
            made = _call("ListNew", op.results[0].type, [like, operands[1]])
    elif op.name == "tf.TensorListSetItem":
        made = _call("ListSet", op.results[0].type, operands[:3])
    elif op.name == "tf.TensorListGetItem":
        made = _call("ListGet", op.results[0].type, operands[:2])
    else:
        return
    op.results[0].replace_all_uses_with(made)
    op.erase()


def _call(name: str, kind: ir.Type, operands: list[ir.Value[Any]]) -> ir.Value[Any]:
    shape = re.sub(r"x?[a-z]\w*$", "", str(kind).removeprefix("tensor<").removesuffix(">").partition("complex")[0])
    attributes = {
        "backend_config": ir.StringAttr.get(""),
        "call_target_name": ir.StringAttr.get(f"tf.{name}"),
        "has_side_effect": ir.BoolAttr.get(False),
        "result_shapes": ir.Attribute.parse(f"[#tf_type.shape<{shape.rstrip('x')}>]"),
    }
    made = ir.Operation.create("tf.XlaCustomCallV2", results=[kind], operands=operands, attributes=attributes)
    return made.results[0]


def _count(op: ir.Operation) -> str:
    """The number of elements of a new list, as far as it is known."""
    if op.name == "tf.TensorListFromTensor":
        kind = ir.RankedTensorType(op.operands[0].type)
        return "?" if kind.is_dynamic_dim(0) else str(kind.get_dim_size(0))
    owner = op.operands[1].owner
    if not isinstance(owner, ir.Block) and owner.name == "tf.Const":
        return str(int(np.array(ir.DenseIntElementsAttr(owner.attributes["value"])).reshape(-1)[0]))
    return "?"


def _like(op: ir.Operation) -> tuple[ir.Value[Any], ir.Operation]:
    """A value with the extents of the elements of a new list, which the loop that fills it carries beside it; the loop.

    Raises:
      NotImplementedError: there is none.
    """
    kind = ir.RankedTensorType(op.results[0].type)
    users = [use.owner.operation for use in op.results[0].uses]
    for user in [other for other in op.block.operations if any(other.operation == u for u in users)][:1]:
        for value in user.operation.operands:
            try:
                other = ir.RankedTensorType(value.type)
            except ValueError:
                continue
            if list(other.shape) == list(kind.shape)[1:] and other.element_type == kind.element_type:
                return value, user.operation
    raise NotImplementedError(f"a list of {kind} whose elements' extents no value of its loop has")


def _block(functions: dict[str, ir.Operation], op: ir.Operation, name: str) -> ir.Block | None:
    function = functions.get(ir.FlatSymbolRefAttr(op.attributes[name]).value) if name in op.attributes else None
    return function.regions[0].blocks[0] if function is not None else None


def _same_list(op: ir.Operation, functions: dict[str, ir.Operation]) -> Iterator[tuple[ir.Value[Any], ir.Value[Any]]]:
    """Pairs of values that hold one list."""
    operands, results = list(op.operands), list(op.results)
    if op.name in _KEEPING:
        yield operands[0], results[0]
    elif op.name == "tf.IdentityN":
        yield from zip(operands, results, strict=True)
    elif op.name == "tf.While":
        yield from zip(operands, results, strict=True)
        for block in (_block(functions, op, "body"), _block(functions, op, "cond")):
            if block is not None:
                yield from zip(operands, block.arguments, strict=False)
        yield from _returned(_block(functions, op, "body"), results)
    elif op.name in ("tf.If", "tf.StatelessIf"):
        for name in ("then_branch", "else_branch"):
            block = _block(functions, op, name)
            if block is not None:
                yield from zip(operands[1:], block.arguments, strict=False)
                yield from _returned(block, results)
    elif op.name in ("tf.PartitionedCall", "tf.StatefulPartitionedCall"):
        block = _block(functions, op, "f")
        if block is not None:
            yield from zip(operands, block.arguments, strict=False)
            yield from _returned(block, results)


def _returned(block: ir.Block | None, results: list[ir.Value[Any]]) -> Iterator[tuple[ir.Value[Any], ir.Value[Any]]]:
    if block is not None:
        yield from zip(block.operations[len(block.operations) - 1].operation.operands, results, strict=False)


def _element(op: ir.Operation) -> tuple[ir.Value[Any], str] | None:
    """A list, and the extents of its elements as `5x`, where an op says them."""
    if op.name == "tf.TensorListSetItem":
        return op.operands[0], _extents(op.operands[2])
    if op.name == "tf.TensorListPushBack":
        return op.operands[0], _extents(op.operands[1])
    if op.name == "tf.TensorListGetItem":
        return op.operands[0], _extents(op.results[0])
    if op.name == "tf.TensorListStack":
        rows = _extents(op.results[0])
        return op.operands[0], rows.partition("x")[2] or "scalar" if rows else ""
    return None


def _extents(value: ir.Value[Any]) -> str:
    """`5x3x` of a tensor of known extents; `scalar`; nothing where one is open."""
    try:
        kind = ir.RankedTensorType(value.type)
    except ValueError:
        return ""
    if not kind.has_static_shape:
        return ""
    return "".join(f"{d}x" for d in kind.shape) or "scalar"


def _refine(value: ir.Value[Any], shape: str | None) -> None:
    if shape is not None:
        extents = "" if shape == "scalar" else shape
        refined = _OPEN.sub(lambda match: f"!tf_type.variant<tensor<{extents}{match[1]}>>", str(value.type))
        value.set_type(ir.Type.parse(refined))


def _say_shape(op: ir.Operation, shape: str | None) -> None:
    if shape is None:
        return
    numbers = [] if shape == "scalar" else [int(d) for d in shape.split("x") if d]
    kind = ir.RankedTensorType.get([len(numbers)], ir.IntegerType.get_signless(32))
    elements = ir.DenseElementsAttr.get(np.array(numbers, np.int32))  # pyright: ignore
    with ir.InsertionPoint(op), op.location:
        constant = ir.Operation.create("tf.Const", results=[kind], attributes={"value": elements})
    op.operands[0] = constant.results[0]

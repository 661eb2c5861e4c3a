"""Stores booleans as i8 (0 or 1), indices as i64, and numbers of less than 8 bits as i8 in every tensor.

    linalg.generic ins(%c : tensor<4xi1>) { ^bb0(%p: i1 …)   ->   ins(%c : tensor<4xi8>) { ^bb0(%q: i8 …)
                                                                    %p = arith.trunci %q : i8 to i1

These have no layout of their own that host and kernels could share: i2, i4, f4E2M1FN and the like take a byte each,
with their code in its low bits (the high bits are written as 0 and never read), as ml_dtypes has them. Only the types
of tensors change: scalars in bodies keep theirs behind a conversion, so that nothing is computed in another type.
"""

from __future__ import annotations

import numpy as np

from mlirage import structured_ops
from mlirage.constants import read_dense
from mlirage.errors import CompileError
from mlirage.mlir import arith, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Array, Program, is_splat

# Ops that read or write tensors only as wholes: their types follow.
_PASSIVE = frozenset(
    ("tensor.empty", "tensor.dim", "tensor.cast", "tensor.extract_slice", "tensor.insert_slice",
     "tensor.collapse_shape", "tensor.expand_shape", "tensor.reshape", "tensor.concat", "tensor.gather",
     "tensor.scatter", "arith.select",
     "flow.dispatch_region", "flow.return", "func.return", "func.call", "scf.if", "scf.for", "scf.while", "scf.yield",
     "scf.condition", "scf.index_switch", "ml_program.global_load", "ml_program.global_load_const",
     "ml_program.global_store")
)  # fmt: skip


@module_pass("flow-legalize-boundary-types")
def legalize_boundary_types(program: Program) -> None:
    """Makes tensors of i1, i4 and so on tensors of i8, and tensors of index tensors of i64."""
    for op in list(program.module.body.operations):
        if op.operation.name == "ml_program.global":
            _convert_global(op.operation, program)
        elif op.operation.name == "func.func":
            _convert_function(op.operation)


def storage_type(value_type: ir.Type) -> ir.Type:
    """The type a value is stored as: i8 for tensors of less than 8 bits, i64 for index tensors, itself otherwise."""
    if not isinstance(value_type, ir.RankedTensorType):
        return value_type
    element = _storage_element(value_type.element_type)
    if element == value_type.element_type:
        return value_type
    return ir.RankedTensorType.get(value_type.shape, element, value_type.encoding)


def _storage_element(element: ir.Type) -> ir.Type:
    if isinstance(element, ir.IndexType):
        return ir.IntegerType.get_signless(64)
    if isinstance(element, ir.IntegerType | ir.FloatType) and element.width < 8:
        return ir.IntegerType.get_signless(8)
    return element


def _code(value: ir.Value) -> ir.Value:
    """The bits of a scalar as an integer."""
    if not isinstance(value.type, ir.FloatType):
        return value
    return arith.bitcast(ir.IntegerType.get_signless(value.type.width), value)


def _store(value: ir.Value) -> ir.Value:
    """The scalar `value` as its storage type."""
    target = _storage_element(value.type)
    if target == value.type:
        return value
    return (
        arith.index_cast(target, value) if isinstance(value.type, ir.IndexType) else arith.extui(target, _code(value))
    )


def _load(value: ir.Value, wanted: ir.Type) -> ir.Value:
    """The stored scalar `value` as `wanted`."""
    if value.type == wanted:
        return value
    if isinstance(wanted, ir.IndexType):
        return arith.index_cast(wanted, value)
    if isinstance(wanted, ir.FloatType):
        return arith.bitcast(wanted, arith.trunci(ir.IntegerType.get_signless(wanted.width), value))
    return arith.trunci(wanted, value)


def _convert_global(op: ir.Operation, program: Program) -> None:
    old = ir.TypeAttr(op.attributes["type"]).value
    new = storage_type(old)
    if new == old:
        return
    op.attributes["type"] = ir.TypeAttr.get(new)
    if "value" not in op.attributes:
        return
    value = op.attributes["value"]
    if isinstance(value, ir.DenseElementsAttr):
        op.attributes["value"] = _stored_elements(op, "value", new)
        return
    op.attributes["value"] = ir.Attribute.parse(f"#ml_program.extern<{new}>")
    name = ir.StringAttr(op.attributes["sym_name"]).value
    array = program.constants.get(name)
    if array is not None:
        program.constants[name] = _stored_array(array, new)


def _stored_array(array: Array, new: ir.Type) -> Array:
    """The array with its elements in their storage type."""
    if ir.IntegerType(ir.ShapedType(new).element_type).width == 8:
        return array.view(np.uint8)  # numpy and ml_dtypes have a byte for each, too; a splat stays one
    return (
        np.broadcast_to(array.reshape(-1)[0].astype(np.int64), array.shape)
        if is_splat(array)
        else array.astype(np.int64)
    )


def _stored_elements(op: ir.Operation, attribute: str, new: ir.Type) -> ir.Attribute:
    """The dense attribute of an op with its elements in their storage type."""
    value = ir.DenseElementsAttr(op.attributes[attribute])
    element = ir.IntegerType(ir.ShapedType(new).element_type)
    array = np.ascontiguousarray(_stored_array(read_dense(op, attribute), new)).view(f"int{element.width}")
    if value.is_splat:
        return ir.DenseElementsAttr.get_splat(new, ir.IntegerAttr.get(element, int(array.reshape(-1)[0])))
    return ir.DenseElementsAttr.get(array, type=new)  # pyright: ignore[reportCallIssue, reportArgumentType]


def _convert_function(function: ir.Operation) -> None:
    touched = [op for op in structured_ops.tensor_ops(function) if _touches_converted(op)]
    touched = [op for op in touched if op.name != "tensor.extract"]
    # Bodies read elements of other tensors, too.
    touched += [op for op in walk(function) if op.name == "tensor.extract" and _touches_converted(op)]
    # Scalars and bodies first, while types tell what things were; then the types of all tensors.
    for op in touched:
        _convert_scalars(op)
    for op in structured_ops.tensor_ops(function):
        for result in op.results:
            _set_storage_type(result)
        for region in op.regions:
            for block in region.blocks:
                for argument in block.arguments:
                    _set_storage_type(argument)
    for argument in function.regions[0].blocks[0].arguments if function.regions[0].blocks else []:
        _set_storage_type(argument)
    function_type = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    converted = ir.FunctionType.get(
        [storage_type(t) for t in function_type.inputs], [storage_type(t) for t in function_type.results]
    )
    function.attributes["function_type"] = ir.TypeAttr.get(converted)


def _set_storage_type(value: ir.Value) -> None:
    new = storage_type(value.type)
    if new != value.type:
        value.set_type(new)


def _touches_converted(op: ir.Operation) -> bool:
    return any(storage_type(value.type) != value.type for value in (*op.operands, *op.results))


def _convert_scalars(op: ir.Operation) -> None:
    if op.name in _PASSIVE:
        return
    if op.name == "linalg.fill":
        _store_operand(op, 0)
        for argument in structured_ops.body(op).arguments:
            argument.set_type(_storage_element(argument.type))
    elif structured_ops.is_structured(op):
        _convert_body(op if op.name == "linalg.generic" else structured_ops.generalize(op))
    elif op.name.startswith("linalgx."):
        _convert_special(op)
    elif op.name in ("tensor.pad", "tensor.generate"):
        _store_yielded(structured_ops.body(op))
    elif op.name == "tensor.extract":
        _convert_extract(op)
    elif op.name in ("tensor.insert", "tensor.splat"):
        _store_operand(op, 0)
    elif op.name == "tensor.from_elements":
        for number in range(len(op.operands)):
            _store_operand(op, number)
    elif op.name == "arith.constant":
        op.attributes["value"] = _stored_elements(op, "value", storage_type(op.results[0].type))
    else:
        raise CompileError(f"{op.location}: {op.name} on a tensor of i1, index or less than 8 bits is not supported")


def _store_operand(op: ir.Operation, number: int) -> None:
    with ir.InsertionPoint(op), op.location:
        op.operands[number] = _store(op.operands[number])


def _convert_body(op: ir.Operation) -> None:
    block = structured_ops.body(op)
    for operand, argument in zip(op.operands, block.arguments, strict=True):
        if isinstance(operand.type, ir.RankedTensorType):
            _load_argument(block, argument)
    _store_yielded(block)


def _convert_special(op: ir.Operation) -> None:
    """Regions of linalgx ops take elements; scan's, scatter's and attention's yield some, comparators' a decision."""
    if not op.regions:
        return
    block = structured_ops.body(op)
    for argument in list(block.arguments):
        # an attention's region takes loop numbers, which are no elements
        if op.name != "linalgx.attention" or not isinstance(argument.type, ir.IndexType):
            _load_argument(block, argument)
    if op.name not in ("linalgx.sort", "linalgx.topk"):
        _store_yielded(block)


def _load_argument(block: ir.Block, argument: ir.BlockArgument) -> None:
    """Gives a block argument the type in which its element is stored."""
    old = argument.type
    new = _storage_element(old)
    if new == old:
        return
    argument.set_type(new)
    if list(argument.uses):
        uses = [(use.owner, use.operand_number) for use in argument.uses]
        with ir.InsertionPoint.at_block_begin(block), argument.location:
            loaded = _load(argument, old)
        for user, number in uses:
            user.operation.operands[number] = loaded


def _store_yielded(block: ir.Block) -> None:
    terminator = block.operations[len(block.operations) - 1].operation
    for number in range(len(terminator.operands)):
        _store_operand(terminator, number)


def _convert_extract(op: ir.Operation) -> None:
    wanted = op.results[0].type
    with ir.InsertionPoint(op), op.location:
        stored = ir.Operation.create("tensor.extract", [_storage_element(wanted)], list(op.operands))
        loaded = _load(stored.results[0], wanted)
    op.results[0].replace_all_uses_with(loaded)
    op.erase()

"""Elements of tensors, computed where they are needed: how a kernel fuses what stands around its root.

A kernel asks for the element (or a vector of elements, lane by lane) of any tensor of the entry point at a place. What
is in memory is loaded; fills and constants cost nothing; elementwise ops are computed from the elements of their
operands; slices, casts, reshapes and paddings become index arithmetic.

    elements.read(%relu_of_biased_sum, [i, j..j+31])
      ─>  %b = vector.load %bias[j];  %s = arith.addf %sum, %b;  arith.maximumf %s, %zero
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mlirage import structured_ops
from mlirage.codegen.cpu.index_math import Index, Place, add, div, evaluate, mul, rem, smaller, sub, value
from mlirage.mlir import arith, bufferization, ir, memref, scf, tensor, vector

_BODY_DIALECTS = ("arith.", "math.")


@dataclass(frozen=True)
class Staged:
    """Where a part of a tensor was computed to: element (i, j) is `buffer[i - origin[0], j - origin[1]]`."""

    buffer: ir.Value
    origin: tuple[Index, ...]


def is_readable(tensor_value: ir.Value, known: Sequence[ir.Value] = ()) -> bool:
    """Whether `Elements.read` can compute elements of a tensor; those of `known` are given."""
    if tensor_value in known:
        return True
    if isinstance(tensor_value.owner, ir.Block):
        return False
    op = tensor_value.owner.operation
    match op.name:
        case "bufferization.to_tensor" | "tensor.empty" | "tensor.splat" | "arith.constant":
            return True
        case "linalg.fill":
            return True
        case "tensor.cast" | "tensor.expand_shape" | "tensor.collapse_shape" | "tensor.extract_slice":
            return is_readable(op.operands[0], known)
        case "tensor.pad":
            return _pad_value(op) is not None and is_readable(op.operands[0], known)
        case _:
            return is_pointwise(op) and all(is_readable(v, known) for v in op.operands if _is_tensor(v))


def is_pointwise(op: ir.Operation) -> bool:
    """Whether every element of the results of `op` is a function of single elements of its operands."""
    if not structured_ops.is_elementwise(op) or len(op.regions) != 1:
        return False
    ops = [inner.operation for inner in structured_ops.body(op).operations]
    return all(inner.name.startswith(_BODY_DIALECTS) or inner.name == "linalg.index" for inner in ops[:-1])


def _is_tensor(v: ir.Value) -> bool:
    return isinstance(v.type, ir.RankedTensorType)


def _pad_value(op: ir.Operation) -> ir.Value | None:
    """The scalar that a `tensor.pad` pads with, None if it differs from place to place."""
    padding = list(op.regions[0].blocks[0].operations)[-1].operation.operands[0]
    owner = padding.owner
    if isinstance(owner, ir.Block):
        return padding if owner != op.regions[0].blocks[0] else None
    outside = owner.operation.block != op.regions[0].blocks[0]
    return padding if outside or owner.operation.name == "arith.constant" else None


@dataclass(frozen=True)
class Elements:
    """Reads elements, at the current insertion point.

    Attributes:
      lanes: elements per read; 0: a scalar.
      mask: which lanes exist, None: all.
      count: how many lanes exist where `mask` is given.
      known: vectors that are already there, by tensor, for the place at hand.
      staged: tensors that were computed to memory before.
    """

    lanes: int = 0
    mask: ir.Value | None = None
    count: Index | None = None
    known: Mapping[ir.Value, ir.Value] = field(default_factory=dict[ir.Value, ir.Value])
    staged: Mapping[ir.Value, Staged] = field(default_factory=dict[ir.Value, Staged])

    def knowing(self, known: Mapping[ir.Value, ir.Value]) -> Elements:
        """The same with other known values."""
        return replace(self, known=known)

    def type_of(self, element: ir.Type) -> ir.Type:
        """The type that is read for elements of this type."""
        return ir.VectorType.get([self.lanes], element) if self.lanes else element

    def spread(self, scalar: ir.Value) -> ir.Value:
        """A scalar in every lane."""
        if not self.lanes or isinstance(scalar.type, ir.VectorType):
            return scalar
        owner = scalar.owner
        if not isinstance(owner, ir.Block) and owner.operation.name == "arith.constant":
            kind = ir.VectorType.get([self.lanes], scalar.type)
            attribute = owner.operation.attributes["value"]
            return arith.constant(kind, ir.DenseElementsAttr.get_splat(kind, attribute))
        return vector.broadcast(self.type_of(scalar.type), scalar)

    def read(self, tensor_value: ir.Value, places: Sequence[Place]) -> ir.Value:
        """The elements of a tensor at places, one per dim."""
        if tensor_value in self.known:
            return self.known[tensor_value]
        if tensor_value in self.staged:
            staged = self.staged[tensor_value]
            shifted = [Place(sub(p.base, o), p.step) for p, o in zip(places, staged.origin, strict=True)]
            return self.load(staged.buffer, shifted)
        op = ir.OpResult(tensor_value).owner.operation
        match op.name:
            case "bufferization.to_tensor":
                return self.load(op.operands[0], places)
            case "arith.constant":
                return self._constant(op, places)
            case "tensor.empty":
                zero = ir.Attribute.parse(f"{0 if _is_integer(tensor_value) else 0.0} : {_element(tensor_value)}")
                return self.spread(arith.constant(_element(tensor_value), zero))
            case "linalg.fill" | "tensor.splat":
                return self.spread(_as_scalar(op.operands[0], _element(tensor_value)))
            case "tensor.cast":
                return self.read(op.operands[0], places)
            case "tensor.expand_shape":
                return self.read(op.operands[0], _join(op, places))
            case "tensor.collapse_shape":
                return self._read_collapsed(op, places)
            case "tensor.extract_slice":
                return self.read(op.operands[0], _sliced(op, places))
            case "tensor.pad":
                return self._read_padded(op, places)
            case _:
                return self._compute(op, places, ir.OpResult(tensor_value).result_number)

    def load(self, buffer: ir.Value, places: Sequence[Place]) -> ir.Value:
        """Elements of a buffer."""
        steps = [p.step for p in places]
        if not self.lanes or not any(steps):
            return self.spread(memref.load(buffer, [value(p.base) for p in places]))
        element = ir.MemRefType(buffer.type).element_type
        if steps[-1] == 1 and not any(steps[:-1]):
            indices = [value(p.base) for p in places]
            if self.mask is None:
                return vector.load(self.type_of(element), buffer, indices)
            if not isinstance(element, ir.IntegerType) or element.width >= 8:
                zero = ir.Attribute.parse(f"{0 if isinstance(element, ir.IntegerType) else 0.0} : {element}")
                other = self.spread(arith.constant(element, zero))
                return vector.maskedload(self.type_of(element), buffer, indices, self.mask, other)
        return self._lane_by_lane(element, places, lambda e, p: e.load(buffer, p))

    def store(self, values: ir.Value, buffer: ir.Value, places: Sequence[Place]) -> None:
        """Writes elements to a buffer; lanes that do not exist are not written."""
        steps = [p.step for p in places]
        if not self.lanes:
            memref.store(values, buffer, [value(p.base) for p in places])
        elif steps[-1] == 1 and not any(steps[:-1]):
            indices = [value(p.base) for p in places]
            if self.mask is None:
                vector.store(values, buffer, indices)
            else:
                vector.maskedstore(buffer, indices, self.mask, values)
        else:
            for lane in range(self.lanes):
                self._store_lane(values, lane, buffer, places)

    def _store_lane(self, values: ir.Value, lane: int, buffer: ir.Value, places: Sequence[Place]) -> None:
        count = self.lanes if self.count is None else self.count
        if isinstance(count, int) and lane >= count:
            return
        element = vector.extract(values, [], [lane])
        indices = [value(p.at(lane).base) for p in places]
        if isinstance(count, int):
            memref.store(element, buffer, indices)
            return
        branch = scf.IfOp(arith.cmpi(arith.CmpIPredicate.ult, value(lane), count))
        with ir.InsertionPoint(branch.then_block):
            memref.store(element, buffer, indices)
            scf.yield_([])

    def _lane_by_lane(
        self, element: ir.Type, places: Sequence[Place], read: Callable[[Elements, Sequence[Place]], ir.Value]
    ) -> ir.Value:
        """Reads every lane on its own; lanes that do not exist read the last one that does."""
        scalars = replace(self, lanes=0, mask=None, count=None, known={})
        lanes: list[ir.Value] = []
        for lane in range(self.lanes):
            number: Index = lane if self.count is None else smaller(lane, sub(self.count, 1))
            lanes.append(read(scalars, [p.at(number) for p in places]))
        return vector.from_elements(self.type_of(element), lanes)

    def _constant(self, op: ir.Operation, places: Sequence[Place]) -> ir.Value:
        attribute = op.attributes["value"]
        if isinstance(attribute, ir.DenseElementsAttr) and attribute.is_splat:
            element = _element(op.results[0])
            return self.spread(arith.constant(element, attribute.get_splat_value()))
        kind = ir.RankedTensorType(op.results[0].type)
        with ir.InsertionPoint.after(op):
            buffer = bufferization.to_buffer(ir.MemRefType.get(kind.shape, kind.element_type), op.results[0])
        return self.load(buffer, places)

    def _read_collapsed(self, op: ir.Operation, places: Sequence[Place]) -> ir.Value:
        source = op.operands[0]
        kind = ir.RankedTensorType(source.type)
        inner: list[Place] = [Place(0)] * kind.rank
        for place, group in zip(places, _groups(op), strict=True):
            wide = [d for d in group if kind.is_dynamic_dim(d) or kind.get_dim_size(d) != 1]
            if len(wide) == 1:
                inner[wide[0]] = place
            elif wide and place.step:
                return self._lane_by_lane(kind.element_type, places, lambda e, p: e.read(op.results[0], p))
            else:
                linear = place.base
                for d in reversed(wide):
                    size = extent(source, d)
                    inner[d] = Place(rem(linear, size)) if d != wide[0] else Place(linear)
                    linear = div(linear, size)
        return self.read(source, inner)

    def _read_padded(self, op: ir.Operation, places: Sequence[Place]) -> ir.Value:
        """The padding where a place lies outside; the source is not touched there."""
        source = op.operands[0]
        low, high = pad_amounts(op)
        element = _element(op.results[0])
        conditions: list[ir.Value] = []
        inner: list[Place] = []
        for d, place in enumerate(places):
            inner.append(Place(sub(place.base, low[d]), place.step))
            if low[d] == 0 and high[d] == 0:
                continue
            if place.step == 1 and d == len(places) - 1 and _is_buffer(source) and self._has_vectors_of(element):
                return self._read_padded_vector(op, inner, conditions)
            if place.step:
                return self._lane_by_lane(element, places, lambda e, p: e.read(op.results[0], p))
            # as an unsigned number, a place before the start is larger than any extent
            conditions.append(arith.cmpi(arith.CmpIPredicate.ult, value(inner[d].base), value(extent(source, d))))
        return self._where(conditions, op, lambda: self.read(source, inner))

    def _where(self, conditions: Sequence[ir.Value], op: ir.Operation, read: Callable[[], ir.Value]) -> ir.Value:
        """What `read` reads where all conditions hold, elsewhere the padding of `op`."""
        if not conditions:
            return read()
        condition = conditions[0]
        for other in conditions[1:]:
            condition = arith.andi(condition, other)
        branch = scf.IfOp(condition, [self.type_of(_element(op.results[0]))], has_else=True)
        with ir.InsertionPoint(branch.then_block):
            scf.yield_([read()])
        with ir.InsertionPoint(branch.else_block):
            scf.yield_([self.spread(pad_value(op))])
        return branch.results[0]

    def _has_vectors_of(self, element: ir.Type) -> bool:
        return bool(self.lanes) and (not isinstance(element, ir.IntegerType) or element.width >= 8)

    def _read_padded_vector(self, op: ir.Operation, inner: Sequence[Place], conditions: Sequence[ir.Value]) -> ir.Value:
        """Lanes along a padded dim: those inside are loaded, the others are the padding."""
        source = op.operands[0]

        def read() -> ir.Value:
            kind = ir.VectorType.get([self.lanes], ir.IndexType.get())
            numbers = [ir.IntegerAttr.get(ir.IndexType.get(), lane) for lane in range(self.lanes)]
            base = vector.broadcast(kind, value(inner[-1].base))
            places = arith.addi(base, arith.constant(kind, ir.DenseElementsAttr.get(numbers, kind)))
            size = vector.broadcast(kind, value(extent(source, len(inner) - 1)))
            inside = arith.cmpi(arith.CmpIPredicate.ult, places, size)
            exists = inside if self.mask is None else arith.andi(inside, self.mask)
            return arith.select(inside, replace(self, mask=exists).read(source, inner), self.spread(pad_value(op)))

        return self._where(conditions, op, read)

    def _compute(self, op: ir.Operation, places: Sequence[Place], result: int) -> ir.Value:
        maps = structured_ops.indexing_maps(op)
        count = structured_ops.segment_sizes(op)[0]
        loops = {
            expr.position: place
            for expr, place in zip(maps[count + result].results, places, strict=True)
            if isinstance(expr, ir.AffineDimExpr)
        }
        block = structured_ops.body(op)
        arguments: list[ir.Value | None] = []
        for operand, indexing, argument in zip(op.operands, maps, block.arguments, strict=True):
            if not list(argument.uses):
                arguments.append(None)
            elif _is_tensor(operand):
                arguments.append(self.read(operand, [evaluate(e, loops, {}) for e in indexing.results]))
            else:
                arguments.append(self.spread(operand))
        return self.clone_body(block, arguments, loops)[result]

    def clone_body(
        self, block: ir.Block, arguments: Sequence[ir.Value | None], loops: Mapping[int, Place]
    ) -> list[ir.Value]:
        """The ops of a scalar body on elements; returns what it yields."""
        values: dict[ir.Value, ir.Value] = {
            a: v for a, v in zip(block.arguments, arguments, strict=True) if v is not None
        }
        for op in [inner.operation for inner in block.operations][:-1]:
            values.update(zip(op.results, self.clone_scalar_op(op, values, loops), strict=True))
        return [self._mapped(v, values) for v in list(block.operations)[-1].operation.operands]

    def clone_scalar_op(
        self, op: ir.Operation, values: Mapping[ir.Value, ir.Value], loops: Mapping[int, Place]
    ) -> list[ir.Value]:
        """One op of a scalar body on elements."""
        if op.name == "linalg.index":
            place = loops[ir.IntegerAttr(op.attributes["dim"]).value]
            return [self.lane_numbers(place)]
        if op.name == "arith.constant":
            return [self.spread(arith.constant(op.results[0].type, op.attributes["value"], loc=op.location))]
        clone = ir.Operation.create(
            op.name,
            results=[self.type_of(r.type) for r in op.results],
            operands=[self._mapped(v, values) for v in op.operands],
            attributes={named.name: named.attr for named in _attributes(op)},
            loc=op.location,
        )
        return list(clone.results)

    def _mapped(self, v: ir.Value, values: Mapping[ir.Value, ir.Value]) -> ir.Value:
        return values[v] if v in values else self.spread(v)

    def lane_numbers(self, place: Place) -> ir.Value:
        """The index of every lane."""
        base = self.spread(value(place.base))
        if not self.lanes or not place.step:
            return base
        kind = ir.VectorType.get([self.lanes], ir.IndexType.get())
        numbers = [ir.IntegerAttr.get(ir.IndexType.get(), lane * place.step) for lane in range(self.lanes)]
        return arith.addi(base, arith.constant(kind, ir.DenseElementsAttr.get(numbers, kind)))


def _is_buffer(tensor_value: ir.Value) -> bool:
    return (
        not isinstance(tensor_value.owner, ir.Block) and tensor_value.owner.operation.name == "bufferization.to_tensor"
    )


def extent(tensor_value: ir.Value, dim: int) -> Index:
    """The extent of one dim of a tensor."""
    kind = ir.RankedTensorType(tensor_value.type)
    if not kind.is_dynamic_dim(dim):
        return kind.get_dim_size(dim)
    return tensor.dim(tensor_value, value(dim))


def pad_amounts(op: ir.Operation) -> tuple[list[Index], list[Index]]:
    """What a `tensor.pad` adds before and after every dim."""
    segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    operands = list(op.operands)
    low = _mixed(op.attributes["static_low"], operands[1 : 1 + segments[1]])
    high = _mixed(op.attributes["static_high"], operands[1 + segments[1] :])
    return low, high


def pad_value(op: ir.Operation) -> ir.Value:
    """The scalar that a `tensor.pad` pads with, at the current insertion point."""
    padding = _pad_value(op)
    assert padding is not None, "is_readable was not asked"
    if isinstance(padding.owner, ir.Block) or padding.owner.operation.block != op.regions[0].blocks[0]:
        return padding
    return padding.owner.operation.clone().results[0]


def _mixed(static: ir.Attribute, dynamic: Sequence[ir.Value]) -> list[Index]:
    values = iter(dynamic)
    return [next(values) if s == structured_ops.DYNAMIC else s for s in ir.DenseI64ArrayAttr(static)]


def _sliced(op: ir.Operation, places: Sequence[Place]) -> list[Place]:
    segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    operands = list(op.operands)
    offsets = _mixed(op.attributes["static_offsets"], operands[1 : 1 + segments[1]])
    start = 1 + segments[1] + segments[2]
    strides = _mixed(op.attributes["static_strides"], operands[start:])
    sizes = list(ir.DenseI64ArrayAttr(op.attributes["static_sizes"]))
    shape = ir.RankedTensorType(op.results[0].type).shape
    kept = _kept_dims(sizes, shape)
    inner: list[Place] = []
    for d, (offset, stride) in enumerate(zip(offsets, strides, strict=True)):
        place = places[kept.index(d)] if d in kept else Place(0)
        if place.step and not isinstance(stride, int):
            raise ValueError("a slice with a dynamic stride along lanes")
        step = place.step * stride if isinstance(stride, int) else 0
        inner.append(Place(add(offset, mul(place.base, stride)), step))
    return inner


def _kept_dims(sizes: Sequence[int], shape: Sequence[int]) -> list[int]:
    """The dims of a slice that its result has; unit dims are dropped as early as the shape allows."""
    kept: list[int] = []
    position = len(sizes) - 1
    for size in reversed(shape):
        while sizes[position] != size:
            position -= 1
        kept.insert(0, position)
        position -= 1
    return kept


def _groups(op: ir.Operation) -> list[list[int]]:
    return [[ir.IntegerAttr(i).value for i in ir.ArrayAttr(g)] for g in ir.ArrayAttr(op.attributes["reassociation"])]


def _join(op: ir.Operation, places: Sequence[Place]) -> list[Place]:
    """The place in the source of an expand_shape."""
    result = op.results[0]
    joined: list[Place] = []
    for group in _groups(op):
        base: Index = 0
        step = 0
        for d in group:
            size = extent(result, d) if d != group[0] else 0
            base = add(mul(base, size), places[d].base)
            if step and not isinstance(size, int):
                raise ValueError("an expanded shape with a dynamic extent along lanes")
            step = step * size + places[d].step if isinstance(size, int) else places[d].step
        joined.append(Place(base, step))
    return joined


def _as_scalar(scalar: ir.Value, element: ir.Type) -> ir.Value:
    if scalar.type != element:
        raise ValueError(f"a fill of {element} with {scalar.type}")
    return scalar


def _attributes(op: ir.Operation) -> list[ir.NamedAttribute]:
    return [op.attributes[i] for i in range(len(op.attributes))]


def _element(tensor_value: ir.Value) -> ir.Type:
    return ir.RankedTensorType(tensor_value.type).element_type


def _is_integer(tensor_value: ir.Value) -> bool:
    return isinstance(_element(tensor_value), ir.IntegerType | ir.IndexType)

"""Arithmetic on sizes and other numbers that only a run knows: what graphs do with `operator.add`, `torch.sym_max`, ….

Integers are `Dim`s, so that shape arithmetic happens while compiling; floats and booleans are tensors of rank 0.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mlirage.importers.pytorch_ops.registry import Number, RuntimeNumber, as_tensor
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Sym, dims
from mlirage.input.builders import scalar as s

_Function = Callable[..., Any]


def _is_integer(x: Any) -> bool:
    return isinstance(x, int | Sym) and not isinstance(x, bool)


def _known(*operands: Any) -> bool:
    return not any(isinstance(x, Sym | RuntimeNumber) for x in operands)


def _calculated(body: Callable[..., Scalar], kind: type, *operands: Number) -> RuntimeNumber:
    """`body` of numbers as f64 (or as booleans, where all are), at run time."""
    boolean = all(isinstance(x, bool) or (isinstance(x, RuntimeNumber) and x.kind is bool) for x in operands)
    dtype = b.BOOL if boolean else b.FLOAT64
    result = b.BOOL if kind is bool else b.FLOAT64
    return RuntimeNumber(b.map_(body, *(as_tensor(x, dtype) for x in operands), dtype=result), kind)


def _arithmetic(python: _Function, body: Callable[..., Scalar], on_dims: _Function | None) -> _Function:
    def function(*operands: Any) -> Any:
        if _known(*operands):
            return python(*operands)
        if on_dims is not None and all(map(_is_integer, operands)):
            return on_dims(*operands)
        return _calculated(body, float, *operands)

    return function


def _comparison(python: _Function, body: Callable[[Scalar, Scalar], Scalar]) -> _Function:
    def function(left: Any, right: Any) -> Any:
        if _known(left, right):
            return python(left, right)
        if _is_integer(left) and _is_integer(right):
            difference = dims.known_difference(left, right)
            if difference is not None:
                return python(difference, 0)
            pair = as_tensor(left, b.INT64), as_tensor(right, b.INT64)
            return RuntimeNumber(b.map_(body, *pair, dtype=b.BOOL), bool)
        return _calculated(body, bool, left, right)

    return function


def _rounded(python: _Function, body: Callable[[Scalar], Scalar]) -> _Function:
    """A float rounded to an integer."""

    def function(x: Any) -> Any:
        if _known(x):
            return python(x)
        if isinstance(x, Sym):
            return x
        rounded = b.map_(lambda a: s.cast(body(a), b.INT64), as_tensor(x, b.FLOAT64), dtype=b.INT64)
        return rounded.dims()[0]

    return function


def _to_float(x: Any) -> Any:
    return float(x) if _known(x) else RuntimeNumber(as_tensor(x, b.FLOAT64), float)


def _to_integer(x: Any) -> Any:
    return _rounded(int, s.trunc)(x)


def _not(x: Any) -> Any:
    return not x if _known(x) else _calculated(lambda a: ~a, bool, x)


def _select(condition: Any, x: Any, y: Any) -> Any:
    if _known(condition):
        return x if condition else y
    if _is_integer(x) and _is_integer(y):
        chosen = b.where(condition.tensor, as_tensor(x, b.INT64), as_tensor(y, b.INT64))
        return chosen.dims()[0]
    return RuntimeNumber(b.where(condition.tensor, as_tensor(x, b.FLOAT64), as_tensor(y, b.FLOAT64)), float)


def _logic(python: _Function, body: Callable[[Scalar, Scalar], Scalar]) -> _Function:
    def function(left: Any, right: Any) -> Any:
        return python(left, right) if _known(left, right) else _calculated(body, bool, left, right)

    return function


def _sum(terms: Any) -> Any:
    total: Any = 0
    for term in terms:
        total = _add(total, term)
    return total


def _get(values: Any, place: Any) -> Any:
    return values[place]


def _power(x: Any, y: Any) -> Any:
    if _known(x, y):
        return x**y
    if isinstance(x, Sym) and isinstance(y, int) and y >= 0:
        return dims.product([x] * y)
    return _calculated(s.power, float, x, y)


def _float_floordiv(x: Scalar, y: Scalar) -> Scalar:
    return s.floor(x / y)


def _float_mod(x: Scalar, y: Scalar) -> Scalar:
    return x - s.floor(x / y) * y


_add = _arithmetic(operator.add, lambda x, y: x + y, operator.add)
_FUNCTIONS: dict[Any, _Function] = {
    operator.getitem: _get,
    operator.add: _add,
    operator.sub: _arithmetic(operator.sub, lambda x, y: x - y, operator.sub),
    operator.mul: _arithmetic(operator.mul, lambda x, y: x * y, operator.mul),
    operator.neg: _arithmetic(operator.neg, lambda x: -x, operator.neg),
    operator.floordiv: _arithmetic(operator.floordiv, _float_floordiv, operator.floordiv),
    operator.mod: _arithmetic(operator.mod, _float_mod, operator.mod),
    operator.truediv: _arithmetic(operator.truediv, lambda x, y: x / y, None),
    operator.pow: _power,
    operator.eq: _comparison(operator.eq, lambda x, y: x.eq(y)),
    operator.ne: _comparison(operator.ne, lambda x, y: x.ne(y)),
    operator.lt: _comparison(operator.lt, lambda x, y: x < y),
    operator.le: _comparison(operator.le, lambda x, y: x <= y),
    operator.gt: _comparison(operator.gt, lambda x, y: x > y),
    operator.ge: _comparison(operator.ge, lambda x, y: x >= y),
    operator.and_: _logic(operator.and_, lambda x, y: x & y),
    operator.or_: _logic(operator.or_, lambda x, y: x | y),
    operator.not_: _not,
    math.floor: _rounded(math.floor, s.floor),
    math.ceil: _rounded(math.ceil, s.ceil),
    math.trunc: _to_integer,
    int: _to_integer,
    float: _to_float,
    max: _arithmetic(max, s.maximum, dims.maximum),
    min: _arithmetic(min, s.minimum, dims.minimum),
    round: _rounded(round, s.round_even),
    torch.sym_int: _to_integer,
    torch.sym_float: _to_float,
    torch.sym_max: _arithmetic(max, s.maximum, dims.maximum),
    torch.sym_min: _arithmetic(min, s.minimum, dims.minimum),
    torch.sym_not: _not,
    torch.sym_ite: _select,
    torch.sym_sum: _sum,
    torch._sym_sqrt: _arithmetic(math.sqrt, s.sqrt, None),  # pyright: ignore[reportAttributeAccessIssue]
}


def symbol_function(target: Any) -> _Function | None:
    """The function for a target that is no operator of PyTorch; None if there is none."""
    try:
        return _FUNCTIONS.get(target)
    except TypeError:  # not hashable
        return None


def evaluate(expression: Any, symbols: dict[Any, b.Dim]) -> b.Dim | None:
    """A size of PyTorch's (an int, a SymInt) as a `Dim`, where all its symbols are known."""
    if isinstance(expression, int):
        return expression
    formula = expression.node.expr
    if formula.is_integer and formula.is_number:
        return int(formula)
    if not formula.free_symbols <= set(symbols):
        return None
    result = _polynomial(formula, symbols)
    return int(result) if isinstance(result, np.integer) else result


def _polynomial(formula: Any, symbols: dict[Any, b.Dim]) -> Any:
    if formula.is_Symbol:
        return symbols[formula]
    if formula.is_Integer:
        return int(formula)
    parts = [_polynomial(part, symbols) for part in formula.args]
    if any(part is None for part in parts):
        return None
    if formula.is_Add:
        return sum(parts[1:], parts[0])
    if formula.is_Mul:
        return dims.product(parts)
    name = type(formula).__name__
    if formula.is_Pow or name == "PowByNatural":
        return dims.product([parts[0]] * parts[1]) if isinstance(parts[1], int) and parts[1] >= 0 else None
    if name in ("FloorDiv", "CleanDiv"):
        return parts[0] // parts[1]
    if name in ("Mod", "PythonMod"):
        return parts[0] % parts[1]
    if name == "Max":
        return dims.maximum(parts[0], parts[1]) if len(parts) == 2 else None
    return dims.minimum(parts[0], parts[1]) if name == "Min" and len(parts) == 2 else None

"""Tensor builders: numpy-like functions that make linalg, tensor, arith and math IR for importers.

    with builder.active():
        y = maximum(add(matmul(x, w), b), Tensor.of(0.0, x.dtype))

They take and return `Tensor`s of static rank and any mix of static and dynamic extents (`dims.Dim`), calculate shape
arithmetic at compile time, and put IR at the current MLIR insertion point and location.
"""

from mlirage.input.builders.contraction import einsum, matmul
from mlirage.input.builders.convolution import conv, conv_transpose, window_extent
from mlirage.input.builders.dims import Dim, Sym, product
from mlirage.input.builders.element_types import (
    BFLOAT16,
    BOOL,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INDEX,
    INT8,
    INT32,
    INT64,
    UINT8,
    DType,
    bit_width,
    compute_dtype,
    element_type,
    integer_range,
    is_complex,
    is_float,
    is_integer,
    is_signed,
    is_small_float,
    is_unsigned,
)
from mlirage.input.builders.elementwise import (
    add,
    broadcast_shapes,
    cast,
    divide,
    equal,
    fill,
    folding,
    generic,
    less,
    less_equal,
    map_,
    maximum,
    minimum,
    multiply,
    subtract,
    tabulate,
    where,
)
from mlirage.input.builders.indexing import checked_index, gather, gather_elements, gather_nd
from mlirage.input.builders.movement import (
    broadcast_to,
    concatenate,
    dim_scalar,
    expand,
    flatten,
    insert_slice,
    normalize_axis,
    pad,
    pad_by_position,
    remap,
    reshape,
    reverse,
    slice_,
    slice_axis,
    squeeze,
    tile,
    transpose,
    unsqueeze,
)
from mlirage.input.builders.normalization import log_softmax, moments, softmax
from mlirage.input.builders.pooling import average, pool, window_counts, windows
from mlirage.input.builders.reduction import (
    amax,
    amin,
    arg_extreme,
    count,
    divide_by_count,
    highest,
    lowest,
    mean,
    prod,
    reduce_,
    sum_,
)
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Shape, Tensor, TensorBuilder, empty, tensor_type

__all__ = [
    "BFLOAT16", "BOOL", "FLOAT16", "FLOAT32", "FLOAT64", "INDEX", "INT8", "INT32", "INT64", "UINT8", "DType", "Dim",
    "Scalar", "Shape", "Sym", "Tensor", "TensorBuilder", "add", "amax", "amin", "arg_extreme", "average", "bit_width",
    "broadcast_shapes", "broadcast_to", "cast", "checked_index", "compute_dtype", "concatenate", "conv",
    "conv_transpose", "count", "dim_scalar", "divide", "divide_by_count", "einsum", "element_type", "empty", "equal",
    "expand", "fill", "flatten", "folding", "gather", "gather_elements", "gather_nd", "generic", "highest",
    "insert_slice", "integer_range", "is_complex", "is_float", "is_integer", "is_signed", "is_small_float",
    "is_unsigned", "less", "less_equal", "log_softmax", "lowest", "map_", "matmul", "maximum", "mean", "minimum",
    "moments", "multiply", "normalize_axis", "pad", "pad_by_position", "pool", "prod", "product", "reduce_", "remap",
    "reshape", "reverse", "slice_", "slice_axis", "softmax", "squeeze", "subtract", "sum_", "tabulate", "tensor_type",
    "tile", "transpose", "unsqueeze", "where", "window_counts", "window_extent", "windows",
]  # fmt: skip

"""global optimization: whole-program rewrites on linalg before dispatches are formed."""

from mlirage.global_optimization.channels_last import channels_last
from mlirage.global_optimization.decompose_tensor_ops import decompose_tensor_ops
from mlirage.global_optimization.expand_batches import expand_batches
from mlirage.global_optimization.externalize_splats import externalize_splats
from mlirage.global_optimization.fold_empty_reshapes import fold_empty_reshapes
from mlirage.global_optimization.fold_scales import fold_scales
from mlirage.global_optimization.fold_transposes import fold_transposes
from mlirage.global_optimization.fuse_elementwise import fuse_elementwise
from mlirage.global_optimization.generalize_elementwise import generalize_elementwise
from mlirage.global_optimization.hoist_constants import hoist_constants
from mlirage.global_optimization.multiply_integers import multiply_integers
from mlirage.global_optimization.pack_weights import pack_weights
from mlirage.global_optimization.pool_integers import pool_integers
from mlirage.global_optimization.propagate_reshapes import propagate_reshapes
from mlirage.global_optimization.raise_attention import raise_attention
from mlirage.global_optimization.skip_empty_results import skip_empty_results
from mlirage.global_optimization.split_reductions import split_reductions
from mlirage.global_optimization.use_winograd import use_winograd
from mlirage.passes import Pass

PIPELINE: tuple[Pass, ...] = (
    "convert-elementwise-to-linalg",
    generalize_elementwise,
    "canonicalize",
    "cse",
    hoist_constants,
    fold_scales,
    pool_integers,
    channels_last,
    multiply_integers,
    decompose_tensor_ops,
    "canonicalize",
    "cse",
    hoist_constants,
    expand_batches,
    fold_transposes,
    "canonicalize",
    "cse",
    raise_attention,
    "canonicalize",
    propagate_reshapes,
    "canonicalize",
    "cse",
    fuse_elementwise,
    skip_empty_results,
    split_reductions,
    "canonicalize",
    "cse",
    fold_empty_reshapes,
    externalize_splats,
    use_winograd,
    pack_weights,
)

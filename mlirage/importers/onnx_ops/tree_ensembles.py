"""Decision trees of ai.onnx.ml: all rows walk all trees at once, one level per step.

The nodes of all trees are tables (feature, threshold, …, the two following nodes); a leaf follows itself. Walking gives
the leaf of every row in every tree, whose weights are then folded over the trees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlirage.importers.onnx_ops.post_transforms import class_labels, post_transform, two_scores
from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, loops
from mlirage.input.builders import scalar as s

_ML = "ai.onnx.ml"
_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
_LEAF = "LEAF"
_COMPARISONS: dict[str, Callable[[Scalar, Scalar], Scalar]] = {
    "BRANCH_LEQ": lambda x, t: x <= t,
    "BRANCH_LT": lambda x, t: x < t,
    "BRANCH_GTE": lambda x, t: x >= t,
    "BRANCH_GT": lambda x, t: x > t,
    "BRANCH_EQ": lambda x, t: x.eq(t),
    "BRANCH_NEQ": lambda x, t: x.ne(t),
}


@dataclass
class _Trees:
    """Nodes of all trees by number, and the roots.

    Attributes:
      feature, threshold, mode, missing: the test of a node; `missing`: whether NaN passes it.
      passed, failed: the following nodes; a leaf's are itself.
      roots: a node per tree.
      weights: (node, target, weight) of leaves.
    """

    feature: list[int] = field(default_factory=list[int])
    threshold: list[float] = field(default_factory=list[float])
    mode: list[str] = field(default_factory=list[str])
    missing: list[bool] = field(default_factory=list[bool])
    passed: list[int] = field(default_factory=list[int])
    failed: list[int] = field(default_factory=list[int])
    roots: list[int] = field(default_factory=list[int])
    weights: list[tuple[int, int, float]] = field(default_factory=list[tuple[int, int, float]])

    def add(self, feature: int, threshold: float, mode: str, missing: bool, passed: int = -1, failed: int = -1) -> int:
        """A node; a leaf follows itself."""
        number = len(self.mode)
        self.feature.append(feature)
        self.threshold.append(threshold)
        self.mode.append(mode)
        self.missing.append(missing)
        self.passed.append(number if mode == _LEAF else passed)
        self.failed.append(number if mode == _LEAF else failed)
        return number

    def depth(self) -> int:
        """The most steps from a root to a leaf.

        Raises:
          ValueError: nodes follow each other in a circle, or one that is not there.
        """
        level, steps = set(self.roots), 0
        while True:
            if any(not 0 <= node < len(self.mode) for node in level):
                raise ValueError("a node of the trees is followed by one that is not there")
            inner = [node for node in level if self.mode[node] != _LEAF]
            if not inner:
                return steps
            steps += 1
            if steps > len(self.mode):
                raise ValueError("the nodes of a tree follow each other in a circle")
            level = {following for node in inner for following in (self.passed[node], self.failed[node])}


def _leaves(x: Tensor, trees: _Trees) -> Tensor:
    """The leaf that each row of `x` comes to in each tree: [rows, trees], int64."""
    depth = trees.depth()
    most = max((f for f, mode in zip(trees.feature, trees.mode, strict=True) if mode != _LEAF), default=-1)
    if min(trees.feature, default=0) < 0:
        raise ValueError("a node tests a feature of negative number")
    b.TensorBuilder.current().require_at_least(x.shape[1], most + 1, "a tree tests a feature that the input lacks")
    modes = [mode for mode in dict.fromkeys(trees.mode) if mode != _LEAF]
    unknown = [mode for mode in modes if mode not in _COMPARISONS]
    if unknown:
        raise ValueError(f"nodes of mode {unknown[0]!r}; known are {', '.join(_COMPARISONS)}")
    integers = {
        name: Tensor.of(np.array(values, np.int64), name=name)
        for name, values in (
            ("feature", trees.feature),
            ("passed", trees.passed),
            ("failed", trees.failed),
            ("mode", [modes.index(mode) if mode != _LEAF else 0 for mode in trees.mode]),
            ("missing", trees.missing),
        )
    }
    thresholds = Tensor.of(np.array(trees.threshold, x.dtype), name="threshold")

    def step(node: Scalar) -> Scalar:
        place = [s.cast(node, b.INDEX)]
        threshold = s.read(thresholds, place)
        value = s.read(x, [s.index_of(0), s.cast(s.read(integers["feature"], place), b.INDEX)])
        holds = _COMPARISONS[modes[0]](value, threshold)
        for number, mode in enumerate(modes[1:], 1):
            holds = s.select(s.read(integers["mode"], place).eq(number), _COMPARISONS[mode](value, threshold), holds)
        # NaN fails every test but "is not equal to" unless the node says where it goes.
        if any(trees.missing):
            holds = holds | (s.is_nan(value) & s.read(integers["missing"], place).ne(0))
        return s.select(holds, s.read(integers["passed"], place), s.read(integers["failed"], place))

    start = b.broadcast_to(Tensor.of(np.array([trees.roots], np.int64)), (x.shape[0], len(trees.roots)))

    def body(_: Dim, nodes: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        return None, [b.map_(step, nodes[0])], []

    (leaves,), _ = loops.loop(depth, None, [start], body) if depth else ([start], [])
    return leaves


def _scores(x: Tensor, trees: _Trees, targets: int, aggregate: str) -> Tensor:
    """The weights of the leaves of each row, folded over the trees: [rows, targets]."""
    table = np.zeros((len(trees.mode), targets), x.dtype)
    there = np.zeros(table.shape, np.bool_)
    for node, target, weight in trees.weights:
        if not (0 <= target < targets and 0 <= node < len(trees.mode)):
            raise ValueError(f"a weight of node {node} for target {target} of {targets}")
        table[node, target] += weight
        there[node, target] = True
    if not trees.roots:
        return b.fill((x.shape[0], targets), 0, x.dtype)
    leaves = b.unsqueeze(_leaves(x, trees), [2])
    shape = (x.shape[0], len(trees.roots), targets)
    weights, mask = Tensor.of(table, name="weights"), Tensor.of(there, name="has_weight")

    def fold(total: Scalar, node: Scalar) -> Scalar:
        place = [s.cast(node, b.INDEX), s.index_of(2)]
        weight = s.read(weights, place)
        if aggregate in ("SUM", "AVERAGE"):
            return total + weight
        better = s.minimum(total, weight) if aggregate == "MIN" else s.maximum(total, weight)
        return s.select(s.read(mask, place), better, total)

    limits = np.finfo(x.dtype)
    starts = {"SUM": 0.0, "AVERAGE": 0.0, "MIN": float(limits.max), "MAX": float(limits.min)}
    if aggregate not in starts:
        raise ValueError(f"aggregate_function is {aggregate!r}")
    result = b.reduce_(fold, starts[aggregate], [leaves], [1], x.dtype, shape=shape)
    return b.map_(lambda a: a / float(len(trees.roots)), result) if aggregate == "AVERAGE" else result


def _floats(node: Node, name: str) -> list[float] | None:
    """An attribute that is a list of floats or, since opset 3, a tensor (`…_as_tensor`)."""
    if f"{name}_as_tensor" in node.attributes:
        return np.asarray(node.get(f"{name}_as_tensor")).reshape(-1).tolist()
    return node.get(name)


def _listed_trees(node: Node, role: str) -> _Trees:
    """The trees of TreeEnsembleClassifier and -Regressor: nodes named by (tree, number)."""
    trees = _Trees()
    names = list(zip(node.require("nodes_treeids"), node.require("nodes_nodeids"), strict=True))
    number = {name: i for i, name in enumerate(names)}
    if len(number) != len(names):
        raise ValueError("two nodes have the same tree and number")
    count = len(names)
    modes, features = node.require("nodes_modes"), node.get("nodes_featureids", [0] * count)
    values = _floats(node, "nodes_values") or [0.0] * count
    missing = node.get("nodes_missing_value_tracks_true") or [0] * count
    passed, failed = node.require("nodes_truenodeids"), node.require("nodes_falsenodeids")
    if any(len(column) != count for column in (modes, features, values, missing, passed, failed)):
        raise ValueError("the attributes of the nodes are of different lengths")
    for i, (tree, _) in enumerate(names):
        inner = modes[i] != _LEAF
        follow = [number.get((tree, following), -1) if inner else i for following in (passed[i], failed[i])]
        trees.add(features[i] if inner else 0, values[i], modes[i], bool(missing[i]), *follow)
    seen: dict[int, int] = {}
    for i, (tree, _) in enumerate(names):
        seen.setdefault(tree, i)
    trees.roots = [seen[tree] for tree in sorted(seen)]
    ids, weights = node.require(f"{role}_ids"), _floats(node, f"{role}_weights") or []
    owners = zip(node.require(f"{role}_treeids"), node.require(f"{role}_nodeids"), strict=True)
    for owner, target, weight in zip(owners, ids, weights, strict=True):
        if owner not in number:
            raise ValueError(f"a weight of node {owner[1]} of tree {owner[0]}, which is not there")
        trees.weights.append((number[owner], target, weight))
    return trees


def _input(x: Tensor) -> Tensor:
    """The input as rows of f32 or f64."""
    x = x if x.dtype == b.FLOAT64 else b.cast(x, b.FLOAT32)
    return b.unsqueeze(x, [0]) if x.rank == 1 else x


@onnx_op(_ML)
def TreeEnsembleRegressor(node: Node, x: Tensor) -> Tensor:
    trees, x = _listed_trees(node, "target"), _input(x)
    scores = _scores(x, trees, node.require("n_targets"), node.get("aggregate_function", "SUM"))
    base = _floats(node, "base_values")
    if base:
        scores = b.add(scores, Tensor.of(np.array(base, x.dtype)))
    return b.cast(post_transform(scores, node.get("post_transform", "NONE")), b.FLOAT32)


@onnx_op(_ML)
def TreeEnsembleClassifier(node: Node, x: Tensor) -> Any:
    """Labels and scores; with weights for one class only, the other's score is what is left."""
    trees, x = _listed_trees(node, "class"), _input(x)
    labels = node.get("classlabels_int64s") or node.get("classlabels_strings") or []
    transform = node.get("post_transform", "NONE")
    base = _floats(node, "base_values")
    classes = max(len(labels), 1)
    if classes == 2 and len({target for _, target, _ in trees.weights}) == 1:
        trees.weights = [(leaf, 0, weight) for leaf, _, weight in trees.weights]
        score = _scores(x, trees, 1, "SUM")
        if base:
            score = b.add(score, Tensor.of(np.array(base[-1:], x.dtype)))
        positive = all(weight >= 0 for _, _, weight in trees.weights)
        return _binary(score, labels, transform, positive)
    if classes == 1:
        raise NotImplementedError("a classifier with one class: use a TreeEnsembleRegressor")
    scores = _scores(x, trees, classes, "SUM")
    if base:
        scores = b.add(scores, Tensor.of(np.array(base, x.dtype)))
    chosen = b.arg_extreme(scores, 1, largest=True, last=False, keepdims=False)
    return class_labels(chosen, labels), b.cast(post_transform(scores, transform), b.FLOAT32)


def _binary(score: Tensor, labels: Sequence[Any], transform: str, positive: bool) -> Any:
    """From one score: weights that are all positive make a probability, others a distance from the boundary."""
    threshold = 0.5 if positive else 0.0
    chosen = b.cast(b.map_(lambda a: a > threshold, b.squeeze(score, [1]), dtype=b.BOOL), b.INT64)
    return class_labels(chosen, labels), b.cast(two_scores(score, transform, from_one=positive), b.FLOAT32)


@onnx_op(_ML)
def TreeEnsemble(node: Node, x: Tensor) -> Tensor:
    """Leaves have tables of their own; a test of membership is a chain of tests of equality."""
    trees = _Trees()
    modes = [_MODES[int(m)] for m in np.asarray(node.require("nodes_modes")).reshape(-1)]
    splits = np.asarray(node.require("nodes_splits")).reshape(-1).tolist()
    features = node.require("nodes_featureids")
    missing = node.get("nodes_missing_value_tracks_true") or [0] * len(modes)
    passed, failed = node.require("nodes_truenodeids"), node.require("nodes_falsenodeids")
    passed_leaf, failed_leaf = node.require("nodes_trueleafs"), node.require("nodes_falseleafs")
    leaf_weights = np.asarray(node.require("leaf_weights")).reshape(-1).tolist()
    columns = (splits, features, missing, passed, failed, passed_leaf, failed_leaf)
    if any(len(column) != len(modes) for column in columns):
        raise ValueError("the attributes of the nodes are of different lengths")
    members = _member_sets(node, modes)
    # Nodes first, in order, so that their numbers are those of the model; the leaves follow.
    for mode, split, feature, goes in zip(modes, splits, features, missing, strict=True):
        trees.add(feature, split, "BRANCH_EQ" if mode == _MODES[6] else mode, bool(goes))
    first_leaf = len(modes)
    for number, (target, weight) in enumerate(zip(node.require("leaf_targetids"), leaf_weights, strict=True)):
        trees.weights.append((trees.add(0, 0.0, _LEAF, False), target, weight))
        assert trees.weights[-1][0] == first_leaf + number
    for i in range(len(modes)):
        trees.passed[i] = passed[i] + (first_leaf if passed_leaf[i] else 0)
        trees.failed[i] = failed[i] + (first_leaf if failed_leaf[i] else 0)
        if i in members:
            _chain(trees, i, members[i])
    for root in node.require("tree_roots"):
        is_leaf = passed_leaf[root] and failed_leaf[root] and passed[root] == failed[root]
        trees.roots.append(passed[root] + first_leaf if is_leaf else root)
    x = _input(x)
    aggregate = ("AVERAGE", "SUM", "MIN", "MAX")[node.get("aggregate_function", 1)]
    scores = _scores(x, trees, node.require("n_targets"), aggregate)
    return post_transform(
        scores, ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")[node.get("post_transform", 0)]
    )


def _member_sets(node: Node, modes: Sequence[str]) -> dict[int, list[float]]:
    """The sets of the nodes that test membership: the values between NaNs, in the order of the nodes."""
    wanted = [i for i, mode in enumerate(modes) if mode == _MODES[6]]
    values = np.asarray(node.get("membership_values", np.empty(0))).reshape(-1).tolist()
    sets: list[list[float]] = [[]]
    for value in values:
        if np.isnan(value):
            sets.append([])
        else:
            sets[-1].append(value)
    if len(sets) - 1 != len(wanted):
        raise ValueError(f"{len(wanted)} nodes test membership, membership_values has {len(sets) - 1} sets")
    return dict(zip(wanted, sets, strict=False))


def _chain(trees: _Trees, node: int, members: Sequence[float]) -> None:
    """Makes `node`, a test of equality, one of membership: every further member is a node that follows a failure."""
    if not members:
        if trees.missing[node]:
            trees.threshold[node] = np.nan  # only a NaN passes
        else:
            trees.passed[node] = trees.failed[node]
        return
    trees.threshold[node] = members[0]
    last = node
    for member in members[1:]:
        following = trees.add(trees.feature[node], member, "BRANCH_EQ", trees.missing[node], trees.passed[node])
        trees.failed[following], trees.failed[last] = trees.failed[last], following
        last = following

"""TensorFlow's own lowering cannot end the user's process, and errors say whose fault they are."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf: Any = pytest.importorskip("tensorflow", reason="TensorFlow models need tensorflow")

import mlirage  # noqa: E402  (after TensorFlow's absence is known)
from mlirage.errors import ImportFailure  # noqa: E402
from mlirage.importers import Model, import_source, tensorflow_worker  # noqa: E402
from mlirage.importers.tensorflow_export import export_object  # noqa: E402
from mlirage.importers.tensorflow_locations import node_of, plain_locations  # noqa: E402
from mlirage.importers.tensorflow_ops import registry  # noqa: E402
from mlirage.importers.tensorflow_worker import Worker  # noqa: E402
from mlirage.options import CompileOptions  # noqa: E402

LITE: dict[str, Any] = {"jobs": 1, "cache_dir": "off"}


def _compile(function: Any, *specs: Any) -> Any:
    return mlirage.compile(tf.function(function, autograph=False), example_inputs=specs, **LITE)


# What serves as a worker: TensorFlow's lowering gets every operation, those that it cannot take too.
_CARELESS = """
from mlirage.importers import tensorflow_calls, tensorflow_worker
tensorflow_calls.hand_through = lambda text, names: text
tensorflow_worker.main()
"""


def test_lowering_that_ends_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow's lowering aborts at tf.unstack of open extents, were it not handed through as a call."""
    worker = Worker(("-c", _CARELESS))
    monkeypatch.setattr("mlirage.importers.tensorflow.WORKER", worker)
    try:
        with pytest.raises(ImportFailure, match=r"(?s)main.*ended its process \(SIG.*fault is TensorFlow's"):
            _compile(lambda x: tf.unstack(x, num=3, axis=1), tf.TensorSpec((None, 3), tf.float32))
        x = np.ones((2, 3), np.float32)  # the next compilation gets a process of its own
        session = mlirage.load(_compile(lambda x: x + 1.0, tf.TensorSpec((None, 3), tf.float32)), device="local-sync")
        np.testing.assert_array_equal(session(x), x + 1)
    finally:
        worker.close()


def test_process_that_ended_while_idle() -> None:
    """A worker that is gone is started again."""
    (function,) = export_object(tf.function(lambda x: x * 2.0), (tf.TensorSpec((2,), tf.float32),), {}).functions
    worker = Worker()
    try:
        assert "stablehlo" in worker.lower([function.graph])[0]
        process = worker._process  # pyright: ignore[reportPrivateUsage]
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert "stablehlo" in worker.lower([function.graph])[0]
    finally:
        worker.close()


def test_all_unsupported_operations_at_once() -> None:
    """With the nodes where they are, and why."""

    def function(x: Any) -> Any:
        y = tf.linalg.logm(tf.cast(x, tf.complex64), name="first")
        z = tf.ensure_shape(tf.numpy_function(lambda v: v, [x], tf.float32, name="python"), (3, 3))
        word = tf.strings.as_string(x, name="word")
        length = tf.cast(tf.strings.length(word, name="length"), tf.float32)
        return tf.math.real(y) + z + length, tf.linalg.sqrtm(x, name="root")

    with pytest.raises(ImportFailure) as caught:
        _compile(function, tf.TensorSpec((3, 3), tf.float32))
    text = str(caught.value)
    for part in ("'first'", "tf.MatrixSquareRoot at 'root'", "calls back into Python", "'word'", "works on strings"):
        assert part in text, text


def test_hash_tables_are_refused() -> None:
    """By what they are."""
    keys, values = tf.constant([1, 2], tf.int64), tf.constant([3.0, 4.0])
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1.0)
    with pytest.raises(ImportFailure, match="table"):
        _compile(lambda x: table.lookup(x), tf.TensorSpec((3,), tf.int64))


def test_own_faults_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A KeyError of ours is no missing operation."""

    def broken(*_: Any) -> Any:
        raise KeyError("somewhere")

    monkeypatch.setitem(registry.operations(), "Dawsn", broken)
    with pytest.raises(ImportFailure, match=r"internal error at node 'mine' \(tf.Dawsn.*KeyError.*report"):
        _compile(lambda x: tf.raw_ops.Dawsn(x=x, name="mine"), tf.TensorSpec((3,), tf.float32))


def test_locations_are_names_of_nodes() -> None:
    """Through fused and call-site locations."""
    text = (
        'op loc(#loc9)\n#loc3 = loc("MatMul:")\n#loc4 = loc("dense/MatMul@__inference_f")\n#loc7 = loc("While:")\n'
        "#loc8 = loc(fused[#loc3, #loc4])\n#loc9 = loc(callsite(#loc8 at #loc7))\n#loc2 = loc(unknown)"
    )
    plain = plain_locations(text)
    assert '#loc9 = loc("dense/MatMul")' in plain
    assert '#loc8 = loc("dense/MatMul")' in plain
    assert "#loc3 = loc(unknown)" in plain
    assert node_of('error: loc(callsite(fused["MatMul:", "a/b@f"] at fused["While:", "w@g"])): wrong') == "a/b"
    assert node_of("error: nowhere") == ""


def test_operations_have_the_names_of_nodes() -> None:
    """After the import, whatever TensorFlow's passes inlined or took apart."""
    traced = tf.function(lambda x: tf.nn.softmax(tf.matmul(x, x, name="product"), name="shares"))
    model = Model(traced, (tf.TensorSpec((4, 4), tf.float32),))
    program = import_source(model, CompileOptions())
    text = program.module.operation.get_asm(enable_debug_info=True)
    assert 'loc("product")' in text
    assert 'loc("shares")' in text


def test_idle_time_is_bounded() -> None:
    """Nobody keeps TensorFlow in memory for long."""
    assert 0 < tensorflow_worker._IDLE <= 300  # pyright: ignore[reportPrivateUsage]

"""JAX sources: functions, exports, their bytes and files; mlirage.jit on pytrees, static arguments, keys, donation."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlirage
from mlirage.errors import ImportFailure, UsageError

jax = pytest.importorskip("jax", reason="needs the extra [jax]")
jnp, export = jax.numpy, pytest.importorskip("jax.export")
Spec = jax.ShapeDtypeStruct
X = np.arange(12, dtype=np.float32).reshape(3, 4)


def load(*arguments: Any, **options: Any) -> Any:
    return mlirage.load(mlirage.compile(*arguments, **options), device="local-sync")


def test_trees_names_and_unused_arguments() -> None:
    def f(x: Any, unused: Any, *, k: Any) -> Any:
        return {"b": (x * k, None), "a": [x.sum()]}

    run = load(f, [X, np.zeros(2, np.uint8)], {"k": Spec((), np.float32)})
    result = run(X, np.zeros(2, np.uint8), k=np.float32(2))
    assert set(result) == {"a", "b"}
    assert result["b"][1] is None
    np.testing.assert_array_equal(result["b"][0], X * 2)
    assert [str(a) for a in run.signatures["main"].arguments] == [
        "args[0]: float32[3, 4]", "args[1]: uint8[2]", "kwargs['k']: float32[]"
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["object", "bytes", "file"])
def test_exports_with_symbolic_shapes(form: str, tmp_path: Path) -> None:
    (b,) = export.symbolic_shape("b")
    exported = export.export(jax.jit(lambda x, y: jnp.pad(x @ y, ((1, 1), (0, 0)))))(
        Spec((b, 4), np.float32), Spec((4, 3), np.float32)
    )
    source: Any = exported
    if form != "object":
        source = bytes(exported.serialize())
    if form == "file":
        (tmp_path / "f.jax").write_bytes(source)
        source = tmp_path / "f.jax"
    run = load(source)
    assert run.signatures["main"].arguments[0].shape == ("b", 4)
    for extent in (1, 2, 7):
        x, y = np.ones((extent, 4), np.float32), X.reshape(4, 3)
        np.testing.assert_allclose(run(x, y), np.pad(x @ y, ((1, 1), (0, 0))))


def test_several_platforms() -> None:
    def f(x: Any) -> Any:
        return jax.lax.platform_dependent(x, cpu=lambda x: x + 1, cuda=lambda x: x + 2)

    exported = export.export(jax.jit(f), platforms=["cuda", "cpu"])(Spec((3,), np.float32))
    np.testing.assert_array_equal(load(exported)(np.ones(3, np.float32)), [2, 2, 2])


def test_shardings_are_ignored() -> None:
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("a",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("a"))

    def f(x: Any) -> Any:
        return jax.lax.with_sharding_constraint(x + 1, sharding)

    before = jax.config.jax_use_shardy_partitioner  # other tests may have changed it
    jax.config.update("jax_use_shardy_partitioner", True)
    try:
        exported = export.export(jax.jit(f))(Spec((3, 4), np.float32))
    finally:
        jax.config.update("jax_use_shardy_partitioner", before)
    assert b"sdy" in exported.mlir_module_serialized
    np.testing.assert_array_equal(load(exported)(X), X + 1)
    np.testing.assert_array_equal(load(f, [X])(X), X + 1)


def test_errors() -> None:
    with pytest.raises(UsageError, match="traced with example inputs"):
        mlirage.compile(lambda x: x)
    with pytest.raises(ImportFailure, match=r"could not trace <lambda>: TypeError: cannot reshape"):
        mlirage.compile(lambda x: x.reshape(5), [jnp.ones(3)])
    exported = export.export(jax.jit(lambda x: x))(Spec((3,), np.float32))
    with pytest.raises(UsageError, match="say their inputs themselves"):
        mlirage.compile(exported, [X])
    damaged = bytes(exported.serialize())
    with pytest.raises(ImportFailure):
        mlirage.compile(damaged[: len(damaged) // 2])
    with pytest.raises(mlirage.CompileError, match=r'custom_call "lapack_sgeqp3_ffi" at geqp3'):
        mlirage.compile(lambda x: jax.scipy.linalg.qr(x, pivoting=True), [np.eye(3, dtype=np.float32)])


def test_shape_assertions_say_what_was_expected() -> None:
    (b,) = export.symbolic_shape("b", constraints=["b >= 4"])
    run = load(export.export(jax.jit(lambda x: x + 1))(Spec((b,), np.float32)))
    assert run(np.ones(4, np.float32)).shape == (4,)
    with pytest.raises(mlirage.DeviceError, match=r"do not match the symbolic shape constraint b >= 4"):
        run(np.ones(3, np.float32))


def test_jit_compiles_once_per_signature() -> None:
    @mlirage.jit
    def f(x: Any, y: Any, scale: Any = 2) -> Any:
        return {"s": x @ y * scale, "n": None}

    x, y = jnp.asarray(X), jnp.asarray(X.T)
    result = f(x, y)
    assert isinstance(result["s"], jax.Array)
    assert result["n"] is None
    np.testing.assert_allclose(result["s"], X @ X.T * 2)
    f(x, y)
    f(x, y, scale=3)  # a number given is an argument, not the default
    np.testing.assert_allclose(f(x, y, 4)["s"], X @ X.T * 4)
    assert len(f.modules) == 3
    assert jax.grad(lambda x: f(x, y)["s"].sum())(x).shape == x.shape  # inside of JAX's transformations: JAX


def test_jit_static_and_donated_arguments() -> None:
    @functools.partial(mlirage.jit, static_argnums=1, static_argnames="mode", donate_argnums=0)
    def f(x: Any, n: int, mode: str = "rows") -> Any:
        return x.reshape(n, -1) if mode == "rows" else x * n

    x = jnp.arange(6.0)
    assert f(x, 2).shape == (2, 3)
    assert x.is_deleted()
    assert f(jnp.arange(6.0), n=3).shape == (3, 2)
    np.testing.assert_array_equal(f(jnp.arange(6.0), 2, mode="times"), np.arange(6) * 2)
    with pytest.raises(UsageError, match="must be hashable"):
        f(jnp.arange(6.0), [1])
    with pytest.raises(UsageError, match="takes 1 arguments"):
        mlirage.jit(lambda x: x, static_argnums=4)
    with pytest.raises(UsageError, match="is no array"):
        f("x", 2)


def test_jit_keys_of_random_numbers() -> None:
    key = jax.random.key(3)
    split, numbers = mlirage.jit(lambda k: (jax.random.split(k), jax.random.normal(k, (5,))))(key)
    assert split.dtype == key.dtype
    assert jnp.array_equal(jax.random.key_data(split), jax.random.key_data(jax.random.split(key)))
    np.testing.assert_allclose(numbers, jax.random.normal(key, (5,)), rtol=1e-6)


def test_jit_does_not_copy_results() -> None:
    f = mlirage.jit(lambda x: x + 1)
    x = jnp.ones((64, 64))
    f(x)
    (module,) = f.modules
    raw = module(np.asarray(x))
    assert jax.device_put(raw[0], may_alias=True).unsafe_buffer_pointer() == raw[0].ctypes.data


def test_train_steps_have_jax_losses() -> None:
    eqx, optax = pytest.importorskip("equinox"), pytest.importorskip("optax")
    model = eqx.nn.MLP(3, 2, 8, 2, key=jax.random.PRNGKey(0))
    weights, rest = eqx.partition(model, eqx.is_array)
    optimizer = optax.adam(1e-2)
    x = jax.random.normal(jax.random.PRNGKey(1), (16, 3))
    y = jnp.stack([x.sum(1), x[:, 0] * x[:, 1]], 1)

    def step(weights: Any, state: Any) -> Any:
        def loss(weights: Any) -> Any:
            return jnp.mean((jax.vmap(eqx.combine(weights, rest))(x) - y) ** 2)

        value, gradient = jax.value_and_grad(loss)(weights)
        updates, state = optimizer.update(gradient, state, weights)
        return eqx.apply_updates(weights, updates), state, value

    ours, theirs = mlirage.jit(step, device="local-sync"), jax.jit(step)
    a = b = (weights, optimizer.init(weights))
    for _ in range(10):
        *a, loss = ours(*a)
        *b, wanted = theirs(*b)
        np.testing.assert_allclose(loss, wanted, rtol=2e-5)
    assert len(ours.modules) == 1

"""jit(): JAX functions compiled by mlirage instead of XLA, once per shapes and types of their arguments.

    step = mlirage.jit(train_step, donate_argnums=0)
    state, loss = step(state, batch)          # compiles at the first call; arrays in and out are JAX's

Every call flattens its arguments (any pytree), finds the module for their shapes, types and static values, and runs it
on the memory of the arrays themselves: nothing is copied on the way in or out.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np

from mlirage import compiler
from mlirage.errors import UsageError
from mlirage.importers.jax import is_key
from mlirage.runtime import LoadedModule, load

Names = str | Sequence[str]
Numbers = int | Sequence[int]


@overload
def jit(function: Callable[..., Any], **settings: Any) -> Jitted: ...
@overload
def jit(function: None = None, **settings: Any) -> Callable[[Callable[..., Any]], Jitted]: ...


def jit(function: Callable[..., Any] | None = None, **settings: Any) -> Any:
    """A function that runs `function`, written for JAX, as compiled modules.

    Args:
      function: what jax.jit takes; its effects happen while it is traced.
      settings: static_argnums, static_argnames: arguments that are part of the program, hashable; donate_argnums,
        donate_argnames: arguments that the caller gives away, their arrays are deleted by the call; device, threads:
        as for `mlirage.load`; anything else is an option of `mlirage.compile`.

    Raises (at calls):
      UsageError: arguments that are no arrays; ImportFailure, CompileError: the function cannot be compiled.
    """
    return functools.partial(jit, **settings) if function is None else Jitted(function, **settings)


class Jitted:
    """What `jit` returns. `modules` has the loaded module of each signature so far."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        static_argnums: Numbers = (),
        static_argnames: Names = (),
        donate_argnums: Numbers = (),
        donate_argnames: Names = (),
        device: Any = "local-task",
        threads: int | None = None,
        **options: Any,
    ) -> None:
        if not callable(function):
            raise UsageError(f"jit() takes a function, got {type(function).__name__}")
        functools.update_wrapper(self, function, updated=())
        self._function = function
        self._static = _Selection(function, static_argnums, static_argnames, "static")
        self._donated = _Selection(function, donate_argnums, donate_argnames, "donate")
        self._device, self._threads = device, threads
        self._options = options
        self._entries: dict[Any, _Entry] = {}
        self._lock = threading.Lock()

    @property
    def modules(self) -> tuple[LoadedModule, ...]:
        """The modules compiled so far, in order."""
        return tuple(entry.module for entry in self._entries.values())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        import jax
        from jax import core

        static, args_, kwargs_ = self._static.split(args, kwargs)
        leaves, tree = jax.tree.flatten((args_, kwargs_))
        if any(isinstance(leaf, core.Tracer) for leaf in leaves):  # inside of another transformation: part of it
            return self._function(*args, **kwargs)
        avals = tuple(_abstract(leaf) for leaf in leaves)
        key = (static, tree, avals, bool(jax.config.jax_enable_x64))  # pyright: ignore
        entry = self._entries.get(key)
        if entry is None:
            with self._lock:
                entry = self._entries.get(key)
                if entry is None:
                    entry = self._entries[key] = self._compile(static, tree, avals)
        results = entry.run([_to_numpy(leaf, aval) for leaf, aval in zip(leaves, avals, strict=True)])
        for leaf in self._donated.leaves(args, kwargs):
            if isinstance(leaf, jax.Array) and not leaf.is_deleted():
                leaf.delete()
        return results

    def _compile(self, static: Any, tree: Any, avals: Sequence[Any]) -> _Entry:
        import jax

        out: list[Any] = []

        def flat(*leaves: Any) -> list[Any]:
            keys = [
                jax.random.wrap_key_data(leaf, impl=aval.key) if aval.key else leaf
                for leaf, aval in zip(leaves, avals, strict=True)
            ]
            args, kwargs = self._static.join(static, *jax.tree.unflatten(tree, keys))
            results, results_tree = jax.tree.flatten(self._function(*args, **kwargs))
            keyed = [jax.random.key_impl(r) if isinstance(r, jax.Array) and is_key(r) else None for r in results]
            out[:] = [results_tree, keyed]  # traced more than once at times, always with the same end
            return [jax.random.key_data(r) if key else r for r, key in zip(results, keyed, strict=True)]

        flat.__name__ = getattr(self._function, "__name__", "function")
        module = compiler.compile(flat, [aval.spec() for aval in avals], **self._options)
        return _Entry(load(module, self._device, self._threads), *out)

    def __repr__(self) -> str:
        name = getattr(self._function, "__qualname__", repr(self._function))
        return f"<mlirage.jit of {name}, {len(self._entries)} compiled>"


class _Entry:
    """A module and the structure of its results."""

    def __init__(self, module: LoadedModule, tree: Any, keys: Sequence[Any]) -> None:
        self.module = module
        self._tree = tree
        self._keys = keys

    def run(self, arrays: list[Any]) -> Any:
        import jax

        # Of a module's result nobody else holds the memory: the JAX array may be it.
        results = [jax.device_put(np.asarray(result), may_alias=True) for result in self.module(*arrays)]
        wrapped = [
            jax.random.wrap_key_data(result, impl=key) if key else result
            for result, key in zip(results, self._keys, strict=True)
        ]
        return jax.tree.unflatten(self._tree, wrapped)


class _Abstract(tuple[Any, ...]):
    """Shape, type, weak type and kind of key of an argument: what decides how a function is traced."""

    __slots__ = ()

    @property
    def key(self) -> Any:
        return self[3]

    def spec(self) -> Any:
        import jax

        shape, dtype, weak, _ = self
        return jax.ShapeDtypeStruct(shape, dtype, weak_type=weak)


def _abstract(leaf: Any) -> _Abstract:
    import jax

    try:
        aval: Any = jax.typeof(leaf)
    except TypeError as error:
        raise UsageError(
            f"jit: an argument of type {type(leaf).__name__} is no array; name it in static_argnums: {error}"
        ) from error
    if is_key(aval):
        data = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct(aval.shape, aval.dtype))
        return _Abstract((data.shape, data.dtype, False, str(jax.random.key_impl(leaf))))
    return _Abstract((aval.shape, np.dtype(aval.dtype), bool(aval.weak_type), None))


def _to_numpy(leaf: Any, aval: _Abstract) -> Any:
    """The array's own memory where it has any."""
    import jax

    if aval.key:
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    return array if array.dtype == aval[1] else array.astype(aval[1])  # numbers, and 64 bits where x64 is off


class _Selection:
    """Arguments chosen by number and by name; each names the other where the signature tells."""

    def __init__(self, function: Callable[..., Any], numbers: Numbers, names: Names, what: str) -> None:
        given = {numbers} if isinstance(numbers, int) else set(numbers)
        self._names = {names} if isinstance(names, str) else set(names)
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        variadic = not parameters or any(p.kind == p.VAR_POSITIONAL for p in parameters)
        for number in given:
            if not variadic and not -len(positional) <= number < len(positional):
                raise UsageError(f"jit: {what}_argnums has {number}, the function takes {len(positional)} arguments")
        known = {p.name for p in parameters}
        variadic_names = not parameters or any(p.kind == p.VAR_KEYWORD for p in parameters)
        for name in self._names - known:
            if not variadic_names:
                raise UsageError(f"jit: {what}_argnames has {name!r}, the function's arguments are {sorted(known)}")
        self._numbers = {number % len(positional) if number < 0 else number for number in given}
        self._numbers |= {positional.index(name) for name in self._names if name in positional}
        self._names |= {positional[number] for number in self._numbers if number < len(positional)}

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """The chosen arguments in a form to compare and to `join`, and the others."""
        if not self._numbers and not self._names:
            return (), args, kwargs
        chosen = tuple((number, args[number]) for number in sorted(self._numbers) if number < len(args))
        named = tuple((name, kwargs[name]) for name in sorted(self._names) if name in kwargs)
        for place, value in (*chosen, *named):
            try:
                hash(value)
            except TypeError as error:
                raise UsageError(f"jit: the static argument {place!r} must be hashable: {error}") from error
        rest = tuple(arg for number, arg in enumerate(args) if number not in self._numbers)
        return (chosen, named), rest, {name: value for name, value in kwargs.items() if name not in self._names}

    def join(self, chosen: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The inverse of `split`."""
        if not chosen:
            return list(args), kwargs
        positional = list(args)
        for number, value in chosen[0]:
            positional.insert(number, value)
        return positional, {**kwargs, **dict(chosen[1])}

    def leaves(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """All arrays in the chosen arguments."""
        if not self._numbers and not self._names:
            return []
        import jax

        chosen = [arg for number, arg in enumerate(args) if number in self._numbers]
        return jax.tree.leaves((chosen, [value for name, value in kwargs.items() if name in self._names]))

"""Arbitrary Python, as recipes: plain data that Hypothesis shows and shrinks, and that `made` turns into it.

What is made may raise whenever anything is done with it, or say that it is something else. A recipe can be
made again and again, as orchestration code does at every replay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Final, NamedTuple
from unittest.mock import Mock

import msgspec
from hypothesis import strategies as st

from holdfast.core.contract.errors import ActivityError, CodecError, ProviderError


class Recipe(NamedTuple):
    """What to make: by which of the makers below, of what."""

    maker: str
    of: Any


class _OpaqueType(type):
    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(f"no {name}")


@dataclass
class _Record:
    part: Any


class _Member(Enum):
    MEMBERS = frozenset("ab")
    NAN = float("nan")
    TEXT = "text"


EXCEPTIONS: Final[dict[str, type[BaseException]]] = {
    each.__name__: each
    for each in (
        ValueError,
        KeyError,
        OSError,
        RuntimeError,
        RecursionError,
        MemoryError,
        AssertionError,
        NotImplementedError,
        StopIteration,
        StopAsyncIteration,
        GeneratorExit,
        SystemExit,
        KeyboardInterrupt,
        BaseException,
        asyncio.CancelledError,
        TimeoutError,
        ActivityError,
        CodecError,
        UnicodeError,
    )
}

BASES: Final[dict[str, tuple[type, tuple[Any, ...]]]] = {
    "object": (object, ()),
    "str": (str, ("text",)),
    "half a str": (str, ("\ud800",)),
    "int": (int, (7,)),
    "float": (float, (1.5,)),
    "dict": (dict, ({"a": 1},)),
    "list": (list, ([1],)),
    "tuple": (tuple, ((1,),)),
    "set": (set, ("ab",)),
    "timedelta": (timedelta, (1,)),
    **{name: (kind, ("told",)) for name, kind in EXCEPTIONS.items()},
}

METHODS: Final = (
    "__str__",
    "__repr__",
    "__format__",
    "__eq__",
    "__hash__",
    "__bool__",
    "__len__",
    "__iter__",
    "__contains__",
    "__getattribute__",
    "__class__",
    "__await__",
    "__call__",
    "__int__",
    "__index__",
    "__float__",
    "__lt__",
    "__reduce_ex__",
    "encode",
    "isascii",
    "args",
    "__traceback__",
    "__cause__",
    "__notes__",
    "source",
    "__dataclass_fields__",
)

RETURNS: Final[dict[str, Any]] = {
    "None": None,
    "5": 5,
    "text": "text",
    "half a text": "\udfff",
    "a NUL": "\0",
    "much": "x" * 200_000,
    "a list": [1],
    "str itself": str,
}


def _cycle() -> list[Any]:
    inner: list[Any] = []
    inner.append({"inner": inner})
    return inner


def _deep() -> list[Any]:
    inner: list[Any] = []
    for _ in range(5000):
        inner = [inner]
    return inner


async def _coroutine() -> str:
    return "never awaited"


def _group() -> BaseException:
    return BaseExceptionGroup("several", [SystemExit(1), ExceptionGroup("more", [ValueError("\ud800")])])


SPECIAL: Final[dict[str, Callable[[], Any]]] = {
    "a cycle": _cycle,
    "deep": _deep,
    "a coroutine": _coroutine,
    "a generator": lambda: (number for number in range(3)),
    "a function": lambda: _cycle,
    "a class": lambda: type("Made", (), {}),
    "an exception class": lambda: type("Made", (ValueError,), {}),
    "an opaque exception": lambda: _OpaqueType("Made", (ValueError,), {})("told"),
    "an opaque class": lambda: _OpaqueType("Made", (), {}),
    "a mock": Mock,
    "a mock of a str": lambda: Mock(spec="text"),
    "a group": _group,
    "raw": lambda: msgspec.Raw(b"nan"),
    "a set": lambda: {"b", "a"},
    "a long number": lambda: 10**5000,
    "a long text": lambda: "x" * 200_000,
    "a member": lambda: _Member.MEMBERS,
    "another member": lambda: _Member.NAN,
    "a text member": lambda: _Member.TEXT,
    "a provider's error": lambda: ProviderError.transient("x", "\ud800"),
    "an iterator": lambda: iter([1]),
    "a view": {"a": 1}.keys,
    "memory": lambda: memoryview(b"x"),
    "never": lambda: timedelta.max,
    "before": lambda: timedelta.min,
    "...": lambda: ...,
}

HOLDERS: Final[dict[str, Callable[[Any], Any]]] = {
    "in a list": lambda part: [1, part],
    "in a tuple": lambda part: (part,),
    "in a dict": lambda part: {"a": part},
    "as a key": lambda part: dict.fromkeys([part]),
    "in a record": _Record,
    "in an exception": ValueError,
    "as a cause": ActivityError,
}


def made(recipe: Recipe) -> Any:
    """What the recipe is of."""
    maker, of = recipe
    match maker:
        case "value":
            return of
        case "special":
            return SPECIAL[of]()
        case "held":
            holder, inner = of
            try:
                return HOLDERS[holder](made(inner))
            except BaseException:  # it cannot be held, for instance because it has no hash
                return made(inner)
        case _:
            base, behaviour = of
            kind, arguments = BASES[base]
            return _class(kind, dict(behaviour))(*arguments)


def _class(base: type, behaviour: dict[str, tuple[str, str]]) -> type:
    members: dict[str, Any] = {}
    for method, (does, what) in behaviour.items():
        function = _raising(EXCEPTIONS[what]) if does == "raises" else _returning(RETURNS[what])
        is_method = method.startswith("__") and method not in (
            "__class__",
            "__traceback__",
            "__cause__",
            "__notes__",
            "__dataclass_fields__",
        )
        members[method] = function if is_method or method in ("encode", "isascii") else property(function)
    return type("Made", (base,), members)


def _raising(error: type[BaseException]) -> Callable[..., Any]:
    def raises(*_: Any, **__: Any) -> Any:
        raise error("of the code")

    return raises


def _returning(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


_does = st.tuples(st.just("raises"), st.sampled_from(sorted(EXCEPTIONS))) | st.tuples(
    st.just("returns"), st.sampled_from(sorted(RETURNS))
)
_values: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.text(st.characters(categories=["Cs", "Cc", "L"]), max_size=3),
    st.binary(max_size=3),
    st.timedeltas(),
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2) | st.integers(), inner)
        ),
        max_leaves=5,
    ),
)

recipes: st.SearchStrategy[Recipe] = st.recursive(
    st.builds(Recipe, st.just("value"), _values)
    | st.builds(Recipe, st.just("special"), st.sampled_from(sorted(SPECIAL)))
    | st.builds(
        Recipe,
        st.just("class"),
        st.tuples(
            st.sampled_from(sorted(BASES)),
            st.dictionaries(st.sampled_from(METHODS), _does, max_size=4).map(
                lambda made: tuple(made.items())
            ),
        ),
    ),
    lambda inner: st.builds(Recipe, st.just("held"), st.tuples(st.sampled_from(sorted(HOLDERS)), inner)),
    max_leaves=3,
)
"""Arbitrary Python."""

"""What outlives a run at module level, as the scan of registered code finds it."""

from __future__ import annotations

from collections import Counter, deque
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.sim.toolkit.suspects import scan

CACHE: dict[str, str] = {}
SEEN: set[str] = set()
QUEUE: deque[str] = deque()
TOTALS: Counter[str] = Counter()
STATE = SimpleNamespace(rows=[], last="")
COUNT = 0
NAMES = ("a", "b")


class Settings:
    """Holds state of a class."""

    tries = 0


async def counts(ctx: Any, input: str) -> str:
    global COUNT  # noqa: PLW0603 - what is looked for
    COUNT += 1
    return str(COUNT)


async def keeps(ctx: Any, input: str) -> str:
    CACHE[ctx.instance_id + input.strip().lower()] = input
    return input


async def deletes(ctx: Any, input: str) -> str:
    del CACHE[input]
    return input


async def adds(ctx: Any, input: str) -> str:
    if input not in SEEN:
        SEEN.add(str(len(input)))
    return input


def pushes(ctx: Any, input: str) -> str:
    QUEUE.appendleft(input)
    return input


async def sums(ctx: Any, input: str) -> str:
    TOTALS[input] += 1
    return input


async def appends(ctx: Any, input: str) -> str:
    STATE.rows.append(input)
    return input


async def sets(ctx: Any, input: str) -> str:
    STATE.last = input
    return input


async def sets_of_a_class(ctx: Any, input: str) -> str:
    Settings.tries = 1
    return input


def remember(input: str) -> None:
    CACHE.setdefault(input, input)


async def calls_one_that_writes(ctx: Any, input: str) -> str:
    remember(input)
    return input


@lru_cache
def load(input: str) -> str:
    return input


async def asks_a_cache(ctx: Any, input: str) -> str:
    return load(input)


async def nested(ctx: Any, input: str) -> str:
    def inner() -> None:
        CACHE.update({input: input})

    inner()
    return input


async def innocent(ctx: Any, input: str) -> str:
    """Reads what a module keeps, and writes only to what is its own."""
    own: dict[str, list[str]] = {}
    own.setdefault(input, []).append(CACHE.get(input, ""))
    own[input] = [name for name in NAMES if name in SEEN]
    found = STATE.rows.copy()
    found.append(str(COUNT))
    counted = Counter(own[input])
    counted.update(found)
    ctx.note = SimpleNamespace(text=input)
    ctx.note.text = str(counted)
    return ",".join(found)


@pytest.mark.parametrize(
    ("function", "written"),
    [
        (counts, "COUNT"),
        (keeps, "CACHE[...]"),
        (deletes, "CACHE[...]"),
        (adds, "SEEN.add()"),
        (pushes, "QUEUE.appendleft()"),
        (sums, "TOTALS[...]"),
        (appends, "STATE.rows.append()"),
        (sets, "STATE.last"),
        (sets_of_a_class, "Settings.tries"),
        (calls_one_that_writes, "CACHE.setdefault()"),
        (asks_a_cache, "the cache of load()"),
        (nested, "CACHE.update()"),
    ],
)
def test_what_a_function_writes_at_module_level_is_named(function: Any, written: str) -> None:
    (suspect,) = scan(function)
    assert suspect.kept and suspect.name == written
    assert suspect.file == __file__ and f"writes to {written}" in str(suspect)


def test_what_is_the_functions_own_is_not_named() -> None:
    assert scan(innocent) == ()

"""The simulated loop gives the same answers as asyncio's, wherever the tape has no say in them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest
from tests.sim.loop.differential import cancelling, futures, generators, sharing, tasks
from tests.sim.loop.differential.both import Outcome, Program, on_asyncio, simulated

from holdfast.sim.strategies import Fifo, make_strategy

GROUPS: Final = (cancelling, tasks, sharing, futures, generators)

SINCE: Final = {
    "eager_tasks_begin_at_once": (3, 12),
    "eager_groups": (3, 12),
    "a_queue_that_is_shut_down": (3, 13),
}
"""The first Python that has what a program is about."""

BY_VERSION: Final[dict[str, dict[tuple[int, int], str]]] = {
    "sleeping_for_what_is_not_a_number": {
        (3, 11): "'slept'",
        (3, 13): "raised ValueError('Invalid delay: NaN (not a number)')",
    },
}
"""Answers that differ between versions of Python, by the first that gives them: both loops follow it."""


def every_program() -> Iterator[Any]:
    for group in GROUPS:
        for name, program in inspect.getmembers(group, inspect.iscoroutinefunction):
            if program.__module__ == group.__name__ and not name.startswith("_"):
                missing = SINCE.get(name, (3, 11)) > sys.version_info[:2]
                why = f"Python {'.'.join(map(str, SINCE.get(name, ())))} or later has what it is about"
                yield pytest.param(program, id=name, marks=pytest.mark.skipif(missing, reason=why))


PROGRAMS: Final = tuple(every_program())


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_gives_the_same_answer_on_both_loops(program: Program) -> None:
    real = on_asyncio(program)
    for strategy in (Fifo(), make_strategy("random", 1), make_strategy("random", 2)):
        assert simulated(program, strategy) == real


@pytest.mark.parametrize("name", BY_VERSION)
def test_answers_that_differ_between_versions_are_those_of_this_one(name: str) -> None:
    program = next(getattr(group, name) for group in GROUPS if hasattr(group, name))
    version = max(since for since in BY_VERSION[name] if since <= sys.version_info[:2])
    assert on_asyncio(program) == Outcome(BY_VERSION[name][version], ())


def test_there_are_enough_programs() -> None:
    assert len(PROGRAMS) >= 150

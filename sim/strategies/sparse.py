"""Sparse faults: where in a run the few faults strike, chosen before it begins.

A fair coin at every fault draw would spend the budget on the first few commits of every run. So positions
are drawn up front, uniformly over the number of fault draws that earlier runs had: early and late ones are
equally likely, and so is a run with few faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from holdfast.traces.choice import Stream

BLOCK: Final = 50
"""Schedules after which a strategy forgets what it learned.

A schedule thus depends only on its number, the seed and the earlier schedules of its block, and a campaign
that hands out whole blocks finds the same with any number of workers.
"""

_FIRST_GUESS: Final = 32
_STRIKES_MAX: Final = 3
"""The most faults in one run; budgets are usually smaller still."""


def seeded(seed: int, schedule: int, purpose: int) -> Random:
    """A generator for one purpose of one schedule; the same on every Python."""
    assert 0 <= purpose < 1 << 8, f"purpose {purpose} would share the generator of another schedule"
    assert 0 <= schedule < 1 << 32, f"schedule {schedule} would share the generator of another seed"
    return Random((seed << 40) + (schedule << 8) + purpose)


class SparseFaults:
    """The fault stream of a random strategy. Detail draws (sites with a dot) are uniform."""

    def __init__(self) -> None:
        self._random = Random(0)
        self._length = _FIRST_GUESS
        self._block = -1
        self._position = 0
        self._strikes: frozenset[int] = frozenset()

    def begin(self, random: Random, schedule: int) -> None:
        """Choose where this run's faults strike."""
        if schedule // BLOCK != self._block:
            self._block = schedule // BLOCK
            self._length = _FIRST_GUESS
        self._random = random
        self._position = 0
        count = random.randrange(_STRIKES_MAX + 1)
        self._strikes = frozenset(random.randrange(self._length) for _ in range(count))

    def choose(self, site: str, arity: int) -> int:
        """A fault of a uniform kind at the chosen positions, none elsewhere."""
        if "." in site:
            return self._random.randrange(arity)
        position = self._position
        self._position = position + 1
        return 1 + self._random.randrange(arity - 1) if position in self._strikes else 0

    def learn(self, draws: Mapping[Stream, int]) -> None:
        """Learn the length of the fault stream, smoothed: one long run must not spread later faults thin."""
        asked, drawn = self._position, draws["fault"]
        assert asked <= drawn, f"the run has had {drawn} fault draws, {asked} of them were asked for here"
        if draws["fault"]:
            self._length = max(4, (3 * self._length + draws["fault"] + 3) // 4)

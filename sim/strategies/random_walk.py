"""RandomWalk: uniform over the schedule, sparse faults."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from holdfast.sim.stage.strategy import Strategy
from holdfast.sim.strategies.sparse import SparseFaults, seeded
from holdfast.traces.choice import Stream, Tape


class RandomWalk(Strategy):
    """Every enabled step is equally likely; faults are few.

    Generated values are 0 half of the time, else uniform.
    """

    name = "random"

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._random = Random(0)
        self._faults = SparseFaults()

    def begin(self, schedule: int) -> None:
        """Reseed."""
        self._random = seeded(self.seed, schedule, 0)
        self._faults.begin(seeded(self.seed, schedule, 1), schedule)

    def choose(self, stream: Stream, site: str, arity: int) -> int:
        """A uniform step, a sparse fault, or a value."""
        if stream == "schedule":
            return int(self._random.random() * arity)
        if stream == "fault":
            return self._faults.choose(site, arity)
        return 0 if self._random.random() < 0.5 else int(self._random.random() * arity)

    def learn(self, tape: Tape, draws: Mapping[Stream, int]) -> None:
        """Learn how many fault draws a run has."""
        self._faults.learn(draws)

"""Pct: probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010).

Every actor gets a random priority, and the enabled one of the highest priority moves; at depth - 1 random
points the one about to move falls to the bottom. A bug that needs d ordering constraints among n actors and k
steps is found with probability at least 1 / (n * k ** (d - 1)).

Where we depart from it: an actor is a process and what it does (`worker-a/renew_session_lock`), because the
order that matters is often between two calls of one process; and k is learned from earlier runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from holdfast.sim.strategies.sparse import BLOCK, SparseFaults, seeded
from holdfast.traces.choice import Stream, Tape

_FIRST_GUESS: Final = 32


class Pct:
    """Random priorities with `depth` - 1 changes a run."""

    name = "pct"

    def __init__(self, seed: int, depth: int) -> None:
        self.seed = seed
        self.depth = depth
        self._random = Random(0)
        self._faults = SparseFaults()
        self._length = _FIRST_GUESS
        self._block = -1
        self._position = 0
        self._lowest = 0.0
        self._changes: frozenset[int] = frozenset()
        self._priorities: dict[str, float] = {}
        self._actors: list[str] = []

    def begin(self, schedule: int) -> None:
        """Reseed, choose the change points, forget the priorities."""
        self._random = seeded(self.seed, schedule, 0)
        self._faults.begin(seeded(self.seed, schedule, 1), schedule)
        if schedule // BLOCK != self._block:
            self._block = schedule // BLOCK
            self._length = _FIRST_GUESS
        self._changes = frozenset(self._random.randrange(self._length) for _ in range(self.depth - 1))
        self._priorities = {}
        self._position = 0
        self._lowest = 0.0

    def offer(self, actors: list[str]) -> None:
        """Who moves with each answer of the next step."""
        self._actors = actors

    def choose(self, stream: Stream, site: str, arity: int) -> int:
        """The actor of the highest priority; its oldest step."""
        if stream == "fault":
            return self._faults.choose(site, arity)
        if stream == "data":
            return 0 if self._random.random() < 0.5 else self._random.randrange(arity)
        actors = self._actors
        if len(actors) != arity:  # a detail of a step: nobody to choose among
            return self._random.randrange(arity)
        self._actors = []
        best = self._best(actors)
        if self._position in self._changes:
            self._lowest -= 1.0
            self._priorities[actors[best]] = self._lowest
            best = self._best(actors)
        self._position += 1
        return best

    def _best(self, actors: list[str]) -> int:
        priorities = self._priorities
        best, highest = 0, float("-inf")
        for index, actor in enumerate(actors):
            priority = priorities.get(actor)
            if priority is None:
                priority = priorities[actor] = self._random.random()
            if priority > highest:
                best, highest = index, priority
        return best

    def learn(self, tape: Tape, draws: Mapping[Stream, int]) -> None:
        """How many choices and fault draws a run has."""
        self._faults.learn(draws)
        self._length = max(4, (3 * self._length + draws["schedule"] + 3) // 4)

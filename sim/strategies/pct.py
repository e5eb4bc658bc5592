"""Pct: probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010).

Every actor gets a random priority, and the enabled actor with the highest priority moves; at depth - 1 random
points the actor about to move drops to the lowest priority. A bug that needs d ordering constraints among n
actors and k steps is found with probability at least 1 / (n * k ** (d - 1)).

We differ in two ways. An actor is a process together with what it does (`worker-a/renew_session_lock`),
because the order that matters is often between two calls of one process. And k is learned from earlier runs.
A step here is a choice among several enabled ones: change points and k count these, so that change points lie
within the run. The other draws of the schedule stream settle details; one step may need several.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Final

from holdfast.core.contract.errors import ConfigurationError
from holdfast.sim.stage.strategy import Strategy
from holdfast.sim.strategies.sparse import BLOCK, SparseFaults, seeded
from holdfast.traces.choice import Stream, Tape

_FIRST_GUESS: Final = 32


class Pct(Strategy):
    """Random priorities, changed DEPTH - 1 times per run; DEPTH is 3 by default.

    Attributes:
        change_points: the steps, from 0, at which the actor about to move drops to the lowest priority.
    """

    name = "pct"

    def __init__(self, seed: int, depth: int) -> None:
        assert depth > 0, f"a bug of depth {depth} needs no search"
        self.seed = seed
        self.depth = depth
        self.change_points: frozenset[int] = frozenset()
        self._random = Random(0)
        self._faults = SparseFaults()
        self._four_lengths = 4 * _FIRST_GUESS
        """Four times the smoothed number of steps: kept this way, it converges to exactly that number."""
        self._block = -1
        self._steps = 0
        self._lowest = 0.0
        self._priorities: dict[str, float] = {}
        self._actors: list[str] = []

    @classmethod
    def of_text(cls, seed: int, argument: str | None) -> Pct:
        """Make it from the text after the colon in `pct:3`. Raises ConfigurationError if that is not a
        depth."""
        depth = "3" if argument is None else argument
        if not depth.isdecimal() or not int(depth):
            raise ConfigurationError(
                f"strategy 'pct' takes a depth of at least 1, as in 'pct:3'; {argument!r} was given"
            )
        return cls(seed, int(depth))

    def begin(self, schedule: int) -> None:
        """Reseed, choose the change points, forget the priorities."""
        self._random = seeded(self.seed, schedule, 0)
        self._faults.begin(seeded(self.seed, schedule, 1), schedule)
        if schedule // BLOCK != self._block:
            self._block = schedule // BLOCK
            self._four_lengths = 4 * _FIRST_GUESS
        length = max(1, self._four_lengths // 4)
        self.change_points = frozenset(self._random.randrange(length) for _ in range(self.depth - 1))
        self._priorities = {}
        self._actors = []
        self._steps = 0
        self._lowest = 0.0

    def offer(self, actors: Iterable[str]) -> None:
        """Count a step, and note which actor moves with each answer."""
        self._actors = list(actors)
        self._steps += 1

    def choose(self, stream: Stream, site: str, arity: int) -> int:
        """The oldest step of the actor with the highest priority."""
        if stream == "fault":
            return self._faults.choose(site, arity)
        if stream == "data":
            return 0 if self._random.random() < 0.5 else self._random.randrange(arity)
        actors = self._actors
        if not actors:  # a detail of a step: there are no actors to choose among
            return self._random.randrange(arity)
        assert len(actors) == arity, f"{len(actors)} actors for the {arity} answers of {site!r}"
        self._actors = []
        best = self._best(actors)
        if self._steps - 1 in self.change_points:
            self._lowest -= 1.0
            self._priorities[actors[best]] = self._lowest
            best = self._best(actors)
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
        """Learn how many steps and fault draws a run has."""
        assert self._steps <= draws["schedule"], f"{self._steps} steps, {draws['schedule']} draws"
        self._faults.learn(draws)
        self._four_lengths += self._steps - self._four_lengths // 4

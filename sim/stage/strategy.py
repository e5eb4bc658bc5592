"""The interface of strategies: what answers the choice points of a run, and knows nothing of the world.

To write one, copy `fifo.py`. A strategy may also have a method `offer(actors: list[str]) -> None`: it is then
told before each choice of the next step who moves with each answer, as texts `process/operation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from holdfast.traces.choice import Stream, Tape


class Strategy(Protocol):
    """Answers draws. One object serves many runs, one after the other."""

    name: str

    def begin(self, schedule: int) -> None:
        """Run `schedule` begins, from 0; answers depend on it, the seed and what it learned in the block."""
        ...

    def choose(self, stream: Stream, site: str, arity: int) -> int:
        """An answer from 0 to arity - 1, with arity at least 2; 0 is boring: oldest first, no fault."""
        ...

    def learn(self, tape: Tape, draws: Mapping[Stream, int]) -> None:
        """A run is over: its tape, and the number of draws of each stream."""
        ...

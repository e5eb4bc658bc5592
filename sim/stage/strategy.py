"""The interface of strategies: they answer the draws of a run and know nothing of the world."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from holdfast.traces.choice import Stream, Tape


class Strategy(ABC):
    """Answers draws. One object serves many runs, one after the other. To write one, copy `fifo.py`.

    The explorer calls, for each run: `begin`; `choose` at each draw, and `offer` before those of a step;
    `learn`. Only `choose` must be written.
    """

    name: str

    def begin(self, schedule: int) -> None:  # noqa: B027 - most need not prepare
        """Run `schedule` begins, from 0; answers depend on it, the seed and what it learned in the block."""

    def offer(self, actors: Iterable[str]) -> None:  # noqa: B027 - most do not care who moves
        """Who moves with each answer of the next draw, which chooses a step; as texts `process/operation`.

        They are made lazily and must be read at once.
        """

    @abstractmethod
    def choose(self, stream: Stream, site: str, arity: int) -> int:
        """An answer from 0 to arity - 1, with arity at least 2; 0 is boring: oldest first, no fault."""

    def learn(self, tape: Tape, draws: Mapping[Stream, int]) -> None:  # noqa: B027 - most do not learn
        """A run is over: its tape, and the number of draws of each stream."""

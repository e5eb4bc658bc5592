"""PlainFirst: the plain run as schedule 0, and another strategy for all later schedules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from holdfast.sim.stage.strategy import Strategy
from holdfast.traces.choice import Stream, Tape


class PlainFirst(Strategy):
    """Wraps a strategy so that a campaign begins with the run every reader can predict.

    Most mistakes show up there, and a violation in it needs no shrinking.
    """

    def __init__(self, then: Strategy) -> None:
        self.name = then.name
        self._then = then
        self._plain = False

    def begin(self, schedule: int) -> None:
        """Schedule 0 is the plain one."""
        self._plain = schedule == 0
        self._then.begin(schedule)

    def offer(self, actors: Iterable[str]) -> None:
        """Passed on in the plain run, too: a strategy may count the steps of a run."""
        self._then.offer(actors)

    def choose(self, stream: Stream, site: str, arity: int) -> int:
        """The boring answer in the plain run, the other strategy's in the rest."""
        return 0 if self._plain else self._then.choose(stream, site, arity)

    def learn(self, tape: Tape, draws: Mapping[Stream, int]) -> None:
        """Passed on for the plain run, too: what it teaches holds for the others."""
        self._then.learn(tape, draws)

"""Deviations: the plain run except for a few given draws; for Hypothesis strategies and for writing by
hand."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.sim.stage.strategy import Strategy
from holdfast.traces.choice import STREAMS, Stream


class Deviations(Strategy):
    """Answers a listed draw with `deviations[stream, position]`, modulo the arity, and every other draw with
    0."""

    name = "deviations"

    def __init__(self, deviations: Mapping[tuple[Stream, int], int]) -> None:
        self.deviations = dict(deviations)
        self._positions: dict[Stream, int] = dict.fromkeys(STREAMS, 0)

    def begin(self, schedule: int) -> None:
        """Count the draws from 0 again."""
        self._positions = dict.fromkeys(STREAMS, 0)

    def choose(self, stream: Stream, site: str, arity: int) -> int:
        """The deviation given for this draw, or 0."""
        position = self._positions[stream]
        self._positions[stream] = position + 1
        return self.deviations.get((stream, position), 0) % arity

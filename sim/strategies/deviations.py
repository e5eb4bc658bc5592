"""Deviations: a plain run but for a few named draws. What Hypothesis strategies and people write by hand."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.sim.stage.strategy import Strategy
from holdfast.traces.choice import STREAMS, Stream


class Deviations(Strategy):
    """Answers `deviations[stream, position]` there, modulo the arity, and 0 everywhere else."""

    name = "deviations"

    def __init__(self, deviations: Mapping[tuple[Stream, int], int]) -> None:
        self.deviations = dict(deviations)
        self._positions: dict[Stream, int] = dict.fromkeys(STREAMS, 0)

    def begin(self, schedule: int) -> None:
        """From the start."""
        self._positions = dict.fromkeys(STREAMS, 0)

    def choose(self, stream: Stream, site: str, arity: int) -> int:
        """The deviation named for this draw, or 0."""
        position = self._positions[stream]
        self._positions[stream] = position + 1
        return self.deviations.get((stream, position), 0) % arity

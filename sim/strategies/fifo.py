"""Fifo: the plain, fair run. Every answer is the boring one."""

from __future__ import annotations

from holdfast.sim.stage.strategy import Strategy
from holdfast.traces.choice import Stream


class Fifo(Strategy):
    """Oldest step first, no fault, no delay."""

    name = "fifo"

    def choose(self, stream: Stream, site: str, arity: int) -> int:
        """The boring answer."""
        return 0

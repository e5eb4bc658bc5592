"""INV-49 Shutdown ends.

Graceful shutdown returns within the shutdown timeout plus ε, whatever handlers do.
"""

from __future__ import annotations

from typing import Final

from holdfast.core.contract.observe import ShutdownBegan, ShutdownReturned
from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.properties.judging.invariants.obligations import Obligation, Obligations
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.timing import Timings
from holdfast.traces.record import Fault, Local

EPSILON_US: Final = 1_000_000
"""What the calls still under way may take before the runtime is cut off."""


class ShutdownEnds(Monitor):
    """INV-49. A crash ends the obligation; booked faults postpone it."""

    id = "INV-49"
    title = "Shutdown ends"

    def __init__(self, ledger: Ledger, timings: Timings) -> None:
        super().__init__(ledger, timings)
        self._open = Obligations[tuple[str, int]](ledger.book)

    @on(ShutdownBegan)
    def began(self, local: Local) -> None:
        """Its timeout runs from here on."""
        assert isinstance(local.event, ShutdownBegan)
        if local.event.graceful:
            bound_us = local.event.timeout_us + EPSILON_US
            now_us = local.time_us
            self._open.open(
                (local.process, local.boot), Obligation(local.process, now_us, now_us, bound_us, bound_us)
            )
            self.due_us = self._open.next_due_us()

    @on(ShutdownReturned)
    def returned(self, local: Local) -> None:
        """It has ended."""
        self._close((local.process, local.boot))

    @on(Fault)
    def struck(self, fault: Fault) -> None:
        """A crash ends it, too."""
        if fault.kind == "crash":
            for subject in self._open:
                if subject[0] == fault.process:
                    self._close(subject)

    def overdue(self, time_us: int) -> None:
        """It is still not over."""
        for subject in self._open.overdue(time_us):
            one = self._open[subject]
            self.violate(process=subject[0], began_us=one.since_us, due_us=one.due_us(self.ledger.book))

    def latest_due_us(self) -> int:
        return self._open.latest_due_us()

    def _close(self, subject: tuple[str, int]) -> None:
        self._open.close(subject)
        self.due_us = self._open.next_due_us()

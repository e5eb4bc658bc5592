"""INV-26 One lease, one renewal.

At any time at most one lease exists per (i,s,w), and between `RCALL` and `RRET` for a lease there is no
second `RCALL`.
"""

from __future__ import annotations

from holdfast.core.contract.observe import LeaseEnded, LeaseTaken, RenewalAnswered, RenewalSent
from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.timing import Timings
from holdfast.traces.record import Local

LeaseName = tuple[str, int, str, str]
"""Process, boot, instance and session id."""


class OneLeaseOneRenewal(Monitor):
    """INV-26. A boot of a process is one worker."""

    id = "INV-26"
    title = "One lease, one renewal"

    def __init__(self, ledger: Ledger, timings: Timings) -> None:
        super().__init__(ledger, timings)
        self._held: set[LeaseName] = set()
        self._renewing: set[LeaseName] = set()

    @on(LeaseTaken, RenewalSent)
    def begins(self, local: Local) -> None:
        """A lease is taken or a renewal is sent: there was none before."""
        event = local.event
        assert isinstance(event, LeaseTaken | RenewalSent)
        lease = (local.process, local.boot, event.instance_id, event.session_id)
        open_ones = self._held if isinstance(event, LeaseTaken) else self._renewing
        if lease in open_ones:
            self.violate(
                worker=event.worker_id,
                session=f"{event.instance_id}/{event.session_id}",
                second=type(event).__name__,
            )
        open_ones.add(lease)

    @on(LeaseEnded, RenewalAnswered)
    def ends(self, local: Local) -> None:
        """A lease ended, a renewal was answered."""
        event = local.event
        assert isinstance(event, LeaseEnded | RenewalAnswered)
        lease = (local.process, local.boot, event.instance_id, event.session_id)
        if isinstance(event, RenewalAnswered):
            self._renewing.discard(lease)
        elif event.cause != "given_back":  # there was no lease then (SS-14.16)
            self._held.discard(lease)

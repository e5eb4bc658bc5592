"""INV-32 Carry-over is invisible to rows.

An `ACK` with continue-as-new leaves (owner, expiry) of each carried session equal, unless that session
was opened or closed in the same turn.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, row, session
from holdfast.properties.judging.ledger.facts import Acked


class CarryOverIsInvisible(Monitor):
    id = "INV-32"
    title = "Carry-over is invisible to rows"
    hooks = ("session_records",)

    @on(Acked)
    def acked(self, fact: Acked) -> None:
        """The rows of sessions that were open and stay open are equal before and after."""
        if fact.metadata.status != "ContinuedAsNew":
            return
        rows = self.ledger.rows
        for incarnation in fact.open_before:
            key = incarnation.key
            if fact.instance.open.get(key[1]) is not incarnation:
                continue
            before, after = rows.before.get(key), rows.sessions.get(key)
            if before != after:
                self.violate(session=session(key), row_before=row(before), row_after=row(after))

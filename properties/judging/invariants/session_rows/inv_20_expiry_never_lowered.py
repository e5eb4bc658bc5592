"""INV-20 Expiry never lowered.

While a row keeps the same owner within one incarnation and is not released, `locked_until` is
non-decreasing.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, RowsChanged, on, row, session
from holdfast.properties.judging.ledger.facts import Fact


class ExpiryNeverLowered(Monitor):
    """INV-20. A row that is released or opened anew names nobody in between."""

    id = "INV-20"
    title = "Expiry never lowered"
    hooks = ("session_records",)

    @on(RowsChanged)
    def check(self, fact: Fact) -> None:
        """Same owner before and after: not earlier than before."""
        rows = self.ledger.rows
        for key in rows.changed:
            before, after = rows.before.get(key), rows.sessions.get(key)
            if before is None or after is None or before.worker_id != after.worker_id:
                continue
            if (
                before.locked_until is not None
                and after.locked_until is not None
                and after.locked_until < before.locked_until
            ):
                self.violate(session=session(key), row_before=row(before), row_after=row(after))

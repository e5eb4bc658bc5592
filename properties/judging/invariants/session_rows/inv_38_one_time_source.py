"""INV-38 One time source.

At every write of an expiry, 0 < expiry − τ(p) ≤ max(D_w, previous expiry − τ(p)), τ being the store's
clock of PV-3.2; no time the runtime reads or computes enters a stored lock time.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, RowsChanged, on, row, session
from holdfast.properties.judging.ledger.facts import Delivered, Fact, ItemRenewed, Renewed


class OneTimeSource(Monitor):
    id = "INV-38"
    title = "One time source"
    hooks = ("session_records",)

    @on(RowsChanged)
    def changed(self, fact: Fact) -> None:
        """An expiry written lies ahead of the store's clock, by the duration passed or what it was before."""
        if not isinstance(fact, Delivered | Renewed | ItemRenewed):
            return
        rows, now = self.ledger.rows, self.ledger.now
        for key in rows.changed:
            before, after = rows.before.get(key), rows.sessions.get(key)
            if after is None or after.locked_until is None:
                continue
            known = now if before is None or before.locked_until is None else before.locked_until
            ahead = after.locked_until - now
            if not (0 < ahead <= max(fact.duration, known - now)):
                self.violate(
                    session=session(key),
                    row_before=row(before),
                    row_after=row(after),
                    ahead=ahead,
                    duration=fact.duration,
                )

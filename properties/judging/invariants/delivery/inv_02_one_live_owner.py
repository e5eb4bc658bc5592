"""INV-02 One live owner: a session has at most one.

At every p and for every (i,s) at most one w satisfies owner = w, and `worker_id` is null iff
`locked_until` is null.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, RowsChanged, on, row, session
from holdfast.properties.judging.ledger.facts import Fact


class OneLiveOwner(Monitor):
    """INV-02. With one row per key and one name per row there can be only one owner."""

    id = "INV-02"
    title = "One live owner"
    hooks = ("session_records",)

    @on(RowsChanged)
    def check(self, fact: Fact) -> None:
        """Keys are unique, and worker and expiry are set together."""
        rows = self.ledger.rows
        if rows.duplicated:
            self.violate(rows=[session(key) for key in rows.sessions], twice=True)
        for key in rows.changed:
            record = rows.sessions.get(key)
            if record is not None and (record.worker_id is None) != (record.locked_until is None):
                self.violate(session=session(key), row=row(record))

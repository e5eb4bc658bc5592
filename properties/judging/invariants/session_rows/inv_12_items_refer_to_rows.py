"""INV-12 Items refer to rows.

For runtime-operated i, every queue item with sess(q) = s has an existing row(i,s).
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, RowsChanged, WorkChanged, on
from holdfast.properties.judging.ledger.facts import Fact


class ItemsReferToRows(Monitor):
    """INV-12. The session of a stored item is that of its encoded form."""

    id = "INV-12"
    title = "Items refer to rows"
    hooks = ("session_records", "worker_rows")

    @on(RowsChanged, WorkChanged)
    def check(self, fact: Fact) -> None:
        """No item is left without its session's row."""
        rows = self.ledger.rows
        for stored in rows.work:
            work = stored.item
            if work is None or work.session_id is None or (work.instance, work.session_id) in rows.sessions:
                continue
            instance = self.ledger.instances.get(work.instance)
            if instance is not None and instance.runtime_operated:
                self.violate(
                    session=f"{work.instance}/{work.session_id}",
                    seq=stored.seq,
                    execution_id=work.execution_id,
                    activity_id=work.id,
                )

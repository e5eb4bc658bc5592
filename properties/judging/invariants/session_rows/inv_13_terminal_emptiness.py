"""INV-13 Terminal emptiness: an ended instance has no session rows or session items.

For runtime-operated i: from the first `ACK` with terminal status for i on, i has neither session rows nor
session-bound items, until a `DELETE` of i makes the id free for a new instance.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, RowsChanged, WorkChanged, on, row, session
from holdfast.properties.judging.ledger.facts import Acked, Fact


class TerminalEmptiness(Monitor):
    id = "INV-13"
    title = "Terminal emptiness"
    hooks = ("session_records", "worker_rows")

    @on(Acked)
    def acked(self, fact: Acked) -> None:
        """The end itself."""
        if fact.terminal:
            self.check(fact)

    @on(RowsChanged, WorkChanged)
    def check(self, fact: Fact) -> None:
        """Whatever rows there are belong to instances that have not ended."""
        rows = self.ledger.rows
        for key, record in rows.sessions.items():
            if self._has_ended(key[0]):
                self.violate(session=session(key), row=row(record))
        for stored in rows.work:
            work = stored.item
            if work is not None and work.session_id is not None and self._has_ended(work.instance):
                self.violate(
                    session=f"{work.instance}/{work.session_id}", seq=stored.seq, activity_id=work.id
                )

    def _has_ended(self, id: str) -> bool:
        instance = self.ledger.instances.get(id)
        return instance is not None and instance.ended_at is not None and instance.runtime_operated

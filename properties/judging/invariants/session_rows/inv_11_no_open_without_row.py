"""INV-11 No open session without row.

For runtime-operated i, after every commit: s ∈ open(i) ⇒ row(i,s) exists.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, RowsChanged, on, session
from holdfast.properties.judging.ledger.facts import Acked, Fact


class NoOpenSessionWithoutRow(Monitor):
    id = "INV-11"
    title = "No open session without row"
    hooks = ("session_records",)

    @on(Acked)
    def acked(self, fact: Acked) -> None:
        """Each session that is open now has its row."""
        instance = fact.instance
        if not instance.runtime_operated:
            return
        for session_id in instance.open:
            if (instance.id, session_id) not in self.ledger.rows.sessions:
                self.violate(session=f"{instance.id}/{session_id}", open=list(instance.open))

    @on(RowsChanged)
    def changed(self, fact: Fact) -> None:
        """A row that has gone was not that of an open session."""
        for key in self.ledger.rows.changed:
            instance = self.ledger.instances.get(key[0])
            if key in self.ledger.rows.sessions or instance is None or not instance.runtime_operated:
                continue
            if key[1] in instance.open:
                self.violate(session=session(key), open=list(instance.open))

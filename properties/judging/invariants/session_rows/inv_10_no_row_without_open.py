"""INV-10 No row without open session.

For runtime-operated i, after every commit: row(i,s) exists ⇒ s ∈ open(i).
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, RowsChanged, on, row, session
from holdfast.properties.judging.ledger.facts import Acked, Deleted, Fact
from holdfast.properties.judging.ledger.instances import SessionKey


class NoRowWithoutOpenSession(Monitor):
    """INV-10. What is open is what the stored histories say."""

    id = "INV-10"
    title = "No row without open session"
    hooks = ("session_records",)

    @on(RowsChanged)
    def changed(self, fact: Fact) -> None:
        """A row that came or changed is that of an open session."""
        for key in self.ledger.rows.changed:
            self._check(key)

    @on(Acked)
    def acked(self, fact: Acked) -> None:
        """The open set may have changed under rows that did not."""
        for key in self.ledger.rows.sessions:
            if key[0] == fact.instance.id:
                self._check(key)

    @on(Deleted)
    def deleted(self, fact: Deleted) -> None:
        """A deleted instance has no session open."""
        for key, record in self.ledger.rows.sessions.items():
            if key[0] in fact.instances:
                self.violate(session=session(key), row=row(record), open=[], deleted=True)

    def _check(self, key: SessionKey) -> None:
        record = self.ledger.rows.sessions.get(key)
        instance = self.ledger.instances.get(key[0])
        if record is None or instance is None or not instance.runtime_operated:
            return
        if key[1] not in instance.open:
            self.violate(session=session(key), row=row(record), open=list(instance.open))

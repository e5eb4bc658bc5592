"""INV-22 Only the named worker acts.

Every change of a row between two claims is by the worker it names, by an `ACK` or by a `DELETE`; a
foreign `RENEW`, `IRENEW` or `RELEASE` leaves it equal. An `IRENEW_ERR` changes neither the row nor the
item lock.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, RowsChanged, WorkChanged, on, row, session
from holdfast.properties.judging.ledger.facts import (
    Acked,
    Deleted,
    Delivered,
    Fact,
    ItemRenewed,
    Released,
    Renewed,
)
from holdfast.properties.judging.ledger.instances import SessionKey


class OnlyTheNamedWorkerActs(Monitor):
    """INV-22. The fact tells who may change which row; everybody else leaves all rows equal."""

    id = "INV-22"
    title = "Only the named worker acts"
    hooks = ("session_records", "worker_rows")

    @on(RowsChanged)
    def changed(self, fact: Fact) -> None:
        """Each changed row is one that this fact may change."""
        if isinstance(fact, Acked | Deleted):
            return
        rows = self.ledger.rows
        for key in rows.changed:
            if not self._may_change(fact, key):
                self.violate(
                    session=session(key),
                    changed_by=type(fact).__name__,
                    row_before=row(rows.before.get(key)),
                    row_after=row(rows.sessions.get(key)),
                )

    @on(WorkChanged)
    def work_changed(self, fact: Fact) -> None:
        """A refused item renewal leaves the item lock."""
        if isinstance(fact, ItemRenewed) and not fact.ok:
            self.violate(item=None if fact.item is None else fact.item.name(), refused=True)

    def _may_change(self, fact: Fact, key: SessionKey) -> bool:
        before = self.ledger.rows.before.get(key)
        named = None if before is None else before.worker_id
        match fact:
            case Delivered():
                return key == fact.item.key  # a claim or an extension; INV-01 judges whose
            case Renewed():
                return fact.ok and key == fact.key and named == fact.owner
            case Released():
                return fact.ok and key == fact.key and named == fact.owner
            case ItemRenewed():
                item = fact.item
                return fact.ok and item is not None and key == item.key and named == item.claimed_by
            case _:
                return False

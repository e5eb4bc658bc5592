"""INV-36 Isolation.

A commit addressed to (i,s) changes no row or item of another key; a terminal `ACK` or `DELETE` of i
changes none of another instance.
"""

from __future__ import annotations

from holdfast.core.contract.store import WorkerRow
from holdfast.properties.judging.invariants.monitor import Monitor, RowsChanged, WorkChanged, on, row, session
from holdfast.properties.judging.ledger.facts import (
    Abandoned,
    Acked,
    Deleted,
    Delivered,
    Done,
    Enqueued,
    Fact,
    ItemRenewed,
    Released,
    Renewed,
)
from holdfast.properties.judging.ledger.instances import SessionKey


class Isolation(Monitor):
    """INV-36. A commit that addresses one item or session leaves all others alone, even of the same
    instance."""

    id = "INV-36"
    title = "Isolation"
    hooks = ("session_records", "worker_rows")

    @on(RowsChanged)
    def rows_changed(self, fact: Fact) -> None:
        """Each changed session row was addressed."""
        rows = self.ledger.rows
        for key in rows.changed:
            if not _addresses_session(fact, key):
                self.violate(
                    session=session(key),
                    changed_by=type(fact).__name__,
                    row_before=row(rows.before.get(key)),
                    row_after=row(rows.sessions.get(key)),
                )

    @on(WorkChanged)
    def work_changed(self, fact: Fact) -> None:
        """Each changed item was addressed."""
        rows = self.ledger.rows
        before = {stored.seq: stored for stored in rows.work_before}
        for stored in rows.work:
            if before.pop(stored.seq, None) != stored:
                self._check(fact, stored)
        for gone in before.values():
            self._check(fact, gone)

    def _check(self, fact: Fact, stored: WorkerRow) -> None:
        if stored.item is not None and not _addresses_item(fact, stored):
            self.violate(
                seq=stored.seq,
                instance=stored.item.instance,
                activity_id=stored.item.id,
                changed_by=type(fact).__name__,
            )


def _addresses_session(fact: Fact, key: SessionKey) -> bool:
    match fact:
        case Acked():
            return key[0] == fact.instance.id
        case Deleted():
            return key[0] in fact.instances
        case Renewed() | Released():
            return key == fact.key
        case Delivered():
            return key == fact.item.key
        case ItemRenewed():
            return fact.item is not None and key == fact.item.key
        case _:
            return False


def _addresses_item(fact: Fact, stored: WorkerRow) -> bool:
    assert stored.item is not None
    match fact:
        case Acked():
            return stored.item.instance == fact.instance.id
        case Deleted():
            return stored.item.instance in fact.instances
        case Delivered() | Done() | Abandoned() | ItemRenewed() | Enqueued():
            return fact.item is not None and fact.item.seq == stored.seq
        case _:
            return False

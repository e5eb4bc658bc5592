"""INV-05 Owned-only never claims: a fetch with `claim_new=False` serves only what the worker has.

A commit in owned-only mode contains no `CLAIM`, changes no `worker_id` and touches no expired row.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, RowsChanged, on, row, session
from holdfast.properties.judging.ledger.facts import Delivered, Fact, FetchRefused, Nothing
from holdfast.properties.judging.ledger.rows import is_live


class OwnedOnlyNeverClaims(Monitor):
    id = "INV-05"
    title = "Owned-only never claims"
    hooks = ("session_records",)

    @on(Delivered)
    def delivered(self, fact: Delivered) -> None:
        """Whatever is delivered belongs to a live session of the caller."""
        key, before = fact.item.key, fact.row_before
        if fact.mode != "owned" or key is None:
            return
        if before is None or before.worker_id != fact.owner or not is_live(before, self.ledger.now):
            self.violate(
                session=session(key), item=fact.item.name(), worker=fact.owner, row_before=row(before)
            )

    @on(RowsChanged)
    def changed(self, fact: Fact) -> None:
        """Only the expiry of a live row has changed."""
        if not isinstance(fact, Delivered | Nothing | FetchRefused) or fact.mode != "owned":
            return
        rows = self.ledger.rows
        for key in rows.changed:
            before, after = rows.before.get(key), rows.sessions.get(key)
            if (
                before is None
                or after is None
                or after.worker_id != before.worker_id
                or not is_live(before, self.ledger.now)
            ):
                self.violate(session=session(key), row_before=row(before), row_after=row(after))

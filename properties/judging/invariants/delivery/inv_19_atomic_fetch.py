"""INV-19 Atomic fetch.

`CLAIM`/`EXT` of a session and the item lock appear together or not at all; no row is claimed by a fetch
that delivered nothing.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, row, session
from holdfast.properties.judging.ledger.facts import Delivered, FetchRefused, Nothing
from holdfast.properties.judging.ledger.state import deadline


class AtomicFetch(Monitor):
    id = "INV-19"
    title = "Atomic fetch"
    hooks = ("session_records", "worker_rows")

    @on(Delivered)
    def delivered(self, fact: Delivered) -> None:
        """The item is locked, and its session is the fetcher's, or no row has changed."""
        ledger, item = self.ledger, fact.item
        stored = ledger.row_of(item)
        until = deadline(ledger.now, fact.lock_timeout)
        if stored is not None and (stored.token != fact.attempt.token or stored.locked_until != until):
            self.violate(
                item=item.name(), delivered_to=fact.owner, locked_until=stored.locked_until, expected=until
            )
        if item.key is None:
            if ledger.rows.changed:
                self.violate(item=item.name(), rows_changed=[session(key) for key in ledger.rows.changed])
        elif fact.row_after is None or fact.row_after.worker_id != fact.owner:
            self.violate(
                session=session(item.key),
                item=item.name(),
                delivered_to=fact.owner,
                row_after=row(fact.row_after),
            )

    @on(Nothing, FetchRefused)
    def nothing(self, fact: Nothing | FetchRefused) -> None:
        """No row or item has changed. (Setting an undecodable item aside does not count as a change.)"""
        rows = self.ledger.rows
        if rows.changed or (rows.work_changed and all(stored.item is not None for stored in rows.work)):
            self.violate(
                delivered=False,
                rows_changed=[session(key) for key in rows.changed],
                items_changed=rows.work_changed,
            )

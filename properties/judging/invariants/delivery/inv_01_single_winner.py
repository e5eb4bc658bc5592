"""INV-01 Single winner: if several workers claim a session, only one gets it.

For every `CLAIM(i,s,w,·)` at p, the row just before p was absent, unclaimed, expired at τ(p), or named w.
Two claims of the same unclaimed state never both commit.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, row, session
from holdfast.properties.judging.ledger.facts import Delivered
from holdfast.properties.judging.ledger.rows import is_live


class SingleWinner(Monitor):
    """INV-01. Commits are totally ordered, so a second claim of one state finds the first one's row."""

    id = "INV-01"
    title = "Single winner"
    hooks = ("session_records",)

    @on(Delivered)
    def claimed(self, fact: Delivered) -> None:
        """A fetch that claims a session does not take it from another live owner."""
        before, after = fact.row_before, fact.row_after
        if before is None or after is None or after.worker_id != fact.owner:
            return
        if before.worker_id != fact.owner and is_live(before, self.ledger.now):
            assert fact.item.key is not None
            self.violate(
                session=session(fact.item.key),
                claimed_by=fact.owner,
                row_before=row(before),
                row_after=row(after),
                item=fact.item.name(),
            )

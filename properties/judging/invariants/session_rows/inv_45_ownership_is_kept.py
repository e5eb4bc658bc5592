"""INV-45 Ownership is kept.

Without clock jumps, while w runs, reaches the provider within R of each due time and holds the lease, the
row stays live and w's.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, row, session
from holdfast.properties.judging.ledger.facts import Delivered
from holdfast.properties.judging.ledger.rows import is_live


class OwnershipIsKept(Monitor):
    """INV-45. Judged when a worker claims an expired session: its owner must have had a reason to lose it."""

    id = "INV-45"
    title = "Ownership is kept"
    hooks = ("session_records",)

    @on(Delivered)
    def claimed(self, fact: Delivered) -> None:
        """The owner has crashed, was disturbed, or has let go of the session."""
        key, before = fact.item.key, fact.row_before
        ledger = self.ledger
        if key is None or before is None or before.worker_id is None or is_live(before, ledger.now):
            return
        owner = ledger.named(before.worker_id)
        if owner is None or not owner.runs or owner.shutdown is not None or key not in owner.leases:
            return
        if ledger.book.jumps or ledger.book.struck(owner.process, owner.extended_us.get(key, 0)):
            return
        self.violate(
            session=session(key),
            owner=owner.name(),
            claimed_by=fact.owner,
            row_before=row(before),
            extended_us=owner.extended_us.get(key, 0),
        )

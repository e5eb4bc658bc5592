"""INV-37 Fenced acks.

`ACK_REJ` changes nothing; between two accepted acks of an instance no other ack of it is accepted.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, session
from holdfast.properties.judging.ledger.facts import Acked, AckRejected


class FencedAcks(Monitor):
    """INV-37. An accepted ack shows the token of the latest fetch of its instance, held until then."""

    id = "INV-37"
    title = "Fenced acks"
    hooks = ("session_records", "worker_rows")

    @on(AckRejected)
    def rejected(self, fact: AckRejected) -> None:
        """Nothing has changed."""
        rows = self.ledger.rows
        if rows.changed or rows.work_changed:
            self.violate(
                rejected=True,
                rows_changed=[session(key) for key in rows.changed],
                items_changed=rows.work_changed,
            )

    @on(Acked)
    def accepted(self, fact: Acked) -> None:
        """The ack held the instance lock."""
        if not fact.fenced:
            self.violate(instance=fact.instance.id, acked_by=fact.worker.name(), fenced=False)

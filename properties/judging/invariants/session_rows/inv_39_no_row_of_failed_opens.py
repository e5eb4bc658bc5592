"""INV-39 No row left by failed opens.

A session whose opening `ACK` was rejected or whose action was refused has no row and no event.

Choices. That a refused action has no event is part of INV-35 and INV-40: what is recorded was admitted.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on, row, session
from holdfast.properties.judging.ledger.facts import AckRejected


class NoRowOfFailedOpens(Monitor):
    """INV-39. Looks among the rows for the sessions that a rejected ack would have opened."""

    id = "INV-39"
    title = "No row left by failed opens"
    hooks = ("session_records",)

    @on(AckRejected)
    def rejected(self, fact: AckRejected) -> None:
        """None of the sessions it would have opened has a row."""
        if fact.instance is None or fact.instance.direct:
            return
        for identity in fact.metadata.opened_sessions:
            key = identity.instance, identity.session_id
            if key[0] == fact.instance.id and key[1] not in fact.instance.open:
                record = self.ledger.rows.sessions.get(key)
                if record is not None:
                    self.violate(session=session(key), row=row(record))

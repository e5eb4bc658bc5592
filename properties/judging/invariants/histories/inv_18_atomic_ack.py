"""INV-18 Atomic ack.

After any crash or error the stored state equals the state before or the state after the whole `ACK`:
rows, items, events, completions and lock together.
"""

from __future__ import annotations

from holdfast.core.contract.store import SessionRecord
from holdfast.properties.judging.invariants.monitor import Monitor, on, row, session
from holdfast.properties.judging.ledger.facts import Acked, AckRejected, TurnFetched
from holdfast.properties.judging.ledger.instances import SessionKey


class AtomicAck(Monitor):
    """INV-18. Rows and items are compared at the ack, the history when the next turn reads it."""

    id = "INV-18"
    title = "Atomic ack"
    hooks = ("session_records", "worker_rows")

    @on(Acked)
    def acked(self, fact: Acked) -> None:
        """Everything the ack asked for is there."""
        ledger = self.ledger
        for key, expected in self._expected(fact).items():
            actual = ledger.rows.sessions.get(key)
            if actual != expected:
                self.violate(session=session(key), row_expected=row(expected), row_after=row(actual))
        for item in ledger.missing:
            if item in fact.enqueued:
                self.violate(item=item.name(), enqueued=False)
        for stray in ledger.strays:
            if any(item.seq == stray.seq for item in fact.removed):
                self.violate(seq=stray.seq, removed=False)

    @on(AckRejected)
    def rejected(self, fact: AckRejected) -> None:
        """Nothing the ack asked for is there."""
        rows = self.ledger.rows
        if rows.changed or rows.work_changed:
            self.violate(
                rejected=True,
                rows_changed=[session(key) for key in rows.changed],
                items_changed=rows.work_changed,
            )

    @on(TurnFetched)
    def read(self, fact: TurnFetched) -> None:
        """The stored history is exactly the acknowledged deltas."""
        instance, turn = fact.instance, fact.fetched.item
        if instance.direct or turn.history_error is not None:
            return
        expected = instance.event_counts.get(turn.execution_id, 0)
        actual = len(turn.history)
        if actual != expected or (actual and turn.history[-1] != instance.last_events[turn.execution_id]):
            self.violate(
                instance=instance.id,
                execution_id=turn.execution_id,
                events_acknowledged=expected,
                events_stored=actual,
            )

    def _expected(self, fact: Acked) -> dict[SessionKey, SessionRecord | None]:
        """The rows that the ack names, as they must be: closed, then opened (SS-12.10)."""
        before = self.ledger.rows.before
        id = fact.instance.id
        expected: dict[SessionKey, SessionRecord | None] = {}
        if fact.terminal:
            expected = {key: None for key in before if key[0] == id}
        for named in fact.metadata.cancelled_sessions:
            expected[named.instance, named.session_id] = None
        if fact.terminal:
            return expected
        for named in fact.metadata.opened_sessions:
            key = (named.instance, named.session_id)
            known = expected.get(key) if key in expected else before.get(key)
            expected[key] = SessionRecord(*key, None, None) if known is None else known
        return expected

"""INV-41 Sessions off means unchanged.

In runs without session calls, stored JSON, delivery order and completion contents equal those of a runtime
without the feature, given the same schedule.

Choices. This checks what is stored for an instance that never used a session: no JSON names a session, and no
ack lists one. The first item and the first event of each kind stand for the others in a run; INV-06 covers
the order of deliveries.
"""

from __future__ import annotations

from holdfast.core.contract.codec import encode_event, encode_work_item
from holdfast.core.contract.events import OpaqueEvent
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.properties.judging.ledger.facts import Acked
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.timing import Timings


class SessionsOffMeansUnchanged(Monitor):
    id = "INV-41"
    title = "Sessions off means unchanged"

    def __init__(self, ledger: Ledger, timings: Timings) -> None:
        super().__init__(ledger, timings)
        self._seen: set[type] = set()

    @on(Acked)
    def acked(self, fact: Acked) -> None:
        """Nothing stored for an instance without sessions mentions one."""
        if fact.instance.incarnation_counts or fact.instance.direct or fact.delta.idle_closes:
            return
        metadata = fact.metadata
        if metadata.opened_sessions and not fact.delta.opened:
            self.violate(instance=fact.instance.id, opened=[str(one) for one in metadata.opened_sessions])
        for item in fact.worker_items:
            if item.session_id is None and self._first(ActivityExecute):
                self._judge(fact.instance.id, encode_work_item(item))
        for event in fact.events:
            if not isinstance(event, OpaqueEvent) and self._first(type(event)):
                self._judge(fact.instance.id, encode_event(event))

    def _first(self, kind: type) -> bool:
        known = kind in self._seen
        self._seen.add(kind)
        return not known

    def _judge(self, instance: str, text: bytes) -> None:
        if b'"session_id"' in text or b'"open_sessions"' in text:
            self.violate(instance=instance, stored=text.decode())

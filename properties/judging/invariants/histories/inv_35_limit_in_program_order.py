"""INV-35 Limit in program order.

After every admitted open, |open(i)| <= the limit in force at that call; no open is refused while fewer are
open.
"""

from __future__ import annotations

import re
from typing import Final

from holdfast.core.contract.events import SessionClosed, SessionOpened
from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.properties.judging.ledger.facts import Acked

_REFUSED: Final = re.compile(r"max sessions per orchestration exceeded \(limit: (\d+), open: (\d+)\)")


class LimitInProgramOrder(Monitor):
    """INV-35. The events of a delta stand in the order of the calls."""

    id = "INV-35"
    title = "Limit in program order"

    @on(Acked)
    def acked(self, fact: Acked) -> None:
        """Each open found room; one that was refused did not."""
        failure = fact.delta.failure
        if not fact.delta.opened and failure is None:
            return
        timing = self.timings.of(fact.worker.process)
        if timing is None or timing.open_max is None:
            return
        limit = timing.open_max
        now_open = dict.fromkeys(incarnation.key[1] for incarnation in fact.open_before)
        for event in fact.events:
            if isinstance(event, SessionOpened):
                now_open[event.session_id] = None
                if len(now_open) > limit:
                    self.violate(instance=fact.instance.id, open=list(now_open), limit=limit)
            elif isinstance(event, SessionClosed):
                now_open.pop(event.session_id, None)
        refused = None if failure is None else _REFUSED.search(failure.display())
        if refused is not None and len(now_open) < limit:
            self.violate(instance=fact.instance.id, refused=refused.group(), open=list(now_open), limit=limit)

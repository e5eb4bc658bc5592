"""INV-34 Replay stability.

Replaying any prefix-closed stored history yields the recorded actions with the same session ids, and no
session check fails on a recorded action.

Choices. The engine replays the whole stored history at the start of every turn, so every turn is a test of
it: a replay that differs ends the instance as nondeterministic. Code may differ between processes, so a turn
    is judged only if the process that ran it had also run all earlier turns of the execution.
"""

from __future__ import annotations

from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.properties.judging.ledger.facts import Acked
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.timing import Timings


class ReplayStability(Monitor):
    id = "INV-34"
    title = "Replay stability"

    def __init__(self, ledger: Ledger, timings: Timings) -> None:
        super().__init__(ledger, timings)
        self._ran: dict[tuple[str, int], set[tuple[str, int]]] = {}

    @on(Acked)
    def acked(self, fact: Acked) -> None:
        """No turn has failed because its history does not fit its code."""
        execution = (fact.instance.id, fact.delta.execution_id)
        ran = self._ran.setdefault(execution, set())
        ran.add((fact.worker.process, fact.worker.boot))
        failure = fact.delta.failure
        if failure is None or failure.configuration is None or len(ran) > 1:
            return
        if not failure.configuration.resource:
            self.violate(instance=fact.instance.id, failure=failure.display())

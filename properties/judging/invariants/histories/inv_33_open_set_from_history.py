"""INV-33 Open set from history.

At the start of every turn the engine's open set equals the set computed from the stored history of the
current execution alone.
"""

from __future__ import annotations

from holdfast.core.contract.observe import TurnEnded
from holdfast.properties.judging.invariants.monitor import Monitor, on
from holdfast.traces.record import Local


class OpenSetFromHistory(Monitor):
    """INV-33. Compares what the engine started from with what was stored when its turn was fetched."""

    id = "INV-33"
    title = "Open set from history"

    @on(TurnEnded)
    def turn_ended(self, local: Local) -> None:
        """The engine began with what was open."""
        event = local.event
        assert isinstance(event, TurnEnded)
        stored = self.ledger.open_at_fetch(local.process, local.boot, event.instance_id)
        if stored and all(sorted(event.open_sessions) != sorted(one) for one in stored):
            self.violate(
                instance=event.instance_id,
                execution_id=event.execution_id,
                open_in_engine=list(event.open_sessions),
                open_by_history=[list(one) for one in stored],
            )

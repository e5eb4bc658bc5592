"""When time alone brings something to a waiting fetch (PV-23.6)."""

from __future__ import annotations

from holdfast.core.contract.ids import INT63_MAX, Millis
from holdfast.providers.memory.tables import Tables


def next_change(tables: Tables, now: Millis) -> int:
    """The next time at which a row becomes visible or a lock runs out (PV-23.6); far off if none does."""
    due = INT63_MAX
    message = tables.messages.next_visible_after(now)
    if message is not None:
        due = min(due, message)
    for found in (tables.ready_messages.next_change(now), tables.ready_work.next_change(now)):
        if found is not None:
            due = min(due, found)
    return due

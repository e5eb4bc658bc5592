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
    for lock in tables.locks.values():
        if lock.locked_until > now:
            due = min(due, lock.locked_until)
    for until in tables.held_until.values():
        if until > now:
            due = min(due, until)
    for row in tables.work.by_seq.values():
        for time in (row.visible_from, row.locked_until):
            if time > now:
                due = min(due, time)
    for sessions in tables.sessions.values():
        for session in sessions.values():
            if session.locked_until is not None and session.locked_until > now:
                due = min(due, session.locked_until)
    return due

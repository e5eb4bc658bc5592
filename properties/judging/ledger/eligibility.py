"""Which items a fetch may hand out (sessions.md 13)."""

from __future__ import annotations

from holdfast.core.contract.provider import TagFilter
from holdfast.core.contract.store import SessionRecord
from holdfast.properties.judging.ledger.facts import FetchMode
from holdfast.properties.judging.ledger.instances import SessionKey
from holdfast.properties.judging.ledger.items import Item
from holdfast.properties.judging.ledger.state import LedgerState


def session_is_open_to(row: SessionRecord | None, owner: str, mode: FetchMode, now: int) -> bool:
    """Whether items of a session with this row are considered: the right column of section 13's table."""
    if mode == "plain":
        return False
    if row is not None and row.locked_until is not None and row.locked_until > now:
        return row.worker_id == owner
    return mode == "full"


def first_eligible(
    state: LedgerState, owner: str, mode: FetchMode, filter: TagFilter, *, below: int | None = None
) -> Item | None:
    """The eligible item of smallest rank, below a given one, by the session rows before this commit."""
    now = state.now
    rows: dict[SessionKey, SessionRecord] = state.rows.before
    for item in state.queue:
        if below is not None and item.number >= below:
            return None
        if item.may_be_fetched(now, filter) and (
            item.key is None or session_is_open_to(rows.get(item.key), owner, mode, now)
        ):
            return item
    return None

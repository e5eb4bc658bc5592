"""Whether a turn asks for too much (RT-22), or for what the provider does not offer (RT-27.12)."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core.contract import events
from holdfast.core.contract.events import Event
from holdfast.core.program.limits import TurnLimits, utf8_length


def violation(
    scheduled: Sequence[Event], *, limits: TurnLimits, kv_key_count: int, supports_sessions: bool
) -> str | None:
    """What is wrong first with the events that a turn's actions became; None if nothing."""
    if not supports_sessions and any(_needs_sessions(event) for event in scheduled):
        return "Provider does not support sessions"
    return (
        _status(scheduled, limits.custom_status_bytes_max)
        or _tags(scheduled, limits.tag_bytes_max)
        or _values(scheduled, limits.kv_value_bytes_max)
        or _key_count(scheduled, kv_key_count, limits.kv_key_count_max)
    )


def _needs_sessions(event: Event) -> bool:
    return isinstance(event, events.SessionOpened) or (
        isinstance(event, events.ActivityScheduled) and event.session_id is not None
    )


def _status(scheduled: Sequence[Event], most: int) -> str | None:
    """Only the last status of the turn counts."""
    for event in reversed(scheduled):
        if isinstance(event, events.CustomStatusUpdated):
            size = utf8_length(event.status or "")
            return f"Custom status size ({size} bytes) exceeds limit ({most} bytes)" if size > most else None
    return None


def _tags(scheduled: Sequence[Event], most: int) -> str | None:
    for event in scheduled:
        if isinstance(event, events.ActivityScheduled) and event.tag is not None:
            size = utf8_length(event.tag)
            if size > most:
                return f"Activity '{event.name}' tag size ({size} bytes) exceeds limit ({most} bytes)"
    return None


def _values(scheduled: Sequence[Event], most: int) -> str | None:
    for event in scheduled:
        if isinstance(event, events.KeyValueSet):
            size = utf8_length(event.value)
            if size > most:
                return f"KV value for key '{event.key}' ({size} bytes) exceeds limit ({most} bytes)"
    return None


def _key_count(scheduled: Sequence[Event], count: int, most: int) -> str | None:
    """Judged only in a turn that sets a key: a lowered limit must not fail an instance that sets none."""
    if count > most and any(isinstance(event, events.KeyValueSet) for event in scheduled):
        return f"KV key count ({count}) exceeds limit ({most})"
    return None

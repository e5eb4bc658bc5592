"""Whether a turn asks for too much (RT-22), or for what the provider does not offer (RT-27.12)."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core.contract import events
from holdfast.core.contract.events import Event
from holdfast.core.engine.matching import SESSION_EVENTS, SIZE_LIMITS
from holdfast.core.program.limits import TurnLimits, utf8_length


def violation(
    scheduled: Sequence[Event], *, limits: TurnLimits, kv_key_count: int, supports_sessions: bool
) -> str | None:
    """The first thing wrong with the events of a turn's actions; None if nothing is."""
    if not supports_sessions and any(_needs_sessions(event) for event in scheduled):
        return "Provider does not support sessions"
    return _too_long(scheduled, limits) or _key_count(scheduled, kv_key_count, limits.kv_key_count_max)


def _needs_sessions(event: Event) -> bool:
    return type(event) in SESSION_EVENTS and getattr(event, "session_id", None) is not None


def _too_long(scheduled: Sequence[Event], limits: TurnLimits) -> str | None:
    """The first text over its limit, in the order of the limits."""
    for kind, size in SIZE_LIMITS:
        most: int = getattr(limits, size.limit)
        judged = [event for event in scheduled if type(event) is kind]
        for event in judged[-1:] if size.only_last else judged:
            length = utf8_length(getattr(event, size.member) or "")
            if length > most:
                return f"{size.what.format(event)} ({length} bytes) exceeds limit ({most} bytes)"
    return None


def _key_count(scheduled: Sequence[Event], count: int, most: int) -> str | None:
    """Judged only in a turn that sets a key: a lowered limit must not fail an instance that sets none."""
    if count > most and any(isinstance(event, events.KeyValueSet) for event in scheduled):
        return f"KV key count ({count}) exceeds limit ({most})"
    return None

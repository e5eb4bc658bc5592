"""Replacements that several defects make."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

from holdfast.core.contract import codec
from holdfast.core.engine.actions import CallActivity
from holdfast.core.engine.context import OrchestrationContext
from holdfast.properties.defects.defect import Change, original
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction


def encoded(encode: Callable[..., bytes]) -> Change:
    """Events and items are written by this function, which gets the right one before the value."""
    before = original(codec, "_encoder").encode
    return Change(codec, "_encoder", SimpleNamespace(encode=partial(encode, before)))


def activities_emitted(emit: Callable[[OrchestrationContext, CallActivity], object]) -> Change:
    """Calls of activities, with a session or without, end up in this function."""

    def emit_activity(
        self: OrchestrationContext,
        name: str,
        input: str,
        tag: str | None = None,
        session_id: str | None = None,
    ) -> object:
        return emit(self, CallActivity(name=name, input=input, session_id=session_id, tag=tag))

    return Change(OrchestrationContext, "_emit_activity", emit_activity)


def scheduled_on(session_of: Callable[[OrchestrationContext, str | None], str | None]) -> Change:
    """Activities are scheduled on the session that the function makes of the one the code named."""
    emit = original(OrchestrationContext, "_emit_activity")

    def emit_elsewhere(context: OrchestrationContext, call: CallActivity) -> object:
        return emit(context, call.name, call.input, call.tag, session_of(context, call.session_id))

    return activities_emitted(emit_elsewhere)


def session_owner(
    transaction: Transaction, instance: str, session_id: str
) -> tuple[str | None, int | None] | None:
    """Worker and expiry of a stored session; None without a row."""
    values = {"instance": instance, "session": session_id}
    return transaction.one(sqlite_work.SQL["session_owner"], values)

"""Defects of the orchestration dispatcher: of what it makes of a turn and acknowledges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from msgspec import structs

from holdfast.core.contract.work_items import ContinueAsNewMessage
from holdfast.core.dispatching import dispatcher
from holdfast.core.dispatching.settlement import _Settlement
from holdfast.core.dispatching.turn_commit import TurnCommit
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced


def _settled(change: Callable[[TurnCommit], TurnCommit]) -> Planting:
    """The commit of every turn is changed before it is acknowledged."""
    settle = original(dispatcher, "settle")

    def settle_otherwise(*args: Any, **kwargs: Any) -> TurnCommit:
        return change(settle(*args, **kwargs))

    return replaced(Change(dispatcher, "settle", settle_otherwise))


def _without_closes(commit: TurnCommit) -> TurnCommit:
    return replace(commit, metadata=replace(commit.metadata, cancelled_sessions=()))


def _without_opens(commit: TurnCommit) -> TurnCommit:
    return replace(commit, metadata=replace(commit.metadata, opened_sessions=()))


def _without_carried_sessions(commit: TurnCommit) -> TurnCommit:
    return replace(
        commit,
        orchestrator_items=tuple(
            structs.replace(item, open_sessions=()) if isinstance(item, ContinueAsNewMessage) else item
            for item in commit.orchestrator_items
        ),
    )


def _failed_turns_work_on() -> Planting:
    """What a turn asked for before it failed is done, as if it had gone on."""

    def dispatch_all(self: _Settlement) -> None:
        for action in self._result.actions:
            self._dispatch(action)

    return replaced(Change(_Settlement, "_dispatch_detached", dispatch_all))


DEFECTS: Final = (
    Defect(
        name="closes_are_kept_back",
        title="The acknowledgement of a turn does not tell the provider which sessions it has closed",
        where="orchestration dispatcher",
        caught_by="INV-10",
        rows=("7.2", "23.15"),
        scenario="session_lock_renewal_stops_on_close",
        needs="nothing",
        planted=lambda: _settled(_without_closes),
    ),
    Defect(
        name="opens_are_kept_back",
        title="The acknowledgement of a turn leaves it to the first fetch to make the row of a new session",
        where="orchestration dispatcher",
        caught_by="INV-11",
        rows=("1.5",),
        scenario="open_session_returns_unique_id",
        needs="nothing",
        planted=lambda: _settled(_without_opens),
    ),
    Defect(
        name="carried_sessions_are_forgotten",
        title="The message that starts the next execution does not name the sessions that stay open",
        where="orchestration dispatcher",
        caught_by="INV-33",
        rows=("10.1", "10.2", "10.4", "15.5", "27.7"),
        scenario="session_survives_continue_as_new",
        needs="nothing",
        planted=lambda: _settled(_without_carried_sessions),
    ),
    Defect(
        name="failed_turns_work_on",
        title="A turn that fails still enqueues the activities that it had asked for",
        where="orchestration dispatcher",
        caught_by="INV-40",
        rows=("8.3", "27.7"),
        scenario="refused_turn_does_nothing",
        needs="nothing",
        planted=_failed_turns_work_on,
    ),
)

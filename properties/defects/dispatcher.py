"""Defects of the orchestration dispatcher: of what it makes of a turn and acknowledges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from msgspec import structs

from holdfast.core.contract.work_items import ContinueAsNewMessage
from holdfast.core.dispatching import dispatcher
from holdfast.core.dispatching.settlement import _Settlement
from holdfast.core.dispatching.turn_commit import TurnCommit
from holdfast.properties.defects.defect import Change, Changes, around, defect


def _settled(change: Callable[[TurnCommit], TurnCommit]) -> Change:
    """The commit of every turn is changed before it is acknowledged."""
    return around(dispatcher, "settle", lambda settle, *given, **named: change(settle(*given, **named)))


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


@defect("orchestration dispatcher", "8.3 27.7", "refused_turn_does_nothing", caught_by="INV-40")
def failed_turns_work_on() -> Changes:
    """A turn that fails still enqueues the activities that it had asked for."""

    def dispatch_all(self: _Settlement) -> None:
        for action in self._result.actions:
            self._dispatch(action)

    # The acknowledgement's own check of its work is off, too: the rules must see it without that help.
    yield Change(_Settlement, "_dispatch_detached", dispatch_all)
    yield Change(TurnCommit, "_check_work", lambda self: None)


@defect("orchestration dispatcher", "7.2 23.15", "session_lock_renewal_stops_on_close", caught_by="INV-10")
def closes_are_kept_back() -> Changes:
    """The acknowledgement of a turn does not tell the provider which sessions it has closed."""
    yield _settled(_without_closes)


@defect("orchestration dispatcher", "1.5", "open_session_returns_unique_id", caught_by="INV-11")
def opens_are_kept_back() -> Changes:
    """The acknowledgement of a turn leaves it to the first fetch to make the row of a new session."""
    yield _settled(_without_opens)


@defect(
    "orchestration dispatcher",
    "10.1 10.2 10.4 15.5 27.7",
    "session_survives_continue_as_new",
    caught_by="INV-33",
)
def carried_sessions_are_forgotten() -> Changes:
    """The message that starts the next execution does not name the sessions that stay open."""
    yield _settled(_without_carried_sessions)

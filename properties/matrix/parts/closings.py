"""Closings: the acks that close or end, the handlers and requests they concern, read out of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.core.contract.events import (
    ActivityCancelRequested,
    OrchestrationCompleted,
    OrchestrationFailed,
    SessionClosed,
    StoredEvent,
)
from holdfast.core.contract.provider import TERMINAL_STATUSES, FetchedTurn
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.sim.toolkit.world import World
from holdfast.traces.calls import AckOrchestrationItemCall
from holdfast.traces.record import Commit

ACK = "ack_orchestration_item"


class Concluded(NamedTuple):
    """What the ack of a turn said."""

    token: str
    delta: list[StoredEvent]
    work: list[ActivityExecute]
    opened: list[str]
    closed: list[str]
    cancelled: list[int]
    status: str | None


def concluded(commit: Commit) -> Concluded:
    """The conclusions of the turn whose ack a commit is; sessions and activities by their own ids."""
    said = commit.call
    assert isinstance(said, AckOrchestrationItemCall), commit
    return Concluded(
        token=said.token,
        delta=list(said.history_delta),
        work=list(said.worker_items),
        opened=[each.session_id for each in said.metadata.opened_sessions],
        closed=[each.session_id for each in said.metadata.cancelled_sessions],
        cancelled=[each.activity_id for each in said.cancelled_activities],
        status=said.metadata.status,
    )


def turn_ack(commit: Commit) -> AckOrchestrationItemCall | None:
    """The acknowledgement of a turn that a commit is, if it is one and took effect."""
    call = commit.call
    return call if isinstance(call, AckOrchestrationItemCall) and commit.took_effect else None


def closes(commit: Commit, instance: str = "i", session_id: str = "s") -> bool:
    """Whether a commit is the ack of a turn that closes this session."""
    ack = turn_ack(commit)
    return ack is not None and any(
        isinstance(event, SessionClosed) and (event.instance_id, event.session_id) == (instance, session_id)
        for event in ack.history_delta
    )


def lists_closed(commit: Commit, instance: str = "i") -> bool:
    """Whether a commit is the ack of a turn that lists a session of the instance as closed, and goes on."""
    ack = turn_ack(commit)
    if ack is None or ack.metadata.status is not None:
        return False
    return any(one.instance == instance for one in ack.metadata.cancelled_sessions)


def continues(commit: Commit) -> bool:
    """Whether a commit is the ack of a turn that continued as new."""
    ack = turn_ack(commit)
    return ack is not None and ack.metadata.status == "ContinuedAsNew"


def ends_instance(commit: Commit, instance: str = "i") -> bool:
    """Whether a commit is the ack that ends this instance."""
    return (
        commit.operation == ACK
        and commit.took_effect
        and concluded(commit).status in TERMINAL_STATUSES
        and any(
            event.instance_id == instance
            for event in concluded(commit).delta
            if isinstance(event, OrchestrationCompleted | OrchestrationFailed)
        )
    )


def gets_turn(commit: Commit, instance: str = "i") -> bool:
    """Whether a commit handed out a batch of this instance."""
    return isinstance(commit.result, FetchedTurn) and commit.result.item.instance == instance


def ack_of(commits: Iterable[Commit], turn: Commit) -> Commit:
    """The ack that took effect for the batch that a commit handed out."""
    assert isinstance(turn.result, FetchedTurn), turn
    return next(
        commit
        for commit in commits
        if commit.operation == ACK and commit.took_effect and commit.arguments["token"] == turn.result.token
    )


def requests(events: Iterable[StoredEvent]) -> list[tuple[int | None, str]]:
    """The cancel requests for activities, in order: whose, and why."""
    return [
        (event.source_event_id, event.reason)
        for event in events
        if isinstance(event, ActivityCancelRequested)
    ]


async def ended(world: World, instance: str = "i") -> Commit:
    """The ack that ends an instance: the one there is, or the one to come."""
    await world.until(lambda: any(ends_instance(one, instance) for one in world.commits))
    return next(one for one in world.commits if ends_instance(one, instance))

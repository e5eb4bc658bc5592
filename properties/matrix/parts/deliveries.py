"""Deliveries: what workers fetched, acked and renewed, read out of the commits of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.core.contract.provider import FetchedTurn, FetchedWork
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit


def delivered(commit: Commit) -> FetchedWork | None:
    """The item that a commit handed to a worker, if it did."""
    result = commit.result
    return result if isinstance(result, FetchedWork) and commit.took_effect else None


def of_session(commit: Commit, session_id: str) -> bool:
    """Whether a commit handed out an item of this session."""
    work = delivered(commit)
    return work is not None and work.item.session_id == session_id


def deliveries(commits: Iterable[Commit], session_id: str) -> list[Commit]:
    """The commits that handed out items of this session, in order."""
    return [commit for commit in commits if of_session(commit, session_id)]


def item_of(commit: Commit) -> ActivityExecute:
    """The item that a delivery handed out."""
    work = delivered(commit)
    assert work is not None, f"commit {commit.position} delivered nothing"
    return work.item


def acked(commits: Iterable[Commit], delivery: Commit) -> bool:
    """Whether the process of a delivery has finished its item successfully under that delivery's token."""
    work = delivered(delivery)
    return work is not None and any(
        commit.operation == "ack_work_item"
        and commit.took_effect
        and commit.process == delivery.process
        and commit.arguments["token"] == work.token
        for commit in commits
    )


def renewals(commits: Iterable[Commit], session_id: str) -> list[Commit]:
    """The stand-alone renewals of a session, in order, refused ones included."""
    return [
        commit
        for commit in commits
        if commit.operation == "renew_session_lock" and commit.arguments["session_id"] == session_id
    ]


def turn_acks(commits: Sequence[Commit], instance: str) -> list[Commit]:
    """The committed acks of an instance's turns, in order."""
    tokens = {
        commit.result.token
        for commit in commits
        if isinstance(commit.result, FetchedTurn) and commit.result.item.instance == instance
    }
    return [
        commit
        for commit in commits
        if commit.operation == "ack_orchestration_item"
        and commit.took_effect
        and commit.arguments["token"] in tokens
    ]


def owner_of(world: World, workers: Sequence[Handle], instance: str, session_id: str) -> Handle:
    """The worker that a session's row names. AssertionError if it names none of these."""
    record = world.session(instance, session_id)
    assert record is not None, f"session {instance}/{session_id} has no row"
    for worker in workers:
        if worker.worker_id == record.worker_id:
            return worker
    raise AssertionError(f"session {instance}/{session_id} names {record.worker_id}, none of the workers")

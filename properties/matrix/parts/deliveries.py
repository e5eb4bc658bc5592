"""Calls and deliveries: what processes asked the store for and got, read out of the commits of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.core.contract.provider import FetchedTurn, FetchedWork
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.properties.matrix.parts.conversations import sole
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

FINAL = ("ack_work_item", "abandon_work_item")
"""The calls that dispose of an item."""


def calls(
    commits: Iterable[Commit],
    *operations: str,
    process: str | None = None,
    instance: str | None = None,
    session: str | None = None,
    token: object = None,
) -> list[Commit]:
    """The calls of these kinds in order, whatever their outcome: of a process, session or lock, or of all."""
    return [
        one
        for one in commits
        if one.operation in operations
        and process in (None, one.process)
        and instance in (None, one.arguments.get("instance_id"))
        and session in (None, one.arguments.get("session_id"))
        and token in (None, one.arguments.get("token"))
    ]


def renewals(commits: Iterable[Commit], session: str, instance: str | None = None) -> list[Commit]:
    """The stand-alone renewals of a session, in order, refused ones included."""
    return calls(commits, "renew_session_lock", session=session, instance=instance)


def releases(world: World, instance: str = "i", session: str = "s") -> list[Commit]:
    """The calls to release a session, in order."""
    return calls(world.commits, "release_session_lock", session=session, instance=instance)


def effective(commits: Iterable[Commit]) -> list[Commit]:
    """Those that took effect."""
    return [one for one in commits if one.took_effect]


def refused(commit: Commit) -> bool:
    """Whether a call was refused for good."""
    return commit.error is not None and not commit.error.retryable


def refusal(commit: Commit) -> str | None:
    """The message of a call that was refused for good."""
    return None if commit.error is None or commit.error.retryable else commit.error.message


# --- deliveries ---------------------------------------------------------------------------------------


def delivered(commit: Commit) -> FetchedWork | None:
    """The item that a commit handed to a worker, if it did."""
    result = commit.result
    return result if isinstance(result, FetchedWork) and commit.took_effect else None


def work_of(commit: Commit) -> FetchedWork:
    """What a delivery handed out."""
    work = delivered(commit)
    assert work is not None, f"commit {commit.position} delivered nothing"
    return work


def item_of(commit: Commit) -> ActivityExecute:
    """The item that a delivery handed out."""
    return work_of(commit).item


def of_session(commit: Commit, session: str | None, instance: str | None = None) -> bool:
    """Whether a commit handed out an item of this session, or one of none."""
    work = delivered(commit)
    return work is not None and work.item.session_id == session and instance in (None, work.item.instance)


def deliveries(
    commits: Iterable[Commit], session: str | None, instance: str | None = None, *, process: str | None = None
) -> list[Commit]:
    """The commits that handed out items of this session, or of none, in order."""
    return [one for one in commits if of_session(one, session, instance) and process in (None, one.process)]


def tokens_of(commits: Iterable[Commit], process: str | None = None, session: str = "s") -> list[str]:
    """The tokens of the items of a session that a process was handed, in order."""
    return [work_of(one).token for one in deliveries(commits, session, process=process)]


def acked(commits: Iterable[Commit], delivery: Commit) -> bool:
    """Whether the process of a delivery has finished its item successfully under that delivery's token."""
    acks = calls(commits, "ack_work_item", process=delivery.process, token=work_of(delivery).token)
    return any(one.took_effect for one in acks)


async def acks_are(world: World, count: int) -> None:
    """Wait until so many activities have answered."""
    await world.until(lambda: len(effective(calls(world.commits, "ack_work_item"))) == count)


def item_renewals(commits: Sequence[Commit], session: str, instance: str | None = None) -> list[Commit]:
    """The renewals of the items of a session, in order."""
    tokens = [work_of(one).token for one in deliveries(commits, session, instance)]
    return [one for one in calls(commits, "renew_work_item_lock") if one.arguments["token"] in tokens]


def final_calls(commits: Sequence[Commit], instance: str = "i", session: str = "s") -> list[Commit]:
    """The final calls for items of a session that reached the store, accepted or refused, in order."""
    tokens = [work_of(one).token for one in deliveries(commits, session, instance)]
    found = [one for one in calls(commits, *FINAL) if one.arguments["token"] in tokens]
    return [one for one in found if one.outcome == "answered"]


# --- turns and owners ---------------------------------------------------------------------------------


def turn_acks(commits: Sequence[Commit], instance: str) -> list[Commit]:
    """The committed acks of an instance's turns, in order."""
    tokens = {
        commit.result.token
        for commit in commits
        if isinstance(commit.result, FetchedTurn) and commit.result.item.instance == instance
    }
    acks = effective(calls(commits, "ack_orchestration_item"))
    return [one for one in acks if one.arguments["token"] in tokens]


def owner_of(world: World, workers: Sequence[Handle], instance: str = "i", session: str = "s") -> Handle:
    """The worker that a session's row names. AssertionError if it names none of these."""
    record = world.session(instance, session)
    assert record is not None, f"session {instance}/{session} has no row"
    for worker in workers:
        if worker.worker_id == record.worker_id:
            return worker
    raise AssertionError(f"session {instance}/{session} names {record.worker_id}, none of the workers")


def owner_and_other(
    world: World, workers: Sequence[Handle], instance: str = "i", session: str = "s"
) -> tuple[Handle, Handle]:
    """Of two workers the one that a session's row names, and the other."""
    owner = owner_of(world, workers, instance, session)
    (other,) = (worker for worker in workers if worker is not owner)
    return owner, other


async def first_delivery(world: World, session: str = "s") -> Commit:
    """The next commit that hands out an item of a session: the claim, if there was none before."""
    return await world.commit(lambda commit: of_session(commit, session))


async def until_delivered(world: World, session: str = "s", instance: str = "i") -> None:
    """Wait until an item of a session has been handed out, if none was yet."""
    await world.until(lambda: bool(deliveries(world.commits, session, instance)))


async def commits_more(world: World, count: int) -> None:
    """Wait until there are so many commits more than now."""
    end = len(world.commits) + count
    await world.until(lambda: len(world.commits) >= end)


def given_back(commits: Iterable[Commit], handed: Commit) -> Commit:
    """The call that gave an item back. Asserts that there is one, uncharged and without a delay."""
    back = sole(calls(commits, "abandon_work_item", process=handed.process, token=work_of(handed).token))
    assert back.took_effect and back.arguments["ignore_attempt"] is True, back
    assert not back.arguments["delay"], back
    return back

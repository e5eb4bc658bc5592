"""Matrix section 12: activities of a session and others, side by side in one orchestration."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from holdfast.core import OrchestrationContext
from holdfast.core.contract.errors import ActivityError
from holdfast.core.contract.events import ActivityCancelRequested, ActivityScheduled, StoredEvent
from holdfast.core.contract.store import SessionRecord
from holdfast.properties.matrix.parts.closings import turn_ack
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    Seen,
    answer,
    encoded,
    failure_text,
    observations,
    of_kind,
    owners_by_session,
    running,
    seen,
    session_events,
    sole,
    start,
    two_workers,
)
from holdfast.properties.matrix.parts.deliveries import calls, delivered, deliveries, item_of, until_delivered
from holdfast.properties.matrix.parts.engine_by_hand import NOT_OPEN
from holdfast.properties.matrix.parts.rows import Look, assert_held, look
from holdfast.sim import World, scenario
from holdfast.traces.record import Commit


async def _both_kinds(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    bound = ctx.schedule_activity_on_session("work", input, session)
    plain = [ctx.schedule_activity("work", str(seconds)) for seconds in (1, 3)]
    return encoded(await ctx.join(bound, *plain))


@scenario(
    covers=["12.1", "SS-19.3", "SS-12.2"],
    workers=3,
    options=MINUTE,
    situations=["session.claimed", "plain.delivered_elsewhere", "plain.passed_session_item"],
    level="multi-runtime",
)
async def session_and_nonsession_in_same_orchestration(world: World) -> None:
    """Both kinds complete side by side."""
    handles = two_workers(world, _both_kinds)
    handles.append(world.worker("plain", running(_both_kinds), max_sessions_per_worker=0))
    owners: dict[str, SessionRecord | None] = {}
    for instance in ("i", "j"):
        await start(world, _both_kinds, instance, input=str(1 + world.draw("seconds of the session", 4)))
    for instance in ("i", "j"):
        await until_delivered(world, "s", instance)
        owners[instance] = world.session(instance, "s")
    statuses = {instance: await world.finished(instance, check=False) for instance in owners}
    workers = {handle.name: handle.worker_id for handle in handles}
    with world.oracle("12.1"):
        for instance, row in owners.items():
            bound, *plain = observations(statuses[instance])
            delivery = sole(deliveries(world.commits, "s", instance))
            assert row is not None and row.worker_id == bound.owner, (row, bound)
            assert workers[delivery.process] == bound.owner, (delivery, bound)
            assert (bound.session, [one.session for one in plain]) == ("s", [None, None]), (bound, plain)
            assert [one.input for one in plain] == ["1", "3"], plain
            fetched = [
                (workers[one.process], item_of(one).input)
                for one in deliveries(world.commits, None, instance)
            ]
            assert sorted((one.owner, one.input) for one in plain) == sorted(fetched), (plain, fetched)
        by_plain_fetch = [one for one in calls(world.commits, "fetch_work_item") if delivered(one)]
        assert by_plain_fetch == deliveries(by_plain_fetch, None), by_plain_fetch


async def _plain_in_between(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id(f"s of {ctx.instance_id}")
    first = await ctx.schedule_activity_on_session("look", "1", session)
    second = await ctx.schedule_activity("work", input)
    third = await ctx.schedule_activity_on_session("look", "3", session)
    return encoded([first, second, third])


@scenario(
    covers=["12.2", "SS-19.3", "SS-4.5"],
    workers=2,
    options=MINUTE,
    situations=["plain.delivered_elsewhere", "session.used_across_turns", "session.passed_over"],
    level="multi-runtime",
)
async def nonsession_activity_between_session_activities(world: World) -> None:
    """A plain activity in between does not disturb affinity."""
    two_workers(world, _plain_in_between)
    for instance in ("i", "j"):
        between_s = 20 * world.draw("seconds in between / 20", 5)
        await start(world, _plain_in_between, instance, input=str(between_s))
    statuses = {instance: await world.finished(instance, check=False) for instance in ("i", "j")}
    with world.oracle("12.2"):
        for instance, status in statuses.items():
            first, second, third = observations(status)
            session = f"s of {instance}"
            assert (first.session, second.session, third.session) == (session, None, session), status
            assert first.owner == third.owner, (first, third)
            assert (first.warm, third.warm) == (False, True), "it found what it had left there"


async def _four_of_two_kinds(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    kinds = input.split()
    four = [
        ctx.schedule_activity_on_session("work", str(number), session)
        if kind == "s"
        else ctx.schedule_activity("work", str(number))
        for number, kind in enumerate(kinds, start=1)
    ]
    return encoded(await ctx.join(*four))


@scenario(
    covers=["12.3", "SS-2.5", "SS-19.3", "SS-4.10"],
    workers=2,
    options=MINUTE,
    situations=["session.shared_by_slots", "plain.delivered_elsewhere"],
    level="multi-runtime",
)
async def fan_out_mixed(world: World) -> None:
    """A join over two session and two plain activities completes."""
    two_workers(world, _four_of_two_kinds)
    kinds = ("s s p p", "s p s p", "p s p s")[world.draw("order of the four", 3)]
    await start(world, _four_of_two_kinds, "i", "j", input=kinds)
    statuses = [await world.finished(instance, check=False) for instance in ("i", "j")]
    with world.oracle("12.3"):
        for status in statuses:
            four = observations(status)
            assert [one.input for one in four] == ["1", "2", "3", "4"], four
            expected = ["s" if kind == "s" else None for kind in kinds.split()]
            assert [one.session for one in four] == expected, four
            assert len(owners_by_session(four)["s"]) == 1, four


class _Loss(NamedTuple):
    """What was there right after the ack that gave an activity up: the items queued, and the session."""

    queued: list[int]
    session: Look


async def _losses(world: World, *instances: str) -> dict[str, _Loss]:
    """Wait until one activity of each has been given up; what was there at that moment."""
    found: dict[str, _Loss] = {}

    def now(instance: str) -> _Loss:
        items = [row.item for row in world.worker_rows() if row.item is not None]
        return _Loss([one.id for one in items if one.instance == instance], look(world, "s", instance))

    def given_up(commit: Commit) -> bool:
        ack = turn_ack(commit)
        for activity in () if ack is None else ack.cancelled_activities:
            found.setdefault(activity.instance, now(activity.instance))
        return len(found) == len(instances)

    await world.commit(given_up)
    return found


def _lost_select(history: list[StoredEvent], name: str, input: str) -> int:
    """The id of the one activity that was given up, and that it is this one and for that reason."""
    (request,) = of_kind(history, ActivityCancelRequested)
    assert request.reason == "dropped_future", request
    (scheduled,) = (
        event for event in of_kind(history, ActivityScheduled) if event.event_id == request.source_event_id
    )
    assert (scheduled.name, scheduled.input) == (name, input), scheduled
    return int(scheduled.event_id)


async def _against_a_timer(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    await ctx.schedule_activity_on_session("look", "before", session)
    winner, _ = await ctx.select(
        ctx.schedule_activity_on_session("work", "200", session),
        ctx.schedule_timer(timedelta(seconds=int(input))),
    )
    after = await ctx.schedule_activity_on_session("look", "after", session)
    return encoded([winner, after])


@scenario(
    covers=["12.4", "SS-19.2", "SS-2.5"],
    options={**MINUTE, "worker_concurrency": 4},
    situations=["session.shared_by_slots"],
)
async def select_session_vs_timer(world: World) -> None:
    """When the timer wins, the session activity is cancelled."""
    worker = world.worker("a", running(_against_a_timer))
    for instance in ("i", "j"):
        await start(world, _against_a_timer, instance, input=str(1 + 13 * world.draw("timer / 13", 4)))
    losses = await _losses(world, "i", "j")
    with world.oracle("12.4"):
        for instance, loss in losses.items():
            loser = _lost_select(await world.history(instance), "work", "200")
            assert loser not in loss.queued, (loser, loss.queued)
            assert_held([loss.session._replace(now_ms=world.provider_now_ms)], worker)
    statuses = {instance: await world.finished(instance, check=False) for instance in ("i", "j")}
    with world.oracle("12.4"):
        for instance, status in statuses.items():
            winner, after = answer(status)
            assert winner == 1, status
            assert seen(after)._replace(owner="") == Seen("", "s", "after", True), after
            assert seen(after).owner == worker.worker_id, after
            assert session_events(await world.history(instance)) == [("SessionOpened", "s")]


async def _against_a_plain_one(ctx: OrchestrationContext, input: str) -> str:
    session_s, plain_s, first = input.split()
    session = ctx.open_session_with_id("s")
    bound = ctx.schedule_activity_on_session("work", session_s, session)
    plain = ctx.schedule_activity("work", plain_s)
    race = ctx.select(bound, plain) if first == "s" else ctx.select(plain, bound)
    winner, value = await race
    after = await ctx.schedule_activity_on_session("look", "after", session)
    return encoded([winner, value, after])


@scenario(
    covers=["12.5", "SS-19.2", "SS-2.5"],
    options={**MINUTE, "worker_concurrency": 5},
    situations=["session.served_again"],
)
async def select_session_vs_nonsession(world: World) -> None:
    """The faster of the two wins, the other is cancelled."""
    world.worker("a", running(_against_a_plain_one))
    first = "sp"[world.draw("which one the select names first", 2)]
    fast_s = str(1 + 9 * world.draw("seconds of the faster / 9", 3))
    await start(world, _against_a_plain_one, "session wins", input=f"{fast_s} 200 {first}")
    await start(world, _against_a_plain_one, "plain wins", input=f"200 {fast_s} {first}")
    losses = await _losses(world, "session wins", "plain wins")
    statuses = {instance: await world.finished(instance, check=False) for instance in losses}
    with world.oracle("12.5"):
        for instance, status in statuses.items():
            history = await world.history(instance)
            loser = _lost_select(history, "work", "200")
            assert loser not in losses[instance].queued, (loser, losses[instance].queued)
            assert losses[instance].session.row is not None, "the session stays open"
            winner, value, after = answer(status)
            expected = "s" if instance == "session wins" else None
            assert (seen(value).session, seen(value).input) == (expected, fast_s), value
            assert winner == (0 if (expected == "s") == (first == "s") else 1), (winner, value)
            assert (seen(after).session, seen(after).input) == ("s", "after"), after
            assert session_events(history) == [("SessionOpened", "s")], history


async def _parent(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    before = await ctx.schedule_activity_on_session("look", "before", session)
    child = ctx.schedule_sub_orchestration("_child", session, instance_id=f"child of {ctx.instance_id}")
    if input == "use":  # the session is busy while the child tries
        beside = ctx.schedule_activity_on_session("work", "2", session)
    try:
        said = await child
    except ActivityError as error:
        said = f"failed: {error}"
    after = await ctx.schedule_activity_on_session("look", "after", session)
    if input == "use":
        await beside
    return encoded([before, said, after])


async def _child(ctx: OrchestrationContext, input: str) -> str:
    return await ctx.schedule_activity_on_session("look", "of the child", input)


async def _curious_parent(ctx: OrchestrationContext, input: str) -> str:
    child = ctx.schedule_sub_orchestration("_opening_child", "", instance_id="opening child")
    session = await ctx.dequeue_event("opened")
    answer = await ctx.schedule_activity_on_session("look", "of the parent", session)
    await child
    return answer


async def _opening_child(ctx: OrchestrationContext, input: str) -> str:
    return await ctx.schedule_activity_on_session("work", "20", ctx.open_session_with_id("t"))


@scenario(
    covers=["12.6", "SS-3.2"],
    options=MINUTE,
    situations=["session.refused", "session.served_again", "session.opened"],
)
async def sub_orchestration_does_not_inherit_session(world: World) -> None:
    """A child cannot use its parent's session."""
    worker = world.worker("a", running(_parent, _child, _curious_parent, _opening_child))
    await start(world, _parent, "i", input=("", "use")[world.draw("session busy", 2)])
    await start(world, _parent, "j")
    await start(world, _curious_parent, "k")
    await world.until(lambda: world.session("opening child", "t") is not None)
    await world.client.enqueue_event("k", "opened", "t")
    statuses = {instance: await world.finished(instance, check=False) for instance in ("i", "j", "k")}
    with world.oracle("12.6"):
        for parent in ("i", "j"):
            assert NOT_OPEN.format("s") in failure_text(await world.status(f"child of {parent}"))
            before, said, after = answer(statuses[parent])
            assert said == f"failed: {failure_text(await world.status(f'child of {parent}'))}", said
            assert [seen(one).input for one in (before, after)] == ["before", "after"]
            assert seen(after).warm and seen(after).owner == worker.worker_id, after
            scheduled = of_kind(await world.history(f"child of {parent}"), ActivityScheduled)
            assert scheduled == [], "nothing that the child asked for was recorded"
        assert NOT_OPEN.format("t") in failure_text(statuses["k"]), "neither in the other direction"

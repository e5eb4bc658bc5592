"""Matrix section 10: sessions across continue-as-new."""

from __future__ import annotations

from datetime import timedelta

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.codec import encode_event, encode_work_item
from holdfast.core.contract.events import OrchestrationContinuedAsNew, OrchestrationStarted, SessionOpened
from holdfast.core.contract.observe import LeaseEnded, LeaseTaken
from holdfast.core.contract.work_items import ContinueAsNewMessage
from holdfast.properties.matrix.parts.closings import continues, turn_ack
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    encoded,
    observation,
    observations,
    of_kind,
    running,
    start,
    two_workers,
)
from holdfast.properties.matrix.parts.deliveries import deliveries, effective, owner_of, renewals
from holdfast.properties.matrix.parts.rows import assert_held, leases_of, look
from holdfast.properties.matrix.parts.takeovers import end_of
from holdfast.properties.matrix.parts.told import signals, told
from holdfast.sim import World, scenario


@scenario(
    covers=["10.1", "SS-3.3", "SS-17.4", "SS-17.2"],
    workers=2,
    options=MINUTE,
    situations=["session.owned_across_continue", "session.used_after_carry"],
    level="multi-runtime",
)
async def session_survives_continue_as_new(world: World) -> None:
    """The session and its worker stay the same across continue-as-new."""

    async def goes_on(ctx: OrchestrationContext, input: str) -> str:
        if not input:
            ctx.open_session_with_id("S")
        here = await ctx.schedule_activity_on_session("look", "", "S")
        if not input:
            ctx.continue_as_new(here)
            return ""
        return encoded([input, here])

    two_workers(world, goes_on)
    await start(world, goes_on, "i")
    owners: list[str | None] = []

    def used_in_both() -> bool:
        """Whether both executions had their delivery; meanwhile every owner of the row is noted."""
        row = world.session("i", "S")
        if row is not None and row.worker_id not in owners:
            owners.append(row.worker_id)
        return len(deliveries(world.commits, "S", "i")) == 2 or world.now_us > 10_000_000

    await world.until(used_in_both)  # the new execution may not get to use it
    status = await end_of(world, "i", within_s=10)
    with world.oracle("10.1"):
        first, second = observations(status)
        assert first.owner == second.owner, (first, second)
        assert [owner for owner in owners if owner is not None] == [first.owner], owners


@scenario(covers=["10.2", "SS-17.2"], options=MINUTE, situations=["session.used_after_carry"])
async def session_no_reopen_needed(world: World) -> None:
    """The new execution uses the session without opening it."""

    async def uses_carried(ctx: OrchestrationContext, input: str) -> str:
        if not input:
            ctx.open_session_with_id("S")
            await ctx.schedule_activity_on_session("look", "first", "S")
            ctx.continue_as_new("again")
            return ""
        return await ctx.schedule_activity_on_session("look", "second", "S")

    world.worker("a", running(uses_carried))
    await start(world, uses_carried, "i", "j")
    for instance in ("i", "j"):
        status = await world.finished(instance, check=False)
        with world.oracle("10.2"):
            history = await world.history(instance, 2)
            assert of_kind(history, SessionOpened) == [], "the new execution opens nothing"
            saw = observation(status)
            assert (saw.session, saw.input) == ("S", "second"), saw


@scenario(
    covers=["10.3", "SS-17.1", "SS-17.2"],
    options=MINUTE,
    situations=["session.several_carried_over", "session.used_after_carry"],
)
async def multiple_sessions_survive_can(world: World) -> None:
    """All open sessions are carried."""

    async def carries_three(ctx: OrchestrationContext, input: str) -> str:
        names = ("Z", "X", "Y")
        if not input:
            for name in names:
                ctx.open_session_with_id(name)
            await ctx.schedule_activity_on_session("look", "", "X")
            ctx.continue_as_new("again")
            return ""
        return encoded(await ctx.join(*(ctx.schedule_activity_on_session("look", "", n) for n in names)))

    world.worker("a", running(carries_three))
    await start(world, carries_three, "i")
    results = observations(await world.finished("i", check=False))
    with world.oracle("10.3"):
        assert [one.session for one in results] == ["Z", "X", "Y"], results
        (started,) = of_kind(await world.history("i", 2), OrchestrationStarted)
        assert started.open_sessions == ("Z", "X", "Y"), started.open_sessions
        (ended,) = of_kind(await world.history("i", 1), OrchestrationContinuedAsNew)
        assert ended.open_sessions == ("Z", "X", "Y"), ended.open_sessions


@scenario(covers=["10.4", "SS-17.7"], options=MINUTE, situations=["session.closed_after_carry"])
async def close_session_after_can(world: World) -> None:
    """A carried session can be closed later."""

    async def closes_carried(ctx: OrchestrationContext, input: str) -> str:
        if not input:
            ctx.open_session_with_id("S")
            await ctx.schedule_activity_on_session("look", "", "S")
            ctx.continue_as_new("again")
            return ""
        await ctx.schedule_activity_on_session("look", "", "S")
        ctx.close_session("S")
        await ctx.dequeue_event("end")
        return "done"

    world.worker("a", running(closes_carried))
    await start(world, closes_carried, "i")
    await world.commit(continues)
    carried = world.session("i", "S")
    await world.until(lambda: world.session("i", "S") is None)
    closing = world.commits[-1]
    with world.oracle("10.4"):
        assert carried is not None, "the row stays over the continuing ack"
        assert (closing.operation, closing.arguments["execution_id"]) == ("ack_orchestration_item", 2)
    await world.client.enqueue_event("i", "end", "")
    status = await world.finished("i", check=False)
    with world.oracle("10.4"):
        assert isinstance(status, Completed), status


@scenario(covers=["10.5", "SS-17.1", "SS-11.6"], options=MINUTE, situations=["instance.continued"])
async def can_with_no_open_sessions(world: World) -> None:
    """Nothing to carry is fine."""

    async def carries_nothing(ctx: OrchestrationContext, input: str) -> str:
        if not input:
            await ctx.schedule_activity("look", "")
            ctx.continue_as_new("again")
            return ""
        session = ctx.open_session()
        return await ctx.schedule_activity_on_session("look", session, session)

    world.worker("a", running(carries_nothing))
    await start(world, carries_nothing, "i", "j")
    for instance in ("i", "j"):
        status = await world.finished(instance, check=False)
        with world.oracle("10.5"):
            result = observation(status)
            assert result.session == result.input, result
            (ended,) = of_kind(await world.history(instance, 1), OrchestrationContinuedAsNew)
            (started,) = of_kind(await world.history(instance, 2), OrchestrationStarted)
            assert started.open_sessions == ()
            assert b"open_sessions" not in encode_event(ended) + encode_event(started)
    with world.oracle("10.5"):
        messages = [
            item
            for commit in world.commits
            if (ack := turn_ack(commit)) is not None and ack.metadata.status == "ContinuedAsNew"
            for item in ack.orchestrator_items
            if isinstance(item, ContinueAsNewMessage)
        ]
        assert len(messages) == 2
        assert all(b"open_sessions" not in encode_work_item(message) for message in messages)


@scenario(
    covers=["10.6", "SS-17.5"],
    workers=2,
    options={**MINUTE, "dispatcher_long_poll_timeout": timedelta(hours=1)},
    situations=["session.owned_across_continue", "session.renewed_between"],
    level="multi-runtime",
)
async def session_lock_maintained_across_can(world: World) -> None:
    """Renewal runs through continue-as-new."""

    async def continues_then_waits(ctx: OrchestrationContext, input: str) -> str:
        if input != "again":
            ctx.open_session_with_id("S")
            await ctx.schedule_activity_on_session("look", "", "S")
            await ctx.schedule_timer(timedelta(seconds=int(input)))
            ctx.continue_as_new("again")
            return ""
        await ctx.dequeue_event("end")
        return "done"

    workers = two_workers(world, continues_then_waits)
    after = 5 + 7 * world.draw("phase of the renewal", 6)
    await start(world, continues_then_waits, "i", input=str(after))
    continued = await world.commit(continues)
    with world.oracle("10.6"):
        owner = owner_of(world, workers, "i", "S")
        for _ in range(12):
            await world.sleep(15)
            assert_held([look(world, "S")], owner)
        assert len(told(world, LeaseTaken)) == 1 and not told(world, LeaseEnded), "one lease throughout"
        renewed = effective(renewals(world.commits[continued.position + 1 :], "S"))
        assert len(renewed) >= 5, "every 30 s for 180 s, the first and the last of them on the edge"
        assert {commit.arguments["worker_id"] for commit in renewed} == {owner.worker_id}
        assert len(leases_of(owner)) == 1
        assert not signals(world)
    await world.client.enqueue_event("i", "end", "")
    await world.finished("i", check=False)

"""Matrix section 1: session lifecycle, basic. One worker; several instances make the interleavings."""

from __future__ import annotations

from holdfast.core import OrchestrationContext
from holdfast.properties.matrix.parts.closings import closes, ends_instance
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    answer,
    encoded,
    observation,
    observations,
    output,
    running,
    session_events,
    start,
)
from holdfast.sim import World, scenario

INSTANCES = ("i", "j")


@scenario(covers=["1.1", "SS-2.1", "SS-3.4"], options=MINUTE, situations=["session.several_open"])
async def open_session_returns_unique_id(world: World) -> None:
    """Generated ids are non-empty and never repeat within an instance."""

    async def opens_two(ctx: OrchestrationContext, input: str) -> str:
        both = [ctx.open_session(), ctx.open_session()]
        await ctx.schedule_activity_on_session("look", "", both[1])
        return encoded(both)

    world.worker("a", running(opens_two))
    await start(world, opens_two, *INSTANCES)
    for instance in INSTANCES:
        first, second = answer(await world.finished(instance, check=False))
        with world.oracle("1.1"):
            assert first.startswith("session-") and len(first) > len("session-"), first
            assert second.startswith("session-"), second
            assert first != second, first


@scenario(covers=["1.2", "SS-2.2", "SS-2.3"], options=MINUTE, situations=["session.opened"])
async def open_session_with_id_returns_given_id(world: World) -> None:
    """A user-chosen id comes back unchanged."""

    async def opens_own(ctx: OrchestrationContext, input: str) -> str:
        return ctx.open_session_with_id("my-id")

    world.worker("a", running(opens_own))
    await start(world, opens_own, "i", "j", "k")
    for instance in ("i", "j", "k"):
        status = await world.finished(instance, check=False)
        with world.oracle("1.2"):
            assert output(status) == "my-id", status
            assert session_events(await world.history(instance)) == [("SessionOpened", "my-id")]


@scenario(covers=["1.3", "SS-5.2"], options=MINUTE, situations=["session.opened"])
async def open_session_with_id_idempotent(world: World) -> None:
    """Opening an id that is already open yields the same id and raises nothing."""

    async def opens_twice(ctx: OrchestrationContext, input: str) -> str:
        first = ctx.open_session_with_id("X")
        await ctx.schedule_activity_on_session("look", "", "X")
        return encoded([first, ctx.open_session_with_id("X")])

    world.worker("a", running(opens_twice))
    await start(world, opens_twice, *INSTANCES)
    for instance in INSTANCES:
        both = answer(await world.finished(instance, check=False))
        with world.oracle("1.3"):
            assert both == ["X", "X"], both
            opened = session_events(await world.history(instance))
            assert opened == [("SessionOpened", "X")], opened


@scenario(covers=["1.4", "SS-2.4", "SS-6.1"], options=MINUTE, situations=["session.closed"])
async def close_session_succeeds(world: World) -> None:
    """A session just opened can be closed."""

    async def closes(ctx: OrchestrationContext, input: str) -> str:
        session = ctx.open_session()
        await ctx.schedule_activity_on_session("look", "", session)
        returned: object = ctx.close_session(session)  # type: ignore[func-returns-value]
        return encoded([session, returned])

    world.worker("a", running(closes))
    await start(world, closes, *INSTANCES)
    for instance in INSTANCES:
        session, returned = answer(await world.finished(instance, check=False))
        with world.oracle("1.4"):
            assert returned is None, returned
            assert session_events(await world.history(instance))[1:] == [("SessionClosed", session)]


@scenario(covers=["1.5", "SS-6.1", "SS-6.2", "SS-2.4"], options=MINUTE, situations=["session.closed_again"])
async def close_session_idempotent(world: World) -> None:
    """Closing an already closed session is harmless."""

    async def closes_twice(ctx: OrchestrationContext, input: str) -> str:
        ctx.open_session_with_id("X")
        ctx.open_session_with_id("stays")
        await ctx.schedule_activity_on_session("look", "", "X")
        ctx.close_session("X")
        await ctx.schedule_activity("look", "")
        ctx.close_session("X")
        await ctx.dequeue_event("end")
        return "done"

    def closings() -> int:
        return sum(closes(one, "i", "X") for one in world.commits)

    world.worker("a", running(closes_twice))
    await start(world, closes_twice, "i")
    await world.until(lambda: closings() == 1)
    before = world.sessions()
    await world.until(lambda: closings() == 2)
    after = world.sessions()
    await world.client.enqueue_event("i", "end", "")
    status = await world.finished("i", check=False)
    with world.oracle("1.5"):
        assert output(status) == "done", status
        assert [row.session_id for row in before] == ["stays"], before
        assert after == before, "the second close changed the session table"
        assert session_events(await world.history("i")) == [
            ("SessionOpened", "X"),
            ("SessionOpened", "stays"),
            ("SessionClosed", "X"),
            ("SessionClosed", "X"),
        ]


@scenario(covers=["1.6", "SS-6.2", "SS-2.4", "SS-16.8"], options=MINUTE, situations=["session.closed_again"])
async def close_session_nonexistent_noop(world: World) -> None:
    """Closing an id that was never opened is harmless."""

    async def closes_nothing(ctx: OrchestrationContext, input: str) -> str:
        ctx.close_session("never")
        await ctx.schedule_activity("look", "")
        return "done"

    world.worker("a", running(closes_nothing))
    await start(world, closes_nothing, *INSTANCES)
    rows_seen: list[object] = []

    def all_ended() -> bool:
        rows_seen.extend(world.sessions())
        return all(any(ends_instance(one, name) for one in world.commits) for name in INSTANCES)

    await world.until(all_ended)
    with world.oracle("1.6"):
        for instance in INSTANCES:
            assert output(await world.finished(instance, check=False)) == "done"
        assert rows_seen == [], rows_seen


@scenario(covers=["1.7", "SS-5.3", "SS-1.5"], options=MINUTE, situations=["session.reopened"])
async def open_close_open_same_id(world: World) -> None:
    """A closed id can be opened again and used."""

    async def reopens(ctx: OrchestrationContext, input: str) -> str:
        ctx.open_session_with_id("X")
        await ctx.schedule_activity_on_session("look", "before", "X")
        ctx.close_session("X")
        await ctx.schedule_activity("look", "between")
        ctx.open_session_with_id("X")
        return await ctx.schedule_activity_on_session("look", "after", "X")

    world.worker("a", running(reopens))
    await start(world, reopens, *INSTANCES)
    for instance in INSTANCES:
        status = await world.finished(instance, check=False)
        with world.oracle("1.7"):
            last = observation(status)
            assert (last.session, last.input) == ("X", "after"), last
            kinds = [kind for kind, _ in session_events(await world.history(instance))]
            assert kinds == ["SessionOpened", "SessionClosed", "SessionOpened"], kinds


@scenario(covers=["1.8", "SS-1.5", "SS-5.8"], options=MINUTE, situations=["session.several_open"])
async def multiple_sessions_open_concurrently(world: World) -> None:
    """Three sessions open at the same time are usable independently."""

    async def three_at_once(ctx: OrchestrationContext, input: str) -> str:
        names = [ctx.open_session_with_id(name) for name in ("X", "Y", "Z")]
        tasks = [ctx.schedule_activity_on_session("look", f"for {name}", name) for name in names]
        return encoded(await ctx.join(*tasks))

    world.worker("a", running(three_at_once))
    await start(world, three_at_once, *INSTANCES)
    for instance in INSTANCES:
        results = observations(await world.finished(instance, check=False))
        with world.oracle("1.8"):
            assert [(one.session, one.input) for one in results] == [
                ("X", "for X"),
                ("Y", "for Y"),
                ("Z", "for Z"),
            ], results


@scenario(
    covers=["1.9", "SS-5.1", "SS-6.1", "SS-11.1"],
    options=MINUTE,
    situations=["session.opened", "session.closed"],
)
async def session_events_in_history(world: World) -> None:
    """Open and close leave their events with the right ids."""

    async def opens_and_closes(ctx: OrchestrationContext, input: str) -> str:
        ctx.open_session_with_id("X")
        ctx.open_session_with_id("Y")
        await ctx.schedule_activity_on_session("look", "", "Y")
        ctx.close_session("X")
        await ctx.schedule_activity_on_session("look", "", "Y")
        ctx.close_session("Y")
        return "done"

    world.worker("a", running(opens_and_closes))
    await start(world, opens_and_closes, *INSTANCES)
    for instance in INSTANCES:
        await world.finished(instance, check=False)
        with world.oracle("1.9"):
            assert session_events(await world.history(instance)) == [
                ("SessionOpened", "X"),
                ("SessionOpened", "Y"),
                ("SessionClosed", "X"),
                ("SessionClosed", "Y"),
            ]

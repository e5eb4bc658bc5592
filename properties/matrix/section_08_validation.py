"""Matrix section 8: what a session call may not ask for."""

from __future__ import annotations

from holdfast.core import OrchestrationContext, Registry
from holdfast.core.contract.events import ActivityScheduled, OrchestrationFailed, SessionClosed, SessionOpened
from holdfast.core.engine.turn_values import ExecutionContinues
from holdfast.properties.matrix.parts.closings import concluded
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    failure_text,
    of_kind,
    running,
    session_events,
    start,
)
from holdfast.properties.matrix.parts.deliveries import turn_acks
from holdfast.properties.matrix.parts.engine_by_hand import (
    NOT_OPEN,
    TOO_MANY,
    EngineByHand,
    kinds_shown,
    refusal_message,
)
from holdfast.properties.matrix.parts.listening import Listened
from holdfast.sim import World, scenario
from holdfast.sim.stage.process import Process


async def _closes_what_is_not_open(ctx: OrchestrationContext, input: str) -> str:
    """Session s is open and used, z was open before, x never was; input says which is closed on `go`."""
    for name in ("s", "z"):
        ctx.open_session_with_id(name)
    ctx.close_session("z")
    await ctx.join(
        ctx.schedule_activity_on_session("look", "", "s"),
        ctx.schedule_activity_on_session("work", "3", "s"),
        ctx.schedule_activity("look"),
    )
    await ctx.dequeue_event("go")
    ctx.close_session(input)
    await ctx.dequeue_event("end")
    ctx.close_session("s")
    return "done"


@scenario(covers=["8.1", "SS-6.1", "SS-6.2", "SS-16.8"], options=MINUTE, situations=["session.closed_again"])
async def close_without_open_is_noop(world: World) -> None:
    """Closing an unopened session records an event and nothing else."""
    unopened = ("x", "z", "S", "s ")[world.draw("which id that is not open", 4)]
    world.worker("a", running(_closes_what_is_not_open))
    await start(world, _closes_what_is_not_open, "i", input=unopened)
    await start(world, _closes_what_is_not_open, "j", input="x")
    await world.sleep(5)
    await world.quiet()
    history_before, rows_before = await world.history("i"), world.sessions()
    acks_before = len(turn_acks(world.commits, "i"))
    await world.client.enqueue_event("i", "go", "")
    await world.until(lambda: len(turn_acks(world.commits, "i")) > acks_before)
    rows_after = world.sessions()
    ack = turn_acks(world.commits, "i")[acks_before]
    history_after = await world.history("i")
    await world.client.enqueue_event("i", "end", "")
    await world.client.cancel_instance("j")
    status = await world.finished("i", check=False)
    with world.oracle("8.1"):
        new = history_after[len(history_before) :]
        assert session_events(new) == [("SessionClosed", unopened)], new
        said = concluded(ack)
        assert (said.opened, said.closed) == ([], []), said
        assert rows_after == rows_before, (rows_before, rows_after)
        assert getattr(status, "output", None) == "done", status


@scenario(covers=["8.2", "SS-16.3", "SS-16.5"], level="unit")
async def session_activity_without_open_fails() -> None:
    """Scheduling on an id never opened fails the orchestration."""

    async def never_opens(ctx: OrchestrationContext, input: str) -> None:
        ctx.open_session_with_id("another")
        ctx.schedule_activity("look")
        await ctx.schedule_activity_on_session("look", "", input)

    for name in ("s", "", "Another", "another ", "caf\u00e9"):
        engine = EngineByHand(never_opens)
        commit = engine.start(name)
        assert refusal_message(engine.results[-1]) == NOT_OPEN.format(name)
        assert isinstance(engine.history[-1], OrchestrationFailed), kinds_shown(engine.history)
        assert commit.worker_items == (), commit.worker_items


@scenario(covers=["8.3", "SS-16.3", "SS-16.2"], level="unit")
async def session_activity_after_close_fails() -> None:
    """Scheduling on a closed id fails the orchestration."""

    async def at_once(ctx: OrchestrationContext, input: str) -> None:
        ctx.open_session_with_id("s")
        ctx.close_session("s")
        await ctx.schedule_activity_on_session("look", "", "s")

    async def a_turn_later(ctx: OrchestrationContext, input: str) -> None:
        ctx.open_session_with_id("s")
        await ctx.dequeue_event("go")
        ctx.close_session("s")
        ctx.schedule_activity("look")
        await ctx.schedule_activity_on_session("look", "", "s")

    for code in (at_once, a_turn_later):
        engine = EngineByHand(code)
        commit = engine.start()
        if code is a_turn_later:
            assert engine.results[-1].outcome == ExecutionContinues()
            commit = engine.turn(engine.go())
        assert refusal_message(engine.results[-1]) == NOT_OPEN.format("s")
        kinds = [type(event) for event in engine.history]
        assert kinds.index(SessionOpened) < kinds.index(SessionClosed) < len(kinds) - 1, kinds_shown(
            engine.history
        )
        assert "ActivityScheduled s" not in kinds_shown(engine.history), kinds_shown(engine.history)
        assert kinds[-1] is OrchestrationFailed, kinds_shown(engine.history)
        assert commit.worker_items == (), commit.worker_items


@scenario(covers=["8.4", "SS-16.4", "SS-16.5"], level="unit")
async def max_sessions_exceeded_fails() -> None:
    """The open beyond the limit fails the orchestration."""

    async def opens_three(ctx: OrchestrationContext, input: str) -> None:
        ctx.open_session_with_id("a")
        ctx.open_session_with_id("b")
        ctx.open_session_with_id("a")
        ctx.schedule_activity_on_session("look", "", "a")
        if input:
            ctx.open_session_with_id(input)
        else:
            ctx.open_session()
        await ctx.dequeue_event("go")

    for third in ("c", "A", ""):
        engine = EngineByHand(opens_three, limit=2)
        commit = engine.start(third)
        assert refusal_message(engine.results[-1]) == TOO_MANY.format(2, 2)
        opened = [event.session_id for event in engine.history if isinstance(event, SessionOpened)]
        assert opened == ["a", "b"], opened
        assert commit.worker_items == (), commit.worker_items
        named = [session.session_id for session in commit.metadata.opened_sessions]
        assert set(named) <= {"a", "b"}, named


@scenario(covers=["8.5", "SS-21.1"], level="unit")
async def max_sessions_close_then_reopen_within_limit() -> None:
    """A close makes room for another open."""

    async def makes_room(ctx: OrchestrationContext, input: str) -> None:
        ctx.open_session_with_id("a")
        ctx.open_session_with_id("b")
        if input:
            await ctx.dequeue_event("go")
        ctx.close_session("a")
        ctx.open_session_with_id("c")
        await ctx.dequeue_event("end")

    for later in ("", "a turn later"):
        engine = EngineByHand(makes_room, limit=2)
        engine.start(later)
        if later:
            engine.turn(engine.go())
        assert engine.results[-1].outcome == ExecutionContinues(), engine.results[-1].outcome
        assert engine.results[-1].open_sessions_after == ("b", "c"), engine.results[-1]
        assert engine.replay().open_sessions_after == ("b", "c")


async def _opens_sooner_or_later(ctx: OrchestrationContext, input: str) -> None:
    for _ in range(int(input)):
        await ctx.join(ctx.schedule_activity("look"), ctx.schedule_activity("look"))
    ctx.schedule_activity("look", "beside")
    session = ctx.open_session()
    await ctx.schedule_activity_on_session("look", "", session)


@scenario(covers=["8.6", "SS-15.3"], options=MINUTE, situations=["session.refused"])
async def provider_no_session_support_fails(world: World) -> None:
    """On a provider without session support the orchestration fails instead of waiting forever."""

    def boot(process: Process) -> Registry:
        process.provider = Listened(process.provider, [], has_sessions=False)
        return running(_opens_sooner_or_later)()

    world.worker("a", boot)
    turns = {"i": world.draw("turns before the open", 3), "j": world.draw("turns before the other open", 3)}
    for instance, before in turns.items():
        await start(world, _opens_sooner_or_later, instance, input=str(before))
    await world.sleep(60)
    for instance, before in turns.items():
        status = await world.status(instance)
        history = await world.history(instance)
        with world.oracle("8.6"):
            assert failure_text(status) == "Provider does not support sessions", status
            (end,) = of_kind(history, OrchestrationFailed)
            error = end.details.application
            assert error is not None and (error.kind, error.retryable) == ("OrchestrationFailed", False), end
            assert len(of_kind(history, ActivityScheduled)) == 2 * before, "nothing of that turn is recorded"
            assert session_events(history) == [], history
    await world.quiet()
    with world.oracle("8.6"):
        assert world.worker_rows() == [] and world.sessions() == []
        for instance, before in turns.items():
            last = turn_acks(world.commits, instance)[-1]
            assert len(turn_acks(world.commits, instance)) <= 2 * before + 1, "the opening turn is the last"
            assert concluded(last).status == "Failed", last

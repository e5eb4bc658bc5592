"""Matrix section 9: replay determinism of session calls."""

from __future__ import annotations

from holdfast.core import OrchestrationContext
from holdfast.core.contract.events import OrchestrationStarted, SessionOpened
from holdfast.core.engine.turn_values import ExecutionCompleted, ExecutionContinues
from holdfast.properties.matrix.parts.engine_by_hand import (
    EngineByHand,
    kinds_shown,
    nondeterminism_message,
    successor,
)
from holdfast.sim import scenario


@scenario(covers=["9.1", "SS-16.9", "SS-16.14"], level="unit")
async def session_open_replay_matches() -> None:
    """An orchestration with an open and an activity replays cleanly."""

    async def opens_and_uses(ctx: OrchestrationContext, input: str) -> str:
        chosen, generated = ctx.open_session_with_id("s"), ctx.open_session()
        first = await ctx.schedule_activity_on_session("look", "1", chosen)
        second = await ctx.schedule_activity_on_session("look", "2", generated)
        await ctx.dequeue_event("go")
        return first + second + generated

    engine = EngineByHand(opens_and_uses)
    engine.start()
    engine.turn(engine.done(engine.scheduled(), "x"))
    engine.turn(engine.done(engine.scheduled(), "y"))
    waiting = list(engine.history)
    replayed = engine.replay()
    assert (replayed.outcome, replayed.actions, replayed.delta) == (ExecutionContinues(), (), ()), replayed
    engine.turn(engine.go())
    opened = [event.session_id for event in waiting if isinstance(event, SessionOpened)]
    assert opened[0] == "s" and len(opened) == 2, opened
    assert engine.results[-1].outcome == ExecutionCompleted(f"xy{opened[1]}"), engine.results[-1]
    engine.history = waiting
    engine.replays_alike()


@scenario(covers=["9.2", "SS-16.9", "SS-16.14"], level="unit")
async def session_close_replay_matches() -> None:
    """Open, activity and close replay cleanly."""

    async def opens_uses_closes(ctx: OrchestrationContext, input: str) -> str:
        session = ctx.open_session()
        await ctx.schedule_activity_on_session("look", "", session)
        ctx.close_session(session)
        ctx.close_session("never open")
        await ctx.dequeue_event("go")
        return session

    engine = EngineByHand(opens_uses_closes)
    engine.start()
    engine.turn(engine.done(engine.scheduled()))
    replayed = engine.replay()
    assert (replayed.outcome, replayed.actions, replayed.delta) == (ExecutionContinues(), (), ()), replayed
    assert replayed.open_sessions_before == replayed.open_sessions_after == (), replayed
    assert engine.results[-1].open_sessions_after == (), engine.results[-1]
    engine.replays_alike()


@scenario(covers=["9.3", "SS-16.9"], level="unit")
async def replay_divergence_open_mismatch() -> None:
    """History has an open that the code no longer makes."""

    async def opens_between(ctx: OrchestrationContext, input: str) -> None:
        first, second = ctx.schedule_activity("look", "1"), ctx.schedule_activity("look", "2")
        await first
        ctx.open_session_with_id("s")
        await second

    async def opens_nothing(ctx: OrchestrationContext, input: str) -> None:
        first, second = ctx.schedule_activity("look", "1"), ctx.schedule_activity("look", "2")
        await first
        await second

    async def waits_instead(ctx: OrchestrationContext, input: str) -> None:
        first, second = ctx.schedule_activity("look", "1"), ctx.schedule_activity("look", "2")
        await first
        await ctx.dequeue_event("go")
        await second

    engine = EngineByHand(opens_between)
    engine.start()
    engine.turn(engine.done(engine.scheduled(0)))
    assert kinds_shown(engine.history)[-1] == "SessionOpened s", kinds_shown(engine.history)
    assert (
        nondeterminism_message(engine.replay(opens_nothing)) == "history SessionOpened but no emitted action"
    )
    mismatch = nondeterminism_message(engine.replay(waits_instead))
    assert mismatch.startswith("schedule mismatch: ") and "SessionOpened" in mismatch, mismatch


@scenario(covers=["9.4", "SS-16.11"], level="unit")
async def replay_divergence_extra_open() -> None:
    """The code makes an open that history does not have at that place."""

    async def calls(ctx: OrchestrationContext, input: str) -> None:
        await ctx.schedule_activity("look")

    async def opens_first(ctx: OrchestrationContext, input: str) -> None:
        ctx.open_session()
        await ctx.schedule_activity("look")

    async def closes_first(ctx: OrchestrationContext, input: str) -> None:
        ctx.close_session("s")
        await ctx.schedule_activity("look")

    engine = EngineByHand(calls)
    engine.start()
    assert kinds_shown(engine.history) == ["ActivityScheduled"], kinds_shown(engine.history)
    for code in (opens_first, closes_first):
        mismatch = nondeterminism_message(engine.replay(code))
        assert mismatch.startswith("schedule mismatch: ") and "ActivityScheduled" in mismatch, mismatch


@scenario(covers=["9.5", "SS-16.10"], level="unit")
async def replay_divergence_open_order() -> None:
    """Two opens in swapped order are noticed."""

    def opening(*names: str) -> EngineByHand:
        async def code(ctx: OrchestrationContext, input: str) -> None:
            for name in names:
                ctx.open_session_with_id(name)
            await ctx.dequeue_event("go")

        return EngineByHand(code)

    engine = opening("a", "b")
    engine.start()
    mismatch = nondeterminism_message(engine.replay(opening("b", "a").code))
    assert mismatch.startswith("schedule mismatch: "), mismatch
    assert engine.replay(opening("a", "b").code).outcome == ExecutionContinues()


@scenario(covers=["9.6", "SS-17.3", "SS-16.1"], level="unit")
async def replay_session_id_restored() -> None:
    """Replaying a continued execution knows the carried ids."""

    async def goes_on(ctx: OrchestrationContext, input: str) -> str:
        if not input:
            ctx.open_session_with_id("s")
            ctx.continue_as_new(ctx.open_session())
            return ""
        await ctx.dequeue_event("go")
        for session in ("s", input):
            await ctx.schedule_activity_on_session("look", "", session)
        return "done"

    engine = EngineByHand(goes_on)
    begun = successor(engine.start())
    engine.turn(begun)
    assert isinstance(engine.history[0], OrchestrationStarted) and engine.execution_id == 2
    carried = ("s", engine.history[0].input)
    assert engine.results[-1].outcome == ExecutionContinues(), engine.results[-1]
    for message, session in ((engine.go(), carried[0]), (None, carried[1])):
        commit = engine.turn(message or engine.done(engine.scheduled()))
        result = engine.results[-1]
        assert result.outcome == ExecutionContinues(), result
        assert [item.session_id for item in commit.worker_items] == [session], commit.worker_items
        assert result.open_sessions_before == result.open_sessions_after == carried, result
    engine.replays_alike()
    last = engine.turn(engine.done(engine.scheduled()))
    assert (last.metadata.status, last.metadata.output) == ("Completed", "done"), last

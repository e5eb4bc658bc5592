"""Matrix section 26: details of replay, and generated ids."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core import OrchestrationContext
from holdfast.core.contract.errors import SessionIdError
from holdfast.core.contract.events import ActivityCancelRequested, SessionOpened
from holdfast.core.engine.turn_values import ExecutionCompleted, ExecutionContinues
from holdfast.core.program.registry import OrchestrationHandler
from holdfast.properties.matrix.parts.engine_by_hand import (
    TOO_MANY,
    EngineByHand,
    kinds_shown,
    nondeterminism_message,
    refusal_message,
    successor,
)
from holdfast.sim import scenario


@scenario(covers=["26.6", "SS-16.7"], level="unit")
async def lowered_limit_does_not_break_replay() -> None:
    """Recorded opens stay valid under a smaller limit."""

    async def opens_five_and_one(ctx: OrchestrationContext, input: str) -> None:
        for name in "abcde":
            ctx.open_session_with_id(name)
        await ctx.dequeue_event("go")
        ctx.open_session_with_id("f")

    engine = EngineByHand(opens_five_and_one)
    engine.start()
    engine.limit = 2
    result = engine.replay()
    assert (result.outcome, result.open_sessions_after) == (ExecutionContinues(), tuple("abcde")), result
    engine.turn(engine.go())
    assert refusal_message(engine.results[-1]) == TOO_MANY.format(2, 5)
    assert [name for name in kinds_shown(engine.history) if name == "SessionOpened f"] == []


@scenario(covers=["26.7", "SS-16.12"], level="unit")
async def activity_session_id_mismatch() -> None:
    """Changing the session of a recorded activity is noticed."""

    def using(session: str) -> OrchestrationHandler:
        async def code(ctx: OrchestrationContext, input: str) -> None:
            for name in ("x", "y"):
                ctx.open_session_with_id(name)
            if session:
                await ctx.schedule_activity_on_session("look", "", session)
            else:
                await ctx.schedule_activity("look")

        return code

    for recorded, emitted in (("x", "y"), ("x", ""), ("", "x")):
        engine = EngineByHand(using(recorded))
        engine.start()
        assert engine.replay().outcome == ExecutionContinues()
        mismatch = nondeterminism_message(engine.replay(using(emitted)))
        assert mismatch.startswith("schedule mismatch: ") and "ActivityScheduled" in mismatch, mismatch


@scenario(covers=["26.8", "SS-16.9"], level="unit")
async def missing_close_on_replay() -> None:
    """History has a close the code no longer makes."""

    def closing(does_close: bool, waits: bool = False) -> OrchestrationHandler:
        async def code(ctx: OrchestrationContext, input: str) -> None:
            ctx.open_session_with_id("s")
            first, second = ctx.schedule_activity("look", "1"), ctx.schedule_activity("look", "2")
            await first
            if does_close:
                ctx.close_session("s")
            if waits:
                await ctx.dequeue_event("go")
            await second

        return code

    engine = EngineByHand(closing(True))
    engine.start()
    engine.turn(engine.done(engine.scheduled(0)))
    assert kinds_shown(engine.history)[-1] == "SessionClosed s", kinds_shown(engine.history)
    assert (
        nondeterminism_message(engine.replay(closing(False))) == "history SessionClosed but no emitted action"
    )
    mismatch = nondeterminism_message(engine.replay(closing(False, waits=True)))
    assert mismatch.startswith("schedule mismatch: ") and "SessionClosed" in mismatch, mismatch


@scenario(covers=["26.9", "SS-16.13"], level="unit")
async def session_closed_breadcrumb_ignored() -> None:
    """Cancel-request notes need no action."""

    async def closes_unfinished(ctx: OrchestrationContext, input: str) -> str:
        ctx.open_session_with_id("s")
        answers = [ctx.schedule_activity_on_session("look", text, "s") for text in ("1", "2")]
        await ctx.dequeue_event("go")
        ctx.close_session("s")
        winner, value = await ctx.select(*answers, ctx.dequeue_event("go"))
        return f"{winner} {value}"

    engine = EngineByHand(closes_unfinished)
    engine.start()
    engine.turn(engine.go())
    notes = [event for event in engine.history if isinstance(event, ActivityCancelRequested)]
    assert [note.reason for note in notes] == ["session_closed"] * 2, notes
    assert [note.source_event_id for note in notes] == [engine.scheduled(0), engine.scheduled(1)], notes
    replayed = engine.replay()
    assert (replayed.outcome, replayed.actions, replayed.delta) == (ExecutionContinues(), (), ()), replayed
    engine.replays_alike()
    engine.turn(engine.go())
    outcome = engine.results[-1].outcome
    assert outcome == ExecutionCompleted("2 "), outcome


@scenario(covers=["26.10", "SS-3.4", "SS-3.5", "SS-2.1"], level="unit")
async def generated_ids_stable_and_unique_across_executions() -> None:
    """Generated ids repeat on replay and never collide, not even with carried or user-chosen ids."""
    mimicked = [f"session-{execution}-{place}" for execution in (1, 2, 3) for place in range(1, 12)]

    async def opens_everywhere(ctx: OrchestrationContext, input: str) -> str:
        known = input.split()
        if len(known) < 3:
            for name in mimicked[int(known[0]) : int(known[1])] if known and known[0].isdigit() else ():
                ctx.open_session_with_id(name)
            one, other = ctx.open_session(), ctx.open_session()
            ctx.close_session(one)
            await ctx.dequeue_event("go")
            third = ctx.open_session()
            ctx.continue_as_new(f"made {one} {other} {third}")
            return ""
        one = ctx.open_session()
        await ctx.dequeue_event("go")
        return " ".join([*known[1:], one, ctx.open_session()])

    for first, end in ((0, 0), (0, 33), (3, 9), (9, 25)):
        engine = EngineByHand(opens_everywhere, limit=1_000)
        engine.start(f"{first} {end}")
        engine.replays_alike()
        last = successor(engine.turn(engine.go()))
        opened = [event.session_id for event in engine.history if isinstance(event, SessionOpened)]
        engine.turn(last)
        engine.replays_alike()
        output = engine.turn(engine.go()).metadata.output
        assert output is not None
        generated = output.split()
        assert len(generated) == len(set(generated)) == 5, generated
        assert all(name.startswith("session-") for name in generated), generated
        assert set(generated).isdisjoint(mimicked[first:end]), generated
        assert opened == [*mimicked[first:end], *generated[:3]], opened
        now = [event.session_id for event in engine.history if isinstance(event, SessionOpened)]
        assert now == generated[3:], now


@scenario(covers=["26.12", "SS-2.3", "SS-16.15"], level="unit")
async def open_calls_do_not_suspend() -> None:
    """Opening and closing do not split a turn."""

    async def only_sessions(ctx: OrchestrationContext, input: str) -> str:
        ctx.open_session_with_id("a")
        ctx.close_session("a")
        ctx.open_session_with_id("b")
        return "done"

    engine = EngineByHand(only_sessions)
    engine.start()
    assert engine.results[-1].outcome == ExecutionCompleted("done"), engine.results[-1]
    assert engine.suspensions == 0, "the code ran through in one poll"
    expected = ["SessionOpened a", "SessionClosed a", "SessionOpened b", "OrchestrationCompleted"]
    assert kinds_shown(engine.history) == expected, kinds_shown(engine.history)


@scenario(covers=["26.13", "SS-3.9"], level="unit")
async def invalid_id_consumes_nothing() -> None:
    """A refused id shifts no later event id."""

    def trying(refused: Sequence[str]) -> OrchestrationHandler:
        async def code(ctx: OrchestrationContext, input: str) -> str:
            opened = [ctx.open_session_with_id("a")]
            caught = 0
            for name in refused:
                try:
                    ctx.open_session_with_id(name)
                except ValueError as error:
                    caught += isinstance(error, SessionIdError)
            assert caught == len(refused)
            opened.append(ctx.open_session())
            await ctx.schedule_activity_on_session("look", "", opened[-1])
            opened.append(ctx.open_session())
            await ctx.dequeue_event("go")
            return " ".join(opened)

        return code

    plain, refused = EngineByHand(trying(())), EngineByHand(trying(("", "x" * 1025, "\u00e9" * 513)))
    for engine in (plain, refused):
        engine.start()
        engine.turn(engine.done(engine.scheduled()))
        engine.replays_alike()
        engine.turn(engine.go())
        assert isinstance(engine.results[-1].outcome, ExecutionCompleted), engine.results[-1].outcome
    assert refused.history == plain.history, (kinds_shown(refused.history), kinds_shown(plain.history))


@scenario(covers=["26.14", "SS-16.14", "SS-5.2"], level="unit")
async def noop_open_on_replay() -> None:
    """No-op opens produce nothing on replay either."""

    def opening(times: int) -> OrchestrationHandler:
        async def code(ctx: OrchestrationContext, input: str) -> str:
            for _ in range(times):
                assert ctx.open_session_with_id("s") == "s"
            await ctx.schedule_activity_on_session("look", "", "s")
            for _ in range(times - 1):
                assert ctx.open_session_with_id("s") == "s"
            await ctx.dequeue_event("go")
            return "done"

        return code

    engine = EngineByHand(opening(1))
    engine.start()
    engine.turn(engine.done(engine.scheduled()))
    assert kinds_shown(engine.history).count("SessionOpened s") == 1, kinds_shown(engine.history)
    defensive = engine.replay(opening(3))
    assert (defensive.outcome, defensive.actions, defensive.delta) == (ExecutionContinues(), (), ()), (
        defensive
    )
    engine.code = opening(3)
    engine.replays_alike()
    engine.turn(engine.go())
    assert engine.results[-1].outcome == ExecutionCompleted("done"), engine.results[-1]
    assert kinds_shown(engine.history).count("SessionOpened s") == 1, kinds_shown(engine.history)

"""Replay gives the recorded run again, for any code and any arrivals (INV-33, INV-34, RT-4.48)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.bench import Bench

from holdfast.core.contract import events, work_items
from holdfast.core.contract.errors import ActivityError
from holdfast.core.contract.work_items import Message
from holdfast.core.engine.branches import Child
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.futures import Durable
from holdfast.core.engine.turn_values import ExecutionContinues
from holdfast.core.program.limits import TurnLimits
from holdfast.core.program.registry import OrchestrationHandler

Step = tuple[Any, ...]
"""One step of a generated orchestration, read by `interpreter`."""

waitable = st.sampled_from(
    ["activity", "timer", "queue q", "queue r", "wait x", "child", "guid", "on s", "on t"]
)
branch = st.lists(waitable | st.just("retry"), min_size=1, max_size=3) | waitable
"""A coroutine that awaits some things in turn, or one durable future beside it."""

steps = st.one_of(
    st.tuples(st.just("await"), waitable),
    st.tuples(st.just("select"), st.lists(waitable, min_size=1, max_size=3)),
    st.tuples(st.just("join"), st.lists(waitable, max_size=3)),
    st.tuples(
        st.sampled_from(["select branches", "join branches"]), st.lists(branch, min_size=1, max_size=3)
    ),
    st.tuples(st.just("keep"), waitable),
    st.tuples(st.just("await kept"), st.integers(0, 3)),
    st.tuples(st.just("drop kept"), st.integers(0, 3)),
    st.tuples(st.sampled_from(["open", "close"]), st.sampled_from("st")),
    st.tuples(st.just("generate")),
    st.tuples(st.sampled_from(["set", "clear"]), st.sampled_from("kl")),
    st.tuples(st.just("prune"), st.integers(0, 8)),
    st.tuples(st.just("status"), st.text("xy", max_size=2)),
    st.tuples(st.just("detach")),
)
queues = st.sampled_from(["queue q", "queue r"])
queue_steps = st.one_of(
    st.tuples(st.sampled_from(["select", "select last"]), st.lists(queues, min_size=2, max_size=3)),
    st.tuples(st.sampled_from(["await", "keep"]), queues),
    st.tuples(st.just("drop kept"), st.integers(0, 1)),
    st.tuples(st.just("await"), st.just("activity")),
)
programs = st.lists(steps, max_size=10) | st.lists(queue_steps, max_size=6)
"""Of all kinds, and of the kind that replays with the finest interleaving (RT-4.48, RT-8.20)."""


class Interpreter:
    """Runs a program as an orchestration and notes all that it observes."""

    def __init__(self, program: list[Step]) -> None:
        self.program = program
        self.observed: list[object] = []
        self._kept: list[Durable[Any]] = []

    def handler(self) -> OrchestrationHandler:
        async def code(ctx: OrchestrationContext, input: str) -> str:
            self.observed, self._kept = [], []
            for step in self.program:
                try:
                    self._note(await self._run(ctx, step))
                except ActivityError as error:
                    self._note(str(error))
            return "done"

        return code

    def _note(self, value: object) -> None:
        self.observed.append(repr(value))

    async def _run(self, ctx: OrchestrationContext, step: Step) -> object:
        match step:
            case "await", what:
                return await self._schedule(ctx, what)
            case "select", choices:
                return await ctx.select(*[self._schedule(ctx, what) for what in choices])
            case "select last", choices:
                return await ctx.select(*reversed([self._schedule(ctx, what) for what in choices]))
            case "join", parts:
                return await ctx.join(*[self._schedule(ctx, what) for what in parts])
            case "select branches", branches:
                return await ctx.select(*[self._branch(ctx, one) for one in branches])
            case "join branches", branches:
                return await ctx.join(*[self._branch(ctx, one) for one in branches])
            case "keep", what:
                self._kept.append(self._schedule(ctx, what))
            case "await kept", place:
                return await self._kept.pop(place) if place < len(self._kept) else None
            case "drop kept", place:
                if place < len(self._kept):
                    self._kept.pop(place).cancel()
            case ("generate",):
                return ctx.open_session()
            case "prune", cutoff:
                return ctx.prune_kv_values_updated_before(cutoff)
            case _:
                self._at_once(ctx, step)
        return None

    def _branch(self, ctx: OrchestrationContext, one: str | list[str]) -> Child:
        return self._schedule(ctx, one) if isinstance(one, str) else self._in_turn(ctx, one)

    async def _in_turn(self, ctx: OrchestrationContext, parts: list[str]) -> list[str]:
        seen: list[str] = []
        try:
            for what in parts:
                if what == "retry":
                    value: object = await ctx.schedule_activity_with_retry("A")
                else:
                    value = await self._schedule(ctx, what)
                self._note(value)
                seen.append(repr(value))
        finally:
            ctx.set_kv_value("k", "the end of a branch")
        return seen

    def _schedule(self, ctx: OrchestrationContext, what: str) -> Durable[Any]:
        kind, _, name = what.partition(" ")
        schedule: dict[str, Callable[[], Durable[Any]]] = {
            "activity": lambda: ctx.schedule_activity("A"),
            "timer": lambda: ctx.schedule_timer(timedelta(seconds=1)),
            "queue": lambda: ctx.dequeue_event(name),
            "wait": lambda: ctx.schedule_wait(name),
            "child": lambda: ctx.schedule_sub_orchestration("C"),
            "guid": ctx.new_guid,
            "on": lambda: ctx.schedule_activity_on_session("A", "1", ctx.open_session_with_id(name)),
        }
        return schedule[kind]()

    def _at_once(self, ctx: OrchestrationContext, step: Step) -> None:
        match step:
            case "open", name:
                ctx.open_session_with_id(name)
            case "close", name:
                ctx.close_session(name)
            case "set", key:
                ctx.set_kv_value(key, str(ctx.get_kv_length()))
            case "clear", key:
                ctx.clear_kv_value(key)
            case "status", text:
                ctx.set_custom_status(text)
            case ("detach",):
                ctx.start_orchestration("R", "detached")
            case _:
                raise AssertionError(step)


def arrivals(bench: Bench) -> st.SearchStrategy[Message]:
    """Anything that may arrive now: answers to what is scheduled (also twice, also late), and events."""
    choices: list[Message] = [bench.queued("q"), bench.queued("r"), bench.raised("x")]
    for event in bench.history:
        match event:
            case events.ActivityScheduled():
                choices += [bench.done(event.event_id), bench.broke(event.event_id)]
            case events.TimerCreated():
                choices.append(bench.fired(event.event_id))
            case events.SubOrchestrationScheduled():
                choices.append(bench.child_done(event.event_id))
            case _:
                pass
    return st.sampled_from(choices)


@settings(max_examples=250, deadline=None)
@given(data=st.data(), program=programs)
def test_replay_gives_the_recorded_run_again(data: st.DataObject, program: list[Step]) -> None:
    """INV-34, INV-33, RT-4.48, RT-8.20, SS-16.14: whatever the code did and whatever arrived, in any batches.

    After each turn the stored history is replayed from its text. It asks for nothing new, no session check
    fails although no session may be opened any more, and the code observes exactly what it observed live.
    """
    interpreter = Interpreter(program)
    bench = Bench(interpreter.handler())
    lowered = TurnLimits(sessions_per_orchestration_max=0)
    bench.start("", *data.draw(st.lists(arrivals(bench), max_size=3), label="first batch"))
    for _ in range(8):
        observed_live = list(interpreter.observed)
        if bench.last.outcome != "Continue":
            break
        bench.limits, limits = lowered, bench.limits
        again = bench.replay()
        bench.limits = limits
        assert again.outcome == ExecutionContinues()
        assert (again.delta, again.actions, again.log) == ((), (), ())
        assert interpreter.observed == observed_live
        before = bench.results[-1]
        assert again.open_sessions_before == again.open_sessions_after == before.open_sessions_after
        bench.now_ms += 1
        bench.turn(*data.draw(st.lists(arrivals(bench), min_size=1, max_size=4), label="batch"))
        assert interpreter.observed[: len(observed_live)] == observed_live
    _check_history(bench)


def _check_history(bench: Bench) -> None:
    """What holds of every history the engine writes (RT-1.9, INV-15, INV-16, INV-17)."""
    ids = [event.event_id for event in bench.history]
    assert ids == sorted(set(ids)), bench.trace
    completions = [
        event.source_event_id
        for event in bench.history
        if isinstance(event, events.ActivityCompleted | events.ActivityFailed | events.TimerFired)
    ]
    assert len(completions) == len(set(completions)), bench.trace
    requests = [
        event.source_event_id for event in bench.history if isinstance(event, events.ActivityCancelRequested)
    ]
    assert len(requests) == len(set(requests)), bench.trace
    queued = {item.id for commit in bench.commits for item in commit.worker_items}
    scheduled = {event.event_id for event in bench.history if isinstance(event, events.ActivityScheduled)}
    assert queued <= scheduled
    if bench.last.outcome == "Completed":
        open_ids = scheduled - set(completions) - set(requests)
        assert not open_ids, "an ended execution leaves no activity open"


@settings(max_examples=100, deadline=None)
@given(data=st.data(), program=programs)
def test_a_turn_is_a_function_of_its_input(data: st.DataObject, program: list[Step]) -> None:
    """RT-5.39, SS-15.5: a turn run again after a lost lock gives the same commit."""
    bench = Bench(Interpreter(program).handler())
    bench.start("", *data.draw(st.lists(arrivals(bench), max_size=3)))
    if bench.last.outcome != "Continue":
        return
    batch = data.draw(st.lists(arrivals(bench), min_size=1, max_size=4))
    first, second = bench.replay(None, *batch), bench.replay(None, *batch)
    assert first == second


def test_a_duplicate_completion_item_changes_nothing() -> None:
    """RT-4.6: a message delivered twice, in two batches."""
    interpreter = Interpreter([("await", "activity"), ("await", "timer")])
    bench = Bench(interpreter.handler())
    bench.start()
    bench.turn(bench.done(2, "first"))
    bench.turn(
        work_items.ActivityCompletedMessage(instance="i", execution_id=1, id=2, result="second"),
        bench.fired(4),
    )
    assert interpreter.observed == ["'first'", "None"]

"""Matrix section 31, next to what knows no sessions: wrappers, workers and programs from before."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final, cast

from holdfast.core import ActivityContext, OrchestrationContext, Registry
from holdfast.core.client import Completed
from holdfast.core.contract.clock import Clock
from holdfast.core.contract.codec import encode_event, encode_work_item
from holdfast.core.contract.errors import ActivityError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import ExecutionMetadata, FetchedWork, Provider, TagFilter
from holdfast.core.contract.work_items import ActivityCompletedMessage, WorkItem
from holdfast.core.engine import actions
from holdfast.core.hosting.forwarding import FencedProvider, ForwardingProvider
from holdfast.core.hosting.instrumented import InstrumentedProvider, MeasureSink
from holdfast.properties.matrix.parts.conversations import MINUTE, encoded, observations, running, start
from holdfast.properties.matrix.parts.corpus_without_sessions import EVENTS, ITEMS
from holdfast.properties.matrix.parts.deliveries import delivered, deliveries, item_of
from holdfast.properties.matrix.parts.engine_by_hand import EngineByHand
from holdfast.properties.matrix.parts.turns_by_hand import item, sessions_named
from holdfast.sim import World
from holdfast.sim.stage.gate import Gate
from holdfast.sim.stage.process import Process
from holdfast.sim.toolkit.scenario import scenario
from holdfast.traces.record import Commit

# --- wrappers ---------------------------------------------------------------------------------------------


class _Recording:
    """An inner provider that notes what it is asked, and answers with the name of the method."""

    def __init__(self, *, sessions: bool) -> None:
        self.asked: list[tuple[str, tuple[object, ...], dict[str, object]]] = []
        self._sessions = sessions

    def supports_sessions(self) -> bool:
        return self._sessions

    def name(self) -> str:
        return "recording"

    version = name

    def as_management(self) -> None:
        return None

    def __getattr__(self, method: str) -> Callable[..., Awaitable[object]]:
        async def ask(*positional: object, **by_name: object) -> object:
            self.asked.append((method, positional, by_name))
            return method

        return ask


def _gate(inner: Provider) -> Provider:
    """The simulator's: what it submits is asked of the inner provider as the world asks it."""

    def submit(process: Process, operation: str, arguments: dict[str, object]) -> Awaitable[object]:
        answer: Awaitable[object] = getattr(inner, operation)(**arguments)
        return answer

    return Gate(cast(Process, SimpleNamespace(alive=True, name="a")), inner, submit)


_WRAPPERS: Final[dict[str, Callable[[Provider], Provider]]] = {
    "forwarding": ForwardingProvider,
    "fenced": FencedProvider,
    "instrumented": lambda inner: InstrumentedProvider(
        inner,
        clock=cast(Clock, SimpleNamespace(monotonic_us=lambda: 0)),
        sink=cast(MeasureSink, SimpleNamespace(measured=lambda call: None)),
    ),
    "gate": _gate,
}

_CALLS: Final[dict[str, dict[str, object]]] = {
    "fetch_session_work_item": {
        "lock_timeout": 11,
        "poll_timeout": 12,
        "worker_id": "A",
        "session_lock_duration": 13,
        "tag_filter": TagFilter.only("gpu"),
        "claim_new": False,
    },
    "renew_session_lock": {"instance_id": "i", "session_id": "s", "worker_id": "A", "extend_for": 14},
    "release_session_lock": {"instance_id": "i", "session_id": "s", "worker_id": "A"},
    "renew_work_item_lock": {"token": "t", "extend_for": 15, "extend_session_for": 16},
    "abandon_work_item": {"token": "t", "delay": 17, "ignore_attempt": True},
    "enqueue_for_worker": {"item": item(2, "s")},
    "ack_orchestration_item": {
        "token": "t",
        "execution_id": 3,
        "history_delta": [],
        "worker_items": [item(2, "s")],
        "orchestrator_items": [],
        "metadata": ExecutionMetadata(
            opened_sessions=sessions_named("s"), cancelled_sessions=sessions_named("t")
        ),
        "cancelled_activities": [],
    },
}
"""Every method that has to do with sessions, each argument different from its default and the others."""


@scenario(covers=["31.6", "SS-12.16"], workers=0, level="unit")
async def wrappers_forward() -> None:
    """Wrappers pass session operations on."""
    for name, wrap in _WRAPPERS.items():
        for supported in (True, False):
            inner = _Recording(sessions=supported)
            wrapped = wrap(cast(Provider, inner))
            assert wrapped.supports_sessions() is supported, name
        for method, arguments in _CALLS.items():
            inner = _Recording(sessions=True)
            result = await getattr(wrap(cast(Provider, inner)), method)(**arguments)
            ((asked, positional, by_name),) = inner.asked
            assert asked == method, f"{name}: {method} reaches {asked}"
            # a wrapper may pass on by position what the contract has first
            given = {**dict(zip(arguments, positional, strict=False)), **by_name}
            assert given == arguments, f"{name}.{method}: {inner.asked}"
            brings = method.startswith("fetch")
            assert result == (method if brings else None), f"{name}.{method} answers {result}"


# --- the engine's actions ---------------------------------------------------------------------------------


async def _small(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    await ctx.join(
        ctx.schedule_activity_on_session("a", "1", session),
        ctx.schedule_activity("b", "2"),
    )
    ctx.close_session(session)
    return "done"


@scenario(covers=["31.9", "SS-11.5"], workers=0, level="unit")
async def actions_shape() -> None:
    """Actions carry the session fields."""
    engine = EngineByHand(_small)
    engine.start()
    first = engine.results[-1].actions
    assert first == (
        actions.OpenSession(scheduling_event_id=2, session_id="s"),
        actions.CallActivity(scheduling_event_id=3, name="a", input="1", session_id="s"),
        actions.CallActivity(scheduling_event_id=4, name="b", input="2", session_id=None),
    ), first
    engine.turn(engine.done(3), engine.done(4))
    second = engine.results[-1].actions
    assert second == (actions.CloseSession(scheduling_event_id=7, session_id="s"),), second


# --- workers and programs without the feature -------------------------------------------------------------


async def _both_kinds(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    bound = [ctx.schedule_activity_on_session("work", input, session) for _ in range(3)]
    return encoded(await ctx.join(*bound, *(ctx.schedule_activity("work", input) for _ in range(3))))


async def _old_style(process: Process, worked: list[FetchedWork]) -> None:
    """A worker from before the feature: plain fetches, and an answer that says who it is."""
    while True:
        work = await process.provider.fetch_work_item(Millis(30_000), Millis(0))
        if work is None:
            await asyncio.sleep(0.5)
            continue
        worked.append(work)
        await asyncio.sleep(0.2)
        result = encoded(("old", work.item.session_id, work.item.input, False))
        done = ActivityCompletedMessage(
            instance=work.item.instance,
            execution_id=work.item.execution_id,
            id=work.item.id,
            result=result,
        )
        await process.provider.ack_work_item(work.token, done)


@scenario(
    covers=["31.11", "SS-19.4", "SS-12.2"],
    workers=2,
    options={**MINUTE, "worker_concurrency": 1},
    situations=["session.claimed", "plain.delivered_elsewhere", "plain.passed_session_item"],
    level="multi-runtime",
)
async def worker_without_feature(world: World) -> None:
    """A worker using plain fetch only never gets session work."""
    worked: list[FetchedWork] = []
    handle = world.worker("current", running(_both_kinds))
    world.process("old", lambda process: _old_style(process, worked))
    await start(world, _both_kinds, "i", input=str(1 + world.draw("seconds", 3)))
    status = await world.finished("i", check=False)
    with world.oracle("31.11"):
        assert worked and all(work.item.session_id is None for work in worked), worked
        seen = observations(status)
        bound, plain = seen[:3], seen[3:]
        assert [(one.owner, one.session) for one in bound] == [(handle.worker_id, "s")] * 3, bound
        assert [one.session for one in plain] == [None] * 3, plain
        handed_out = deliveries(world.commits, "s", "i")
        assert [commit.process for commit in handed_out] == ["current"] * 3, handed_out
        assert all(commit.operation == "fetch_session_work_item" for commit in handed_out), handed_out
        by_plain_fetch = [item_of(one) for one in world.commits if one.process == "old" and delivered(one)]
        assert by_plain_fetch == [work.item for work in worked], by_plain_fetch


async def _child(ctx: OrchestrationContext, input: str) -> str:
    return input + "!"


async def _without_sessions(ctx: OrchestrationContext, input: str) -> str:
    if input == "again":
        ctx.set_custom_status("second")
        return await ctx.schedule_activity("shout", input)
    first = await ctx.schedule_activity("shout", input)
    second = await ctx.schedule_sub_orchestration("_child", first)
    await ctx.schedule_timer(timedelta(seconds=1))
    sent = await ctx.schedule_wait("sent")
    try:
        await ctx.schedule_activity("fail", second + sent)
    except ActivityError:
        await ctx.continue_as_new("again")
    return ""


def _old_registry() -> Registry:
    registry = Registry()
    registry.add_orchestration("_without_sessions", _without_sessions)
    registry.add_orchestration("_child", _child)

    @registry.activity("shout")
    async def shout(ctx: ActivityContext, input: str) -> str:
        return input.upper()

    @registry.activity("fail")
    async def fail(ctx: ActivityContext, input: str) -> str:
        raise ActivityError(input)  # the application's own word is stored as it is (RT-6.9)

    return registry


def _timeless(encoded_form: bytes) -> str:
    """The stored form, with every moment of time written as 0."""
    return re.sub(r'("(?:timestamp|fire_at)_ms":)\d+', r"\g<1>0", encoded_form.decode())


def _items_of(commit: Commit) -> list[WorkItem]:
    """What a call put into either queue."""
    arguments: dict[str, Any] = dict(commit.arguments)
    match commit.operation:
        case "ack_orchestration_item":
            return [*arguments["worker_items"], *arguments["orchestrator_items"]]
        case "ack_work_item":
            return [arguments["completion"]]
        case "enqueue_for_orchestrator" | "enqueue_for_worker":
            return [arguments["item"]]
    return []


@scenario(covers=["31.8", "SS-11.9", "SS-2.10"])
async def history_unchanged_without_sessions(world: World) -> None:
    """Programs without sessions leave the same bytes as before."""
    world.worker("a", _old_registry)
    await world.client.start_orchestration("i", "_without_sessions", "hello")
    await world.sleep(2 + world.draw("seconds", 4))
    await world.client.raise_event("i", "sent", "?")
    status = await world.finished("i", check=False)
    told = [
        *await world.history("i", 1),
        *await world.history("i", 2),
        *await world.history("i::sub::4", 1),
    ]
    items = [item for commit in world.commits if commit.took_effect for item in _items_of(commit)]
    with world.oracle("31.8"):
        assert isinstance(status, Completed) and status.output == "AGAIN", status
        assert [_timeless(encode_event(event)) for event in told] == [*EVENTS]
        assert [_timeless(encode_work_item(item)) for item in items] == [*ITEMS]

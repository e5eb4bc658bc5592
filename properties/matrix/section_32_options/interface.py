"""Matrix section 32: what orchestrations and activities see of the interface."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any, Final

from holdfast.core import ActivityContext, Durable, OrchestrationContext, Registry
from holdfast.core.contract.errors import ActivityError
from holdfast.core.contract.events import (
    ActivityScheduled,
    ExternalEvent,
    QueueEvent,
    StoredEvent,
    TimerFired,
)
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    Orchestration,
    answer,
    encoded,
    of_kind,
    running,
    start,
)
from holdfast.properties.matrix.parts.deliveries import deliveries
from holdfast.sim import World, scenario


def _echoing(*orchestrations: Orchestration) -> Registry:
    """A registry with activities whose answers do not tell where they ran."""
    registry = running(*orchestrations)()

    @registry.activity("echo")
    async def echo(ctx: ActivityContext, input: str) -> str:
        """Answer what was asked."""
        return input

    @registry.activity("after")
    async def after(ctx: ActivityContext, input: str) -> str:
        """Answer the number of seconds that it took."""
        await asyncio.sleep(float(input))
        return input

    @registry.activity("break")
    async def fail(ctx: ActivityContext, input: str) -> str:
        """Fail with this text."""
        raise ValueError(input)

    @registry.activity("whoami")
    async def whoami(ctx: ActivityContext, input: str) -> str:
        """Answer the worker id after so many seconds."""
        await asyncio.sleep(float(input))
        return ctx.worker_id

    return registry


TYPED: Final[tuple[tuple[object, Any], ...]] = (
    (7, int),
    (2.5, float),
    (None, type(None)),
    ("text", str),
    ('"quoted"', str),
    ("caf\u00e9", str),
    ([1, "two", None], list),
    ({"b": [1], "a": {}}, dict[str, object]),
)
"""Values, and the types that they are read as."""


BAD: Final = (("echo", "no number"), ("break", "broken"))
"""Activities whose answer is no number, with their input."""


async def _types_both_ways(ctx: OrchestrationContext, input: str) -> str:
    """Every value goes round without a session and with one; then payloads that are no number."""
    session = ctx.open_session_with_id("s")
    futures: list[Durable[object]] = []
    for name, value, wanted in [*(("echo", *pair) for pair in TYPED), *((*pair, int) for pair in BAD)]:
        futures.append(ctx.schedule_activity_typed(name, value, wanted))
        futures.append(ctx.schedule_activity_on_session_typed(name, value, session, wanted))
    return encoded([_plain(value) for value in await ctx.join(*futures)])


@scenario(covers=["32.6", "SS-2.6"], options=MINUTE, situations=["session.served_again"])
async def typed_variant_parity(world: World) -> None:
    """The typed call behaves like its sessionless sibling."""
    world.worker("a", lambda: _echoing(_types_both_ways), worker_concurrency=3)
    await start(world, _types_both_ways, "i")
    status = await world.finished("i", check=False)
    scheduled = of_kind(await world.history("i"), ActivityScheduled)
    with world.oracle("32.6"):
        results = answer(status)
        pairs = list(zip(results[::2], results[1::2], strict=True))
        assert len(pairs) == len(TYPED) + len(BAD), results
        for (plain, bound), (value, _) in zip(pairs, TYPED, strict=False):
            assert plain == bound and type(plain) is type(bound) is type(value), (value, plain, bound)
        for (plain, bound), (_, text) in zip(pairs[len(TYPED) :], BAD, strict=True):
            assert plain == bound and plain.startswith("error: ") and text in plain, (plain, bound)
        for plain, bound in zip(scheduled[::2], scheduled[1::2], strict=True):
            assert (plain.session_id, bound.session_id) == (None, "s"), (plain, bound)
            assert (plain.name, plain.input.encode()) == (bound.name, bound.input.encode()), (plain, bound)


async def _asks_who(ctx: OrchestrationContext, input: str) -> str:
    """Three activities of one session at a time, twice."""
    session = ctx.open_session_with_id("s")
    told: list[object] = []
    for _ in range(2):
        asked = [ctx.schedule_activity_on_session("whoami", seconds, session) for seconds in ("5", "6", "7")]
        told += await ctx.join(*asked)
    return encoded(told)


@scenario(covers=["32.7", "SS-2.8", "SS-3.10"], options=MINUTE, situations=["session.shared_by_slots"])
async def worker_id_form(world: World) -> None:
    """The activity's worker_id shows slot and owner."""
    identity = (None, "node-7", "eu-west-1", "work-0-x")[world.draw("identity", 4)]
    world.worker("a", lambda: _echoing(_asks_who), worker_concurrency=3, worker_node_id=identity)
    await start(world, _asks_who, "i", "j")
    await world.until(lambda: len(deliveries(world.commits, "s", "i")) >= 3)
    rows = world.sessions()
    answers = [answer(await world.finished(instance, check=False)) for instance in ("i", "j")]
    with world.oracle("32.7"):
        (owner,) = {row.worker_id for row in rows if row.worker_id is not None}
        assert owner is not None
        told = [worker_id for worker_ids in answers for worker_id in worker_ids]
        parts = [re.fullmatch(r"work-(\d+)-(.+)", worker_id) for worker_id in told]
        assert {part and part[2] for part in parts} == {owner}, (told, owner)
        slots = {part and part[1] for part in parts}
        assert len(slots) > 1, "activities on different slots"


async def _asks_once(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    told = await ctx.join(*(ctx.schedule_activity_on_session("whoami", "5", session) for _ in range(2)))
    return encoded(told)


@scenario(
    covers=["32.8", "SS-3.11"],
    workers=2,
    options={**MINUTE, "max_sessions_per_worker": 1},
    situations=["session.claimed"],
)
async def injected_identity(world: World) -> None:
    """An embedding program can set the owner identity (worker_node_id)."""
    names = ("node-7", "n", "caf\u00e9 / 7")
    identities = {"a": names[world.draw("identity", 3)], "b": "eu-west-1"}
    handles = [
        world.worker(process, lambda: _echoing(_asks_once), worker_node_id=identity)
        for process, identity in identities.items()
    ]
    await start(world, _asks_once, "i", "j")
    # each worker has one session then
    await world.until(lambda: len({row.worker_id for row in world.sessions()} - {None}) == 2)
    rows = world.sessions()
    answers = [answer(await world.finished(row.instance_id, check=False)) for row in rows]
    with world.oracle("32.8"):
        assert sorted(str(row.worker_id) for row in rows) == sorted(identities.values()), rows
        assert [handle.worker_id for handle in handles] == list(identities.values()), handles
        for row, told in zip(rows, answers, strict=True):
            assert all(worker_id.endswith(f"-{row.worker_id}") for worker_id in told), (row, told)


async def _combines(ctx: OrchestrationContext, input: str) -> str:
    """Joins of selects and selects of joins; `input` says whether on a session."""
    if input:
        ctx.open_session_with_id("s")

    def call(name: str, text: str) -> Durable[str]:
        if input:
            return ctx.schedule_activity_on_session(name, text, "s")
        return ctx.schedule_activity(name, text)

    first = await ctx.join(
        ctx.select(call("after", "12"), call("after", "3")),
        ctx.join(call("echo", "x"), call("break", "y")),
        ctx.select(ctx.schedule_timer(timedelta(seconds=9)), call("after", "5")),
    )
    second = await ctx.select(
        ctx.join(call("after", "2"), call("after", "10")),
        ctx.join(
            ctx.schedule_timer(timedelta(seconds=4)), ctx.select(call("after", "6"), call("after", "9"))
        ),
    )
    return encoded([_plain(first), _plain(second)])


def _plain(value: object) -> object:
    """A value of a combinator with errors as their texts."""
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return f"error: {value}" if isinstance(value, ActivityError) else value


@scenario(covers=["32.9", "SS-2.5"], options=MINUTE, situations=["session.shared_by_slots"])
async def combinators(world: World) -> None:
    """Session awaitables work in join, select and with timers."""
    world.worker("a", lambda: _echoing(_combines), worker_concurrency=6)
    inputs = [("bound", "on a session"), ("plain", "")]
    results = {}
    for instance, input in inputs if world.draw("which first", 2) == 0 else reversed(inputs):
        await start(world, _combines, instance, input=input)
        results[instance] = answer(await world.finished(instance, check=False))
    bound, plain = results["bound"], results["plain"]
    with world.oracle("32.9"):
        assert bound == plain, (bound, plain)
        assert plain[0] == [[1, "3"], ["x", "error: ValueError: y"], [1, "5"]], plain
        assert plain[1] == [1, [None, [0, "6"]]], plain


async def _waits_for_all(ctx: OrchestrationContext, input: str) -> str:
    """Timers and events; `input` says whether a session is open meanwhile, with work on it."""
    session = ctx.open_session_with_id("s") if input else None
    beside = None if session is None else ctx.schedule_activity_on_session("after", "25", session)
    timers = [ctx.schedule_timer(timedelta(seconds=seconds)) for seconds in (9, 3, 15)]
    raised = [ctx.schedule_wait(name) for name in ("one", "other", "one")]
    queued = [ctx.dequeue_event("q") for _ in range(2)]
    values = await ctx.join(*raised, *queued, *timers)
    if beside is not None and session is not None:
        await beside
        ctx.close_session(session)
    return encoded(values)


@scenario(covers=["32.10", "SS-19.1"], options=MINUTE, situations=["session.opened", "session.closed"])
async def orthogonal_to_timers_and_events(world: World) -> None:
    """Timers and events behave the same with sessions open."""
    world.worker("a", lambda: _echoing(_waits_for_all), worker_concurrency=3)
    instances = ("bound", "plain")
    await start(world, _waits_for_all, "bound", input="with a session")
    await start(world, _waits_for_all, "plain")
    await world.until(lambda: any(row.worker_id for row in world.sessions()))
    left = ["one", "q", "other", "q", "one"]
    for number in range(5):
        await world.sleep(1.5 + 2 * world.draw("seconds before an event / 2", 3))
        name = left.pop(world.draw("which event", len(left)))
        for instance in instances:
            if name == "q":
                await world.client.enqueue_event(instance, name, str(number))
            else:
                await world.client.raise_event(instance, name, str(number))
    ends = {instance: answer(await world.finished(instance, check=False)) for instance in instances}
    histories = {instance: await world.history(instance) for instance in instances}
    with world.oracle("32.10"):
        assert ends["bound"] == ends["plain"], ends
        orders = {instance: _arrivals(history) for instance, history in histories.items()}
        assert orders["bound"] == orders["plain"], orders
        assert len(orders["plain"]) == 8, orders


def _arrivals(history: list[StoredEvent]) -> list[tuple[str, str]]:
    """Timer and event completions in order; a timer by its place among the timers that were set."""
    due = sorted(event.fire_at_ms for event in history if isinstance(event, TimerFired))
    arrivals = []
    for event in history:
        if isinstance(event, TimerFired):
            arrivals.append(("timer", str(due.index(event.fire_at_ms))))
        elif isinstance(event, ExternalEvent | QueueEvent):
            arrivals.append((event.name, event.data))
    return arrivals

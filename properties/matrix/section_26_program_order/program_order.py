"""Matrix section 26: checks in program order."""

from __future__ import annotations

from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.contract.events import OrchestrationFailed, OrchestrationStarted, SessionOpened
from holdfast.core.engine.turn_values import ExecutionContinues
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    encoded,
    failure_text,
    observations,
    of_kind,
    running,
    start,
)
from holdfast.properties.matrix.parts.deliveries import deliveries
from holdfast.properties.matrix.parts.engine_by_hand import (
    NOT_OPEN,
    TOO_MANY,
    EngineByHand,
    kinds_shown,
    refusal_message,
)
from holdfast.properties.matrix.parts.rows import leases_of
from holdfast.sim import World, scenario
from holdfast.traces.record import Commit


@scenario(covers=["26.1", "SS-16.2", "SS-5.8"], level="unit")
async def schedule_then_close_in_one_poll_is_legal() -> None:
    """An activity scheduled while the session is open is fine even if it is closed later in the turn."""

    async def code(ctx: OrchestrationContext, input: str) -> None:
        ctx.open_session_with_id("s")
        answer = ctx.schedule_activity_on_session("look", "", "s")
        ctx.close_session("s")
        await ctx.select(answer, ctx.dequeue_event("go"))

    engine = EngineByHand(code)
    engine.start()
    assert engine.results[-1].outcome == ExecutionContinues(), engine.results[-1]
    expected = ["SessionOpened s", "ActivityScheduled s", "SessionClosed s"]
    assert kinds_shown(engine.history)[:3] == expected, kinds_shown(engine.history)


@scenario(covers=["26.2", "SS-16.2", "SS-16.3"], level="unit")
async def schedule_then_open_in_one_poll_fails() -> None:
    """Opening afterwards does not excuse it."""

    async def code(ctx: OrchestrationContext, input: str) -> None:
        answer = ctx.schedule_activity_on_session("look", "", "s")
        ctx.open_session_with_id("s")
        await answer

    engine = EngineByHand(code)
    commit = engine.start()
    assert refusal_message(engine.results[-1]) == NOT_OPEN.format("s")
    assert kinds_shown(engine.history) == ["OrchestrationFailed"], kinds_shown(engine.history)
    assert commit.worker_items == () and commit.metadata.opened_sessions == (), commit


@scenario(covers=["26.3", "SS-16.2", "SS-16.4"], level="unit")
async def limit_checked_in_program_order() -> None:
    """A later close in the same turn does not excuse exceeding the limit."""

    async def code(ctx: OrchestrationContext, input: str) -> None:
        for name in ("a", "b", "c"):
            ctx.open_session_with_id(name)
        ctx.close_session("a")
        await ctx.dequeue_event("go")

    engine = EngineByHand(code, limit=2)
    engine.start()
    assert refusal_message(engine.results[-1]) == TOO_MANY.format(2, 2)
    expected = ["SessionOpened a", "SessionOpened b", "OrchestrationFailed"]
    assert kinds_shown(engine.history) == expected, kinds_shown(engine.history)


async def _asks_too_much(ctx: OrchestrationContext, input: str) -> None:
    """Turns of two activities each, then two opens and a plain call, and then what is refused."""
    turns, refused = int(input[0]), input[1:]
    first = ctx.open_session_with_id("a")
    for _ in range(turns):
        await ctx.join(ctx.schedule_activity("look"), ctx.schedule_activity_on_session("look", "", first))
    ctx.open_session_with_id("b")
    ctx.close_session("never open")
    if refused == "never":
        ctx.schedule_activity_on_session("look", "", "never")
    elif refused == "closed":
        ctx.close_session("b")
        ctx.schedule_activity_on_session("look", "", "b")
    else:
        ctx.open_session_with_id("c")
    ctx.schedule_activity("look", "after it")
    ctx.open_session_with_id("d")


@scenario(
    covers=["26.4", "SS-16.6"],
    options={**MINUTE, "max_sessions_per_orchestration": 2},
    situations=["session.refused", "instance.failed_with_open_session"],
)
async def refused_action_leaves_no_event(world: World) -> None:
    """What came before stays, the refused action and its followers leave nothing."""
    world.worker("a", running(_asks_too_much))
    messages = {
        "never": NOT_OPEN.format("never"),
        "closed": NOT_OPEN.format("b"),
        "third": TOO_MANY.format(2, 2),
    }
    inputs = {}
    for instance in ("i", "j"):
        turns = world.draw(f"turns before {instance}'s refusal", 3)
        refused = list(messages)[world.draw(f"what {instance} is refused", 3)]
        inputs[instance] = (turns, refused)
        await start(world, _asks_too_much, instance, input=f"{turns}{refused}")
    ends = {instance: await world.finished(instance, check=False) for instance in inputs}
    histories = {instance: await world.history(instance) for instance in inputs}
    with world.oracle("26.4"):
        for instance, (turns, refused) in inputs.items():
            assert failure_text(ends[instance]) == messages[refused], ends[instance]
            events = histories[instance]
            kinds = [getattr(event, "session_id", None) or type(event).__name__ for event in events]
            last = ["b", "never open", *(["b"] if refused == "closed" else []), "OrchestrationFailed"]
            assert kinds[-len(last) :] == last, kinds
            assert isinstance(events[0], OrchestrationStarted) and isinstance(events[-1], OrchestrationFailed)
            assert len(events) == 2 + 4 * turns + len(last), kinds
            numbers = [event.event_id for event in events]
            assert numbers == list(range(1, len(events) + 1)), numbers
        assert world.worker_rows() == [], world.worker_rows()
        assert world.sessions() == [], world.sessions()


@scenario(covers=["26.5", "SS-16.5"], level="unit")
async def check_failure_cannot_be_caught() -> None:
    """Orchestration code cannot swallow a failed check."""

    async def refused(ctx: OrchestrationContext, input: str) -> None:
        if input == "open":
            ctx.open_session()
        else:
            await ctx.schedule_activity_on_session("look", "", "s")

    async def returns(ctx: OrchestrationContext, input: str) -> str:
        try:
            await refused(ctx, input)
        except BaseException:
            return "all is well"
        return "nothing happened"

    async def raises(ctx: OrchestrationContext, input: str) -> None:
        try:
            await refused(ctx, input)
        except BaseException as error:
            raise ValueError("something else") from error

    async def goes_on(ctx: OrchestrationContext, input: str) -> None:
        try:
            await refused(ctx, input)
        except BaseException:
            await ctx.schedule_activity("look")

    async def continues(ctx: OrchestrationContext, input: str) -> None:
        try:
            await refused(ctx, input)
        finally:
            ctx.continue_as_new("again")

    for code in (returns, raises, goes_on, continues):
        for input, message in (("open", TOO_MANY.format(0, 0)), ("schedule", NOT_OPEN.format("s"))):
            engine = EngineByHand(code, limit=0)
            commit = engine.start(input)
            assert refusal_message(engine.results[-1]) == message
            assert (commit.metadata.status, commit.metadata.output) == ("Failed", message), commit.metadata
            assert kinds_shown(engine.history) == ["OrchestrationFailed"], kinds_shown(engine.history)


LOOK_ALIKES: Final = ("caf\u00e9", "CAF\u00c9", "caf\u00e9 ", "cafe\u0301")
"""Four ids that differ in case, a blank and normalisation."""


async def _uses_look_alikes(ctx: OrchestrationContext, input: str) -> str:
    for name in LOOK_ALIKES:
        ctx.open_session_with_id(name)
    looks = [ctx.schedule_activity_on_session("look", name, name) for name in LOOK_ALIKES]
    seen = await ctx.join(*looks)
    await ctx.dequeue_event("go")
    return encoded([*seen, *[await ctx.schedule_activity_on_session("look", n, n) for n in LOOK_ALIKES]])


@scenario(
    covers=["26.11", "SS-3.6"],
    workers=2,
    options={**MINUTE, "max_sessions_per_worker": 2},
    situations=["two_sessions.two_owners", "worker.at_capacity"],
)
async def ids_compared_exactly(world: World) -> None:
    """Ids differing in case, blanks or normalisation are different sessions."""
    workers = [world.worker(name, running(_uses_look_alikes)) for name in ("a", "b")]
    await start(world, _uses_look_alikes, "i")
    await world.until(lambda: all(deliveries(world.commits, name, "i") for name in LOOK_ALIKES))
    await world.sleep(1 + 3 * world.draw("seconds before the second use / 3", 9))
    rows = world.sessions()
    leases = [lease for worker in workers for lease in leases_of(worker)]
    await world.client.enqueue_event("i", "go", "")
    status = await world.finished("i", check=False)
    history = await world.history("i")
    with world.oracle("26.11"):
        opened = [event.session_id for event in of_kind(history, SessionOpened)]
        assert opened == list(LOOK_ALIKES), opened
        assert sorted(row.session_id for row in rows) == sorted(LOOK_ALIKES), rows
        assert sorted(lease.session_id for lease in leases) == sorted(LOOK_ALIKES), leases
        owner_of = {row.session_id: row.worker_id for row in rows}
        for entry in observations(status):
            assert entry.session == entry.input, entry
            assert entry.owner == owner_of[entry.input], (entry, owner_of)
        for name in LOOK_ALIKES:
            given = deliveries(world.commits, name, "i")
            assert len(given) == 2 and {_fetcher(one) for one in given} == {owner_of[name]}, given


def _fetcher(commit: Commit) -> object:
    return commit.arguments["worker_id"]

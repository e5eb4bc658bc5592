"""Matrix section 27: what is carried over, as data: its text, the rows it leaves alone, and the limit."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from holdfast.core import OrchestrationContext
from holdfast.core.contract.codec import decode_event, decode_work_item, encode_event, encode_work_item
from holdfast.core.contract.events import (
    Event,
    OrchestrationContinuedAsNew,
    OrchestrationStarted,
    SessionOpened,
)
from holdfast.core.contract.provider import ScheduledActivityIdentifier
from holdfast.core.contract.store import SessionRecord
from holdfast.core.contract.work_items import ContinueAsNewMessage
from holdfast.core.engine.turn import TurnResult
from holdfast.core.engine.turn_values import ExecutionCompleted, ExecutionFailed
from holdfast.core.program.registry import OrchestrationHandler
from holdfast.properties.matrix.parts.engine_by_hand import TOO_MANY, EngineByHand, refusal_message
from holdfast.properties.matrix.parts.turns_by_hand import (
    acknowledge,
    begin,
    event,
    fetched,
    further_turn,
    item,
    items,
    note,
    records,
    sessions_named,
    turn_of,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario


def _started(*open_sessions: str) -> Event:
    """The first event of an execution that begins with these."""
    named = {"name": "code", "version": "1.0.0", "input": "x"}
    return event(OrchestrationStarted, 1, "i", 2, **named, open_sessions=open_sessions)


def _message(**members: Any) -> ContinueAsNewMessage:
    return ContinueAsNewMessage(instance="i", orchestration="flow", input="x", **members)


def _keys(text: bytes) -> dict[str, Any]:
    """The members, without the name of the variant that a work item may have around them."""
    decoded: dict[str, Any] = msgspec.json.decode(text)
    if len(decoded) == 1:
        (decoded,) = decoded.values()
    return decoded


@scenario(covers=["27.2", "SS-11.6", "SS-11.7"], workers=0, level="unit")
async def carried_set_in_json() -> None:
    """The list is in both events and the item, and only if not empty."""
    two = ("zeta", "alpha")
    for told in (event(OrchestrationContinuedAsNew, 9, input="x", open_sessions=two), _started(*two)):
        text = encode_event(told)
        assert b'"open_sessions":["zeta","alpha"]' in text, text
        assert decode_event(text) == told, text
        without = _keys(text)
        del without["open_sessions"]
        empty = decode_event(msgspec.json.encode(without))
        assert cast(OrchestrationStarted | OrchestrationContinuedAsNew, empty).open_sessions == (), (
            "an old text, without the key"
        )
        assert msgspec.json.decode(encode_event(empty)) == without, "left out when empty"
    item = _message(open_sessions=two)
    text = encode_work_item(item)
    assert b'"open_sessions":["zeta","alpha"]' in text, text
    assert decode_work_item(text) == item, text
    bare = encode_work_item(_message())
    assert "open_sessions" not in _keys(bare), bare
    decoded = decode_work_item(bare)
    assert isinstance(decoded, ContinueAsNewMessage) and decoded.open_sessions == (), decoded
    with_list = {**_keys(bare), "open_sessions": ["zeta", "alpha"]}
    assert with_list == _keys(text), "nothing else is different"


_NAMES: Final = ("owned", "expired", "unclaimed")


@scenario(covers=["27.3", "SS-17.4", "SS-25.18", "SS-15.7"], level="provider")
async def row_unchanged_by_can(bench: Bench) -> None:
    """Continue-as-new leaves the row bytewise equal."""
    provider = bench.provider
    await begin(provider, opened=sessions_named(*_NAMES), work=[item(5, "expired"), item(6, "owned")])
    for lock in (1_000, 60_000):
        await fetched(provider, f"w{lock}", duration=lock)
        bench.clock.advance(1_000)
    before, now = records(bench), bench.clock.now_ms()
    assert before == [
        SessionRecord("i", "expired", "w1000", now - 1_000),
        SessionRecord("i", "owned", "w60000", now + 59_000),
        SessionRecord("i", "unclaimed", None, None),
    ], before
    await further_turn(
        provider,
        "i",
        note(2),
        event(OrchestrationContinuedAsNew, 3, input="again", open_sessions=_NAMES),
        status="ContinuedAsNew",
        output="again",
        messages=[_message(open_sessions=_NAMES)],
        cancelled=[ScheduledActivityIdentifier("i", 1, 5), ScheduledActivityIdentifier("i", 1, 6)],
    )
    assert records(bench) == before, records(bench)
    assert items(bench) == [], "the items of the old execution are gone"
    turn = await turn_of(provider)
    (message,) = turn.item.messages
    assert isinstance(message, ContinueAsNewMessage) and message.open_sessions == _NAMES, message
    await acknowledge(provider, turn, _started(*_NAMES), execution_id=2)
    assert records(bench) == before, records(bench)


def _turn_with_two_carried(handler: OrchestrationHandler, limit: int) -> TurnResult:
    """A turn of an execution that begins with sessions a and b."""
    return EngineByHand(handler, limit=limit).replay(history=[_started("a", "b")])


@scenario(covers=["27.4", "SS-17.8"], level="unit")
async def carried_sessions_count_to_limit() -> None:
    """Carried sessions use up the limit."""

    async def opens(ctx: OrchestrationContext, input: str) -> str:
        return ctx.open_session_with_id("c")

    async def uses(ctx: OrchestrationContext, input: str) -> str:
        ctx.schedule_activity_on_session("look", "", "a")
        ctx.schedule_activity_on_session("look", "", ctx.open_session_with_id("b"))
        return "both"

    async def makes_room(ctx: OrchestrationContext, input: str) -> str:
        ctx.close_session("a")
        return ctx.open_session_with_id("c")

    for limit in (2, 1, 0):
        result = _turn_with_two_carried(opens, limit)
        assert refusal_message(result) == TOO_MANY.format(limit, 2)
        assert not [one for one in result.delta if isinstance(one, SessionOpened)], result.delta
        result = _turn_with_two_carried(uses, limit)
        assert result.outcome == ExecutionCompleted("both"), result
        assert [getattr(action, "session_id", None) for action in result.actions] == ["a", "b"], (
            result.actions
        )
        assert result.open_sessions_after == ("a", "b"), result
    for handler, limit, after in ((opens, 3, ("a", "b", "c")), (makes_room, 2, ("b", "c"))):
        result = _turn_with_two_carried(handler, limit)
        assert result.outcome == ExecutionCompleted("c"), result
        assert result.open_sessions_after == after, result
    assert isinstance(_turn_with_two_carried(makes_room, 1).outcome, ExecutionFailed), "one is open still"

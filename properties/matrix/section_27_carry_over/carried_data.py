"""Matrix section 27: what is carried over, as data: its text, the rows it leaves alone, and the limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from holdfast.core import OrchestrationContext
from holdfast.core.contract.codec import decode_event, decode_work_item, encode_event, encode_work_item
from holdfast.core.contract.events import (
    Event,
    ExternalEvent,
    OrchestrationContinuedAsNew,
    OrchestrationStarted,
    SessionOpened,
)
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import (
    ExecutionMetadata,
    FetchedTurn,
    ScheduledActivityIdentifier,
    ScheduledSessionIdentifier,
    Version,
)
from holdfast.core.contract.store import inspectable
from holdfast.core.contract.work_items import (
    ActivityExecute,
    ContinueAsNewMessage,
    ExternalRaised,
    Message,
    StartOrchestration,
)
from holdfast.core.engine.turn import TurnInput, TurnResult, run_turn
from holdfast.core.engine.turn_values import ExecutionCompleted, ExecutionFailed
from holdfast.core.program.limits import TurnLimits
from holdfast.core.program.registry import OrchestrationHandler
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario

_SHARED: Final[dict[str, Any]] = {
    "instance_id": "i",
    "execution_id": 2,
    "timestamp_ms": 7,
    "duroxide_version": "0.1.32",
}


def _started(event_id: int, **members: Any) -> OrchestrationStarted:
    return OrchestrationStarted(
        event_id=event_id, name="flow", version="1.0.0", input="x", **_SHARED, **members
    )


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
    ended = OrchestrationContinuedAsNew(event_id=9, input="x", open_sessions=two, **_SHARED)
    for event in (ended, _started(1, open_sessions=two)):
        text = encode_event(event)
        assert b'"open_sessions":["zeta","alpha"]' in text, text
        assert decode_event(text) == event, text
        without = _keys(text)
        del without["open_sessions"]
        empty = decode_event(msgspec.json.encode(without))
        assert cast(Any, empty).open_sessions == (), "an old text, without the key"
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


_LOCK: Final = Millis(30_000)
_NAMES: Final = ("owned", "expired", "unclaimed")


class _Turns:
    """Turns of instance i, acknowledged by hand."""

    def __init__(self, bench: Bench) -> None:
        self._provider = bench.provider
        self.store = inspectable(bench.store, "session_records", "worker_rows")

    async def next(self, message: Message) -> FetchedTurn:
        """The batch with this message."""
        await self._provider.enqueue_for_orchestrator(message)
        return await self.fetched()

    async def fetched(self) -> FetchedTurn:
        """The batch that waits."""
        turn = await self._provider.fetch_orchestration_item(Millis(5_000), Millis(0))
        assert turn is not None and turn.item.instance == "i", turn
        return turn

    async def ack(
        self,
        turn: FetchedTurn,
        execution_id: int,
        delta: Sequence[Event],
        metadata: ExecutionMetadata,
        *,
        work: Sequence[ActivityExecute] = (),
        items: Sequence[Message] = (),
        cancelled: Sequence[ScheduledActivityIdentifier] = (),
    ) -> None:
        """Acknowledge it."""
        await self._provider.ack_orchestration_item(
            turn.token,
            execution_id=execution_id,
            history_delta=delta,
            worker_items=work,
            orchestrator_items=items,
            metadata=metadata,
            cancelled_activities=cancelled,
        )


def _first(execution_id: int, **members: Any) -> ExecutionMetadata:
    return ExecutionMetadata(
        orchestration_name="flow",
        orchestration_version="1.0.0",
        pinned_duroxide_version=Version(0, 1, 32),
        **members,
    )


@scenario(covers=["27.3", "SS-17.4", "SS-25.18", "SS-15.7"], level="provider")
async def row_unchanged_by_can(bench: Bench) -> None:
    """Continue-as-new leaves the row bytewise equal."""
    turns = _Turns(bench)
    turn = await turns.next(
        StartOrchestration(instance="i", orchestration="flow", input="", version="1.0.0", execution_id=1)
    )
    bound = [
        ActivityExecute(instance="i", execution_id=1, id=number, name="x", input="", session_id=session)
        for number, session in ((5, "expired"), (6, "owned"))
    ]
    opened = [ScheduledSessionIdentifier("i", name) for name in _NAMES]
    one = {**_SHARED, "execution_id": 1}
    started = OrchestrationStarted(event_id=1, name="flow", version="1.0.0", input="", **one)
    await turns.ack(turn, 1, [started], _first(1, opened_sessions=opened), work=bound)
    for lock in (1_000, 60_000):
        work = await bench.provider.fetch_session_work_item(
            _LOCK, Millis(0), worker_id=f"w{lock}", session_lock_duration=Millis(lock)
        )
        assert work is not None, lock
        bench.clock.advance(1_000)
    before = turns.store.session_records()
    now = bench.clock.now_ms()
    rows = {record.session_id: (record.worker_id, record.locked_until) for record in before}
    assert rows == {
        "owned": ("w60000", now + 59_000),
        "expired": ("w1000", now - 1_000),
        "unclaimed": (None, None),
    }, rows
    turn = await turns.next(ExternalRaised(instance="i", name="go", data=""))
    ended = OrchestrationContinuedAsNew(event_id=3, input="again", open_sessions=_NAMES, **one)
    await turns.ack(
        turn,
        1,
        [ExternalEvent(event_id=2, name="go", data="", **one), ended],
        ExecutionMetadata(status="ContinuedAsNew", output="again"),
        items=[_message(open_sessions=_NAMES)],
        cancelled=[ScheduledActivityIdentifier("i", 1, 5), ScheduledActivityIdentifier("i", 1, 6)],
    )
    assert turns.store.session_records() == before, turns.store.session_records()
    assert turns.store.worker_rows() == [], "the items of the old execution are gone"
    turn = await turns.fetched()
    (message,) = turn.item.messages
    assert isinstance(message, ContinueAsNewMessage) and message.open_sessions == _NAMES, message
    await turns.ack(turn, 2, [_started(1, open_sessions=_NAMES)], _first(2))
    assert turns.store.session_records() == before, turns.store.session_records()


def _turn_with_two_carried(handler: OrchestrationHandler, limit: int) -> TurnResult:
    return run_turn(
        TurnInput(
            instance="i",
            execution_id=2,
            history=[_started(1, open_sessions=("a", "b"))],
            persisted_length=0,
            messages=[],
            handler=handler,
            now_ms=7,
            duroxide_version="0.1.32",
            limits=TurnLimits(sessions_per_orchestration_max=limit),
        )
    )


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
        assert isinstance(result.outcome, ExecutionFailed), result
        assert result.outcome.details.application is not None, result
        text = result.outcome.details.application.message
        assert text == f"max sessions per orchestration exceeded (limit: {limit}, open: 2)", text
        assert not [event for event in result.delta if isinstance(event, SessionOpened)], result.delta
        result = _turn_with_two_carried(uses, limit)
        assert isinstance(result.outcome, ExecutionCompleted) and result.outcome.output == "both", result
        assert [getattr(action, "session_id", None) for action in result.actions] == ["a", "b"], (
            result.actions
        )
        assert result.open_sessions_after == ("a", "b"), result
    for handler, limit, after in ((opens, 3, ("a", "b", "c")), (makes_room, 2, ("b", "c"))):
        result = _turn_with_two_carried(handler, limit)
        assert isinstance(result.outcome, ExecutionCompleted) and result.outcome.output == "c", result
        assert result.open_sessions_after == after, result
    assert isinstance(_turn_with_two_carried(makes_room, 1).outcome, ExecutionFailed), "one is open still"

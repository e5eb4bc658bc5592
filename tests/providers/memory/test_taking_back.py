"""What a failing call leaves behind: nothing, wherever it fails (PV-29.3, PV-4.7)."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast.core.contract import events, work_items
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.management import PruneOptions
from holdfast.core.contract.provider import (
    DispatcherCapabilityFilter,
    ExecutionMetadata,
    FetchedTurn,
    ScheduledActivityIdentifier,
    ScheduledSessionIdentifier,
    SemverRange,
    Version,
)
from holdfast.providers.conformance import CountingIds, SteppedClock
from holdfast.providers.memory import MemoryProvider, MemoryStore, memory_store
from holdfast.providers.memory.journal import Journal

LOCK = Millis(5_000)
NOW = Millis(0)


def driven(call: Coroutine[Any, Any, Any]) -> Any:
    """The answer of a call that must not suspend, as the simulator gets it."""
    try:
        call.send(None)
    except StopIteration as answered:
        return answered.value
    raise AssertionError("the call suspended")


def event(kind: type[events.Event], number: int, **members: Any) -> events.Event:
    return kind(
        event_id=number, instance_id="i", execution_id=1, timestamp_ms=1, duroxide_version="0.1.32", **members
    )


def activity(number: int, session: str | None = None) -> work_items.ActivityExecute:
    return work_items.ActivityExecute(
        instance="i", execution_id=1, id=number, name="a", input="x", session_id=session
    )


def start(instance: str) -> work_items.StartOrchestration:
    return work_items.StartOrchestration(instance=instance, orchestration="F", input="", execution_id=1)


def ack(provider: MemoryProvider, turn: FetchedTurn, **conclusions: Any) -> Coroutine[Any, Any, None]:
    empty: dict[str, Any] = {
        "execution_id": 1,
        "history_delta": [],
        "worker_items": [],
        "orchestrator_items": [],
        "metadata": ExecutionMetadata(),
        "cancelled_activities": [],
    }
    return provider.ack_orchestration_item(turn.token, **{**empty, **conclusions})


class Busy:
    """A store in which an acknowledgement of every effect is about to be made."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.store: MemoryStore = memory_store(self.clock, CountingIds())
        self.provider = self.store.open()
        driven(self.provider.enqueue_for_orchestrator(start("i")))
        opened = ExecutionMetadata(
            orchestration_name="F",
            orchestration_version="1",
            opened_sessions=[ScheduledSessionIdentifier("i", "s")],
        )
        items = [activity(2, "s"), activity(3), activity(4, "s"), activity(5)]
        first = event(events.KeyValueSet, 1, key="a", value="1", last_updated_at_ms=1)
        turn = driven(self.provider.fetch_orchestration_item(LOCK, NOW))
        driven(ack(self.provider, turn, history_delta=[first], worker_items=items, metadata=opened))
        driven(self.provider.fetch_session_work_item(LOCK, NOW, worker_id="A", session_lock_duration=LOCK))
        for name in ("one", "two"):
            message = work_items.ExternalRaised(instance="i", name=name, data="")
            driven(self.provider.enqueue_for_orchestrator(message))
        self.turn: FetchedTurn = driven(self.provider.fetch_orchestration_item(LOCK, NOW))

    def acknowledgement(self) -> Coroutine[Any, Any, None]:
        return ack(
            self.provider,
            self.turn,
            history_delta=[
                event(events.CustomStatusUpdated, 6, status="busy"),
                event(events.KeyValuesCleared, 7),
                event(events.KeyValueSet, 8, key="b", value="2", last_updated_at_ms=2),
            ],
            worker_items=[activity(9), activity(10, "t")],
            orchestrator_items=[start("j"), work_items.CancelInstance(instance="i", reason="r")],
            metadata=ExecutionMetadata(
                status="ContinuedAsNew",
                output="next",
                orchestration_name="G",
                orchestration_version="2",
                pinned_duroxide_version=Version(1, 2, 3),
                opened_sessions=[ScheduledSessionIdentifier("i", "t")],
                cancelled_sessions=[ScheduledSessionIdentifier("i", "s")],
            ),
            cancelled_activities=[ScheduledActivityIdentifier("i", 1, 3)],
        )

    def state(self) -> object:
        """All that another call or a hook can see."""
        provider, management = self.provider, self.provider.as_management()
        return (
            self.store.raw_counts(),
            self.store.session_records(),
            [row._replace(seq=0) for row in self.store.worker_rows()],  # a failed call's numbers stay unused
            driven(provider.read("i")),
            driven(provider.get_custom_status("i", 0)),
            driven(provider.get_kv_all_values("i")),
            driven(management.get_instance_info("i")),
            driven(management.get_execution_info("i", 1)),
            driven(management.get_queue_depths()),
        )


class Injected(Exception):
    """The failure under test."""


def failing_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the journal fail when a call is about to make its `step`-th change."""
    seen = 0

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def method(journal: Journal, *args: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == step:
                raise Injected
            return original(journal, *args)

        return method

    for name in ("put", "remove", "keep", "undo"):
        monkeypatch.setattr(Journal, name, wrapped(getattr(Journal, name)))


def test_an_acknowledgement_that_fails_at_any_step_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """PV-29.3, PV-8.5, PVC-387: as before, the lock still held, and the same acknowledgement then works."""
    step = 0
    while True:
        step += 1
        store = Busy()
        before = store.state()
        with monkeypatch.context() as patch:
            failing_at(patch, step)
            try:
                driven(store.acknowledgement())
            except Injected:
                pass
            else:
                break
        assert store.state() == before, f"step {step}"
        driven(store.acknowledgement())
        assert store.state() == acknowledged(), f"step {step}, tried again"
    assert step > 30, "the acknowledgement under test makes few changes"


def acknowledged() -> object:
    store = Busy()
    driven(store.acknowledgement())
    return store.state()


def test_a_failing_deletion_deletes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """PV-20.4, PV-4.7: one step, wherever it fails."""
    step = 0
    while True:
        step += 1
        store = Busy()
        before = store.state()
        with monkeypatch.context() as patch:
            failing_at(patch, step)
            try:
                driven(store.provider.as_management().delete_instance("i", force=True))
            except Injected:
                pass
            else:
                break
        assert store.state() == before, f"step {step}"
    assert step > 10
    assert set(store.store.raw_counts().values()) == {0}


def test_items_are_delivered_in_order_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """PV-10.3: rows that came back stand where they stood."""
    store = Busy()
    with monkeypatch.context() as patch:
        failing_at(patch, 40)
        with pytest.raises(Injected):
            driven(store.acknowledgement())
    delivered = [driven(store.provider.fetch_work_item(LOCK, NOW)).item.id for _ in range(2)]
    assert delivered == [3, 5]


# --- where the memory provider once differed ------------------------------------------------------------


def test_an_overdue_timer_is_visible_from_its_own_time() -> None:
    """PV-8.10, PV-7.3: it goes before a message that became visible later."""
    store = Busy()
    driven(store.provider.enqueue_for_orchestrator(start("j")))
    overdue = work_items.TimerFiredMessage(instance="i", execution_id=1, id=2, fire_at_ms=store.clock() - 100)
    driven(ack(store.provider, store.turn, orchestrator_items=[overdue]))
    assert driven(store.provider.fetch_orchestration_item(LOCK, NOW)).item.instance == "i"


def test_an_execution_without_instance_record_keeps_its_pin() -> None:
    """PV-13.2, PV-5.5: the highest execution stands in for the current one."""
    store = Busy()
    provider = store.provider
    driven(provider.enqueue_for_orchestrator(start("n")))
    turn = driven(provider.fetch_orchestration_item(LOCK, NOW))
    driven(ack(provider, turn, metadata=ExecutionMetadata(pinned_duroxide_version=Version(9, 0, 0))))
    driven(provider.enqueue_for_orchestrator(start("n")))
    old = DispatcherCapabilityFilter((SemverRange(Version(0, 0, 0), Version(1, 0, 0)),))
    assert driven(provider.fetch_orchestration_item(LOCK, NOW, old)) is None


def test_a_row_set_aside_is_logged_once() -> None:
    """PV-14.9."""

    class Listener:
        def __init__(self) -> None:
            self.heard: list[str] = []

        def notify(self, event: Any) -> None:
            self.heard.append(event.event)

    listener = Listener()
    store = memory_store(SteppedClock(), CountingIds())
    provider = store.open(listener)
    driven(provider.enqueue_for_worker(activity(2)))
    store.corrupt_worker_row("i")
    assert [driven(provider.fetch_work_item(LOCK, NOW)) for _ in range(2)] == [None, None]
    assert listener.heard == ["undecodable worker row set aside"]


def test_management_ends_with_its_provider_and_a_closed_store_opens_no_more() -> None:
    """PV-28.12."""
    store = Busy()
    management = store.provider.as_management()
    driven(store.provider.close())
    for call in (management.list_instances(), management.prune_executions("i", PruneOptions())):
        with pytest.raises(ProviderError, match="closed"):
            driven(call)
    store.store.close()
    with pytest.raises(ProviderError, match="closed"):
        store.store.open()

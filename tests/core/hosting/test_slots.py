"""Slots, crews and final calls: what dispatcher and worker share."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Micros, Millis
from holdfast.core.contract.observe import Logged
from holdfast.core.hosting import backoff
from holdfast.core.hosting.crew import Crew
from holdfast.core.hosting.final_call import final_call
from holdfast.core.hosting.log import FAILED_ASSERTION, Log
from holdfast.core.hosting.options import RuntimeOptions, Timing
from holdfast.core.hosting.pace import Pace
from holdfast.core.hosting.slots import Slots


class Desk:
    """Slots that fetch from a list: a value is found, None is nothing, an exception is raised."""

    def __init__(self, world: Any, *fetches: object) -> None:
        self.world = world
        self.fetches = list(fetches)
        self.asked_at: list[float] = []
        self.processed: list[tuple[str, object]] = []
        self.records: list[object] = []
        self.failures: list[BaseException] = []
        self.crew = Crew(self.failures.append)
        self.slots: Slots[object] = Slots(
            world.clock,
            self.crew,
            Log(self),
            fetch=self.fetch,
            process=self.process,
            min_poll=Micros(100_000),
            on_change=lambda: None,
        )

    def notify(self, event: object) -> None:
        self.records.append(event)

    async def fetch(self) -> object:
        self.asked_at.append(round(self.world.now, 3))
        if not self.fetches:
            await asyncio.Event().wait()
        found = self.fetches.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found

    async def process(self, name: str, found: object) -> None:
        self.processed.append((name, found))
        if isinstance(found, AssertionError):
            raise found

    async def end(self) -> None:
        self.slots.stop()
        self.slots.unpark()
        await self.crew.idle()
        assert not self.slots.running and not self.slots.fetching
        assert not self.failures


def test_a_slot_goes_on_at_once_with_work_and_waits_without(world: Any) -> None:
    """RT-5.2, RT-5.3: nothing costs the minimum interval, retryable errors ever more, others 100 ms."""
    busy, bad = ProviderError.transient("fetch", "busy"), ProviderError.permanent("fetch", "bad")

    async def scenario() -> None:
        desk = Desk(world, "a", "b", None, busy, busy, bad, "c")
        desk.slots.start(["one"])
        await world.sleep(5)
        assert desk.slots.fetching and desk.slots.running
        assert desk.processed == [("one", "a"), ("one", "b"), ("one", "c")]
        assert desk.asked_at == [0, 0, 0, 0.1, 0.3, 0.7, 0.8, 0.8]
        await desk.end()

    world.run(scenario())


@pytest.mark.parametrize("where", ["fetch", "process"])
def test_a_slot_survives_a_failed_assertion_and_says_so(world: Any, where: str) -> None:
    """A record, the loop's exception handler, a pause; then it fetches again."""
    broken = AssertionError("two is three")

    async def scenario() -> None:
        heard: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
        desk = Desk(world, broken, "a")
        if where == "process":

            async def hand_out() -> object:
                desk.asked_at.append(world.now)
                return desk.fetches.pop(0) if desk.fetches else await asyncio.Event().wait()

            desk.slots._fetch = hand_out
        desk.slots.start(["one"])
        await world.sleep(5)
        assert desk.processed[-1] == ("one", "a")
        assert desk.asked_at[1] == 1
        assert desk.records == [Logged(FAILED_ASSERTION, "error", {"slot": "one", "error": "two is three"})]
        assert [context["exception"] for context in heard] == [broken]
        await desk.end()

    world.run(scenario())


def test_slots_are_started_once_and_unparked_only_after_they_were_stopped(world: Any) -> None:
    """A cancelled fetch ends its slot: while slots go on, that would be one less, for good."""

    async def scenario() -> None:
        desk = Desk(world)
        with pytest.raises(AssertionError, match=r"one name: ..one., .one"):
            desk.slots.start(["one", "one"])
        desk.slots.start(["one"])
        with pytest.raises(AssertionError, match=r"two.*one"):
            desk.slots.start(["two"])
        with pytest.raises(AssertionError, match="go on"):
            desk.slots.unpark()
        await world.sleep(1)
        await desk.end()

    world.run(scenario())


def test_no_task_is_started_in_a_crew_that_was_cancelled(world: Any) -> None:
    """SS-9.15: nobody would wait for it any more."""

    async def scenario() -> None:
        crew = Crew(lambda error: None)
        crew.start(asyncio.Event().wait(), name="first")
        await crew.cancel()
        late = world.sleep(1)
        with pytest.raises(AssertionError, match="late"):
            crew.start(late, name="late")
        late.close()
        assert len(crew) == 0

    world.run(scenario())


def test_a_task_ends_once_and_a_cycle_begins_with_its_fetch(world: Any) -> None:
    """RT-5.3: the shortest cycle is counted from the fetch, not from nowhere."""

    async def scenario() -> None:
        crew = Crew(lambda error: None)
        task = crew.start(asyncio.sleep(0), name="short")
        await crew.idle()
        with pytest.raises(AssertionError, match="task 'short' ends, and is none of 0"):
            crew._ended(task)
        with pytest.raises(AssertionError, match="never began"):
            await Pace(world.clock, Micros(1)).nothing()

    world.run(scenario())


@pytest.mark.parametrize(
    ("errors", "accepted", "took"),
    [
        ([], True, 0),
        (["busy"] * 5, True, 0.31),
        (["busy"] * 6, False, 0.31),
        (["no"], False, 0),
        (["busy", "no"], False, 0.01),
    ],
)
def test_a_final_call_is_made_again_while_the_store_is_busy(
    world: Any, errors: list[str], accepted: bool, took: float
) -> None:
    """RT-5.33, SS-12.19: five times at most, and not after an error that will not pass."""

    async def scenario() -> None:
        left = list(errors)

        async def call() -> None:
            if left:
                text = left.pop(0)
                raise ProviderError(operation="ack", message=text, retryable=text == "busy")

        error = await final_call(world.clock, call)
        assert (error is None) is accepted
        assert error is None or error.message == errors[-1]
        assert world.now == pytest.approx(took)

    world.run(scenario())


def test_pauses_are_counted_from_one() -> None:
    """RT-5.2, RT-5.33, RT-19.11, SS-7.11: a count of zero is a pause before anything has failed."""
    for pause in (
        lambda: backoff.fetch_pause(0),
        lambda: backoff.ack_pause(0),
        lambda: backoff.ack_pause(backoff.ACK_RETRIES_MAX + 1),
        lambda: backoff.client_pause(0),
        lambda: backoff.renewal_pause(0, Micros(1_000_000)),
    ):
        with pytest.raises(AssertionError, match="pause"):
            pause()


def test_locks_are_renewed_before_they_expire_and_never_in_a_hot_loop() -> None:
    """RT-5.5, RT-6.3: whatever the options are, the intervals made of them fit the locks."""
    timing = Timing.of(RuntimeOptions())
    with pytest.raises(AssertionError, match=r"item.*hot loop"):
        replace(timing, item_renewal=Micros(0))
    with pytest.raises(AssertionError, match=r"instance.*too late"):
        replace(timing, turn_renewal=Micros(timing.turn_lock * 1000 + 1))
    with pytest.raises(AssertionError, match="session lock of 0 ms"):
        replace(timing, session_lock=Millis(0))
    with pytest.raises(AssertionError, match=r"0 us.*hot loop"):
        replace(timing, min_poll=Micros(0))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"long_poll": Millis(-1)}, "a fetch that waits for -1 ms"),
        ({"session_idle": Micros(-1)}, "idle after -1 us"),
        ({"grace": Micros(-1)}, "has -1 us to stop"),
    ],
)
def test_no_duration_is_negative(changed: dict[str, Any], message: str) -> None:
    """RT-6.11, SS-20.2: a handler, a fetch and a session that rests may have no time; never less."""
    with pytest.raises(AssertionError, match=message):
        replace(Timing.of(RuntimeOptions()), **changed)

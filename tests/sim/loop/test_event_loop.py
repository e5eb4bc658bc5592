"""asyncio's idioms on a simulated loop: unmodified code, virtual time, one fixed order."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast.core.contract.ids import Micros
from holdfast.sim.errors import Fenced, ForeignLoop, NeverWaits, OutsideSimulation
from holdfast.sim.loop.clock import ProcessClock
from holdfast.sim.loop.event_loop import Loop
from holdfast.sim.loop.ids import VirtualIds
from holdfast.sim.loop.virtual_time import VirtualTime

OFFSET_US = 7_000_000


class Alone:
    """One loop without a world: timers fire one by one, each when it is due."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.loop = Loop("alone", self.time, offset_us=OFFSET_US)

    def run(self, main: Callable[[], Awaitable[Any]]) -> Any:
        tasks: list[asyncio.Task[Any]] = []

        async def body() -> Any:
            return await main()

        self.loop.run_until_waiting([(lambda: tasks.append(self.loop.create_task(body())), ())])
        while (due_us := self.loop.next_due_us()) is not None:
            self.time.advance(max(self.time.now_us, due_us))
            self.loop.run_until_waiting([(self.loop.pop_due().fire, ())])
        assert tasks[0].done(), "the body still waits, and no timer is left"
        return tasks[0].result()


@pytest.fixture
def alone() -> Alone:
    return Alone()


def test_sleeping_takes_virtual_time_only(alone: Alone) -> None:
    async def main() -> float:
        before = asyncio.get_running_loop().time()
        await asyncio.sleep(3600.000001)
        return asyncio.get_running_loop().time() - before

    assert alone.run(main) == pytest.approx(3600.000001)
    assert alone.time.now_us == 3_600_000_001


def test_the_monotonic_clock_starts_at_its_offset(alone: Alone) -> None:
    async def main() -> float:
        return asyncio.get_running_loop().time()

    assert alone.run(main) == OFFSET_US / 1_000_000


def test_timers_fire_by_due_time_and_those_of_one_time_by_creation(alone: Alone) -> None:
    async def main() -> list[str]:
        heard: list[str] = []
        loop = asyncio.get_running_loop()
        for name, delay in [("late", 2.0), ("first", 1.0), ("second", 1.0), ("cancelled", 1.0)]:
            timer = loop.call_later(delay, heard.append, name)
        timer.cancel()
        assert timer.cancelled()
        await asyncio.sleep(3)
        return heard

    assert alone.run(main) == ["first", "second", "late"]


def test_timeout_cancels_what_takes_too_long(alone: Alone) -> None:
    async def main() -> str:
        try:
            async with asyncio.timeout(1.5):
                await asyncio.sleep(60)
        except TimeoutError:
            return "timeout"
        return "no timeout"

    assert alone.run(main) == "timeout"
    assert alone.time.now_us == 1_500_000


def test_wait_for_and_shield(alone: Alone) -> None:
    async def main() -> str:
        inner = asyncio.ensure_future(asyncio.sleep(5, "inner"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(inner), 1)
        return await inner

    assert alone.run(main) == "inner"
    assert alone.time.now_us == 5_000_000


def test_task_group_cancels_the_others_when_one_fails(alone: Alone) -> None:
    async def main() -> list[str]:
        ended: list[str] = []

        async def member(name: str) -> None:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                ended.append(name)
                raise

        async def failing() -> None:
            await asyncio.sleep(1)
            raise ValueError("boom")

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                for name in "abcdefghij":
                    group.create_task(member(name))
                group.create_task(failing())
        assert isinstance(caught.value.exceptions[0], ValueError)
        return ended

    assert alone.run(main) == list("abcdefghij")


def test_wait_gives_tasks_in_order_of_creation(alone: Alone) -> None:
    async def main() -> list[str]:
        tasks = [asyncio.ensure_future(asyncio.sleep(0, name)) for name in "abcdef"]
        done, pending = await asyncio.wait(tasks)
        assert not pending
        return [task.result() for task in done]

    assert alone.run(main) == list("abcdef")


def test_gather_collects_results_and_exceptions(alone: Alone) -> None:
    async def main() -> list[Any]:
        async def fails() -> None:
            await asyncio.sleep(1)
            raise ValueError("boom")

        return await asyncio.gather(asyncio.sleep(2, "slow"), fails(), return_exceptions=True)

    slow, error = alone.run(main)
    assert slow == "slow"
    assert isinstance(error, ValueError)


def test_event_lock_semaphore_condition_and_queue_hand_over_in_order(alone: Alone) -> None:
    async def main() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
        lock, gate, heard = asyncio.Lock(), asyncio.Event(), list[int]()

        async def consumer() -> None:
            await gate.wait()
            while True:
                number = await queue.get()
                async with lock:
                    heard.append(number)
                queue.task_done()

        consumers = [asyncio.ensure_future(consumer()) for _ in range(3)]
        gate.set()
        async with asyncio.Semaphore(1):
            for number in range(10):
                await queue.put(number)
        await queue.join()
        for task in consumers:
            task.cancel()
        await asyncio.gather(*consumers, return_exceptions=True)
        return heard

    assert alone.run(main) == list(range(10))


def test_call_soon_can_be_cancelled_and_contexts_are_kept_apart(alone: Alone) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")

    async def main() -> list[str]:
        heard: list[str] = []
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: heard.append("cancelled")).cancel()
        loop.call_soon(lambda: heard.append("called"))

        async def child() -> None:
            variable.set("inside")
            await asyncio.sleep(0)
            heard.append(variable.get())

        await asyncio.create_task(child())
        heard.append(variable.get())
        return heard

    assert alone.run(main) == ["called", "inside", "outside"]


def test_blocking_work_runs_inline_and_its_exception_arrives(alone: Alone) -> None:
    async def main() -> int:
        with pytest.raises(ValueError, match="boom"):
            await asyncio.to_thread(_boom)
        return await asyncio.get_running_loop().run_in_executor(None, sum, [1, 2])

    assert alone.run(main) == 3


def _boom() -> None:
    raise ValueError("boom")


def test_an_exception_nobody_retrieves_is_complained_about(alone: Alone) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(_boom)
        await asyncio.sleep(0)

    alone.run(main)
    assert len(alone.loop.complaints) == 1
    assert "boom" in alone.loop.complaints[0]


def test_a_process_that_never_waits_is_an_error(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.sim.loop.event_loop._CALLBACKS_MAX", 100)

    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(NeverWaits, match="alone ran 100 callbacks"):
        alone.run(main)


@pytest.mark.parametrize("call", ["add_reader", "call_soon_threadsafe", "run_forever"])
def test_a_way_out_is_refused_by_name_and_with_a_fix(alone: Alone, call: str) -> None:
    with pytest.raises(OutsideSimulation, match=rf"loop\.{call}\(\) leaves the simulation .*alone.*: \w+"):
        getattr(alone.loop, call)(1, 2)


def test_an_asynchronous_way_out_is_refused_as_well(alone: Alone) -> None:
    async def main() -> None:
        await asyncio.open_connection("localhost", 80)

    with pytest.raises(OutsideSimulation, match=r"loop\.create_connection\(\)"):
        alone.run(main)


def test_waking_another_loop_is_reported(alone: Alone) -> None:
    other = Loop("other", alone.time)

    async def main() -> None:
        other.create_future().add_done_callback(print)
        future = other.create_future()
        future.add_done_callback(print)
        future.set_result(None)

    with pytest.raises(ForeignLoop, match=r"alone scheduled .* on the loop of other"):
        alone.run(main)


def _killed(loop: Loop) -> None:
    loop.kill()
    loop.kill()


def _pass_of_the_dead(loop: Loop) -> None:
    loop.kill()
    loop.run_until_waiting([(print, ())])


def _early(loop: Loop) -> None:
    loop.call_later(1, print)
    loop.pop_due()


def _cancelled(loop: Loop) -> None:
    loop.call_later(0, print).cancel()
    loop.pop_due()


def _callback_of_the_dead(loop: Loop) -> None:
    loop.kill()
    loop._ready.append((print, (), contextvars.copy_context()))
    loop.forget()


def _timer_of_the_dead(loop: Loop) -> None:
    loop.call_later(1, print)
    loop._dead = True
    loop.forget()


def _woken_early(loop: Loop) -> None:
    tasks: list[asyncio.Task[None]] = []
    sleeping = ProcessClock(VirtualTime(), loop).sleep_until(Micros(OFFSET_US + 5))
    loop.run_until_waiting([(lambda: tasks.append(loop.create_task(sleeping)), ())])
    loop.run_until_waiting([(loop._timers._to_come[0][2].fire, ())])
    tasks[0].result()


def _pass_within_a_pass(loop: Loop) -> None:
    loop.call_soon = loop._call_soon  # as it is during a pass
    loop.run_until_waiting([(print, ())])


@pytest.mark.parametrize(
    ("provoke", "message"),
    [
        (_killed, "is cut off twice"),
        (_pass_of_the_dead, "whose process is dead"),
        (_pass_within_a_pass, "within its own pass"),
        (lambda loop: loop.run_until_waiting([]), "that delivers nothing"),
        (_early, "no timer of <Loop of alone> is due, yet one is to fire"),
        (_cancelled, "no timer of <Loop of alone> is due, yet one is to fire"),
        (lambda loop: loop.forget(), "but its process is alive"),
        (_callback_of_the_dead, "has callbacks, made after its process was dead"),
        (_timer_of_the_dead, "has 1 timers, made after its process was dead"),
        (_woken_early, "was woken at 7000000 us, it sleeps until 7000005 us"),
        (lambda loop: VirtualTime().advance(-1), "would go back from 0 to -1 us"),
        (lambda loop: Loop("x", VirtualTime(), offset_us=-1), "starts at -1 us"),
        (lambda loop: VirtualIds(-1), "has line -1"),
        (lambda loop: VirtualIds(1).bits(0), "a number of 0 bits"),
    ],
)
def test_a_forbidden_state_of_a_loop(alone: Alone, provoke: Callable[[Loop], object], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        provoke(alone.loop)


def test_a_dead_loop_refuses_everything(alone: Alone) -> None:
    alone.loop.kill()
    with pytest.raises(Fenced):
        alone.loop.call_soon(print)
    with pytest.raises(Fenced):
        alone.loop.call_later(1, print)
    with pytest.raises(Fenced):
        alone.loop.create_future()
    with pytest.raises(Fenced):
        alone.loop.create_task(asyncio.sleep(1))
    assert alone.loop.is_closed()
    assert issubclass(Fenced, GeneratorExit), "closing a dead coroutine must swallow it"

"""Deadlines that are no whole microseconds: the clock is never behind a timer that has fired."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.sim.exploring.explorer import Run
from holdfast.sim.loop.event_loop import Loop
from holdfast.sim.loop.virtual_time import VirtualTime, first_us
from holdfast.sim.stage.process import Process
from holdfast.sim.toolkit.world import World

DELAYS = st.one_of(
    st.sampled_from(
        [0.1, 0.2, 0.3, 0.7, 1.1, 0.01 / 3, 1e-6, 1e-9, 1e-12, 2.5e-7, 3600.000001, 1 / 3, 5e-324]
    ),
    st.floats(min_value=0, max_value=1e7, exclude_min=True),
)
OFFSETS_US = st.one_of(st.integers(0, 2**40), st.integers(2**52, 2**60))
"""Where the clock starts: also so late that a float no longer tells one microsecond from the next."""


def passes(loop: Loop, time: VirtualTime, main: Callable[[], Any], passes_max: int = 50) -> Any:
    tasks: list[asyncio.Task[Any]] = []
    loop.run_until_waiting([(lambda: tasks.append(loop.create_task(main())), ())])
    for _ in range(passes_max):
        if tasks[0].done():
            return tasks[0].result()
        due_us = loop.next_due_us()
        assert due_us is not None, "the program waits, and no timer is left"
        time.advance(max(time.now_us, due_us))
        loop.run_until_waiting([(loop.pop_due().fire, ())])
    raise AssertionError(f"still waiting after {passes_max} timers, at {time.now_us} us")


@given(delays=st.lists(DELAYS, min_size=1, max_size=4), offset_us=OFFSETS_US, at_us=st.integers(0, 2**40))
@settings(max_examples=100)
def test_a_sleep_is_never_short_and_a_deadline_always_passes(
    delays: list[float], offset_us: int, at_us: int
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for delay in delays:
            before = loop.time()
            await asyncio.sleep(delay)
            assert loop.time() >= before + delay
            assert loop.time() - before >= delay
            deadline = loop.time() + delay
            while (left := deadline - loop.time()) > 0:
                await asyncio.sleep(left)
            reached = asyncio.Event()
            deadline = loop.time() + delay
            loop.call_at(deadline, reached.set)
            await reached.wait()
            assert loop.time() >= deadline
            try:
                async with asyncio.timeout(delay):
                    await asyncio.Event().wait()
            except TimeoutError:
                continue
            raise AssertionError("no timeout")

    time = VirtualTime()
    time.advance(at_us)
    passes(Loop("p", time, offset_us=offset_us), time, main)


@given(delay=DELAYS, at_us=st.integers(0, 2**40))
def test_the_clock_of_a_process_only_grows(delay: float, at_us: int) -> None:
    seen: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for part in (delay, delay / 3, 1e-6, 0):
            seen.append(loop.time())
            await asyncio.sleep(part)
            seen.append(loop.time())

    time = VirtualTime()
    time.advance(at_us)
    passes(Loop("p", time, offset_us=7_000_000), time, main)
    assert seen == sorted(seen)


@given(st.integers(0, 2**42), st.integers(0, 2**42))
def test_whole_microseconds_stay_what_they_are(now_us: int, delay_us: int) -> None:
    assert first_us(delay_us / 1_000_000) == delay_us
    assert first_us(now_us / 1_000_000 + delay_us / 1_000_000) == now_us + delay_us


@pytest.mark.parametrize(
    ("delay", "fires"), [(math.nan, True), (-math.inf, True), (-3.5, True), (0, True), (math.inf, False)]
)
def test_a_delay_that_is_no_time_to_wait_fires_as_on_a_real_loop(delay: float, fires: bool) -> None:
    loop, heard = Loop("p", VirtualTime()), list[str]()
    timer = loop.call_later(delay, heard.append, "fired")
    assert (loop.next_due_us() == 0) is fires
    assert str(timer.when()) == str(loop.time() + delay)
    timer.cancel()
    assert timer.cancelled() and loop.next_due_us() is None


def test_a_library_that_looks_at_the_clock_when_it_is_woken_gets_on(run: Callable[..., Run]) -> None:
    """What a timeout scope does: at every waking it looks at the clock; if it is early it waits again."""
    ended: list[float] = []

    async def boot(process: Process) -> None:
        loop = asyncio.get_running_loop()
        for third in range(1, 20):
            deadline, over = loop.time() + 0.01 / third, asyncio.Event()

            def look(deadline: float = deadline, over: asyncio.Event = over) -> None:
                if loop.time() >= deadline:
                    over.set()
                else:
                    loop.call_at(deadline, look)

            look()
            await over.wait()
            ended.append(loop.time() - deadline)

    async def body(world: World) -> None:
        await world.process("p", boot).stopped()

    result = run(body)
    assert result.counts and len(ended) == 19
    assert all(0 <= late < 2e-6 for late in ended)

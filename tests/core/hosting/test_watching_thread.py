"""The watchdog of a process ends what does not end, whatever it swallows, and nothing else (RT-4.56)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from types import TracebackType

import pytest

from holdfast.core.client import Client
from holdfast.core.client.client import Failed
from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.observe import LocalEvent, Logged
from holdfast.core.contract.watchdog import STUCK_EXIT_CODE, Overrun
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.hosting.options import RuntimeOptions
from holdfast.core.hosting.watching_thread import PROCESS, CallLimits, CpuWatchdog, WatchingThread
from holdfast.core.program.registry import Registry
from holdfast.core.runtime import Runtime
from holdfast.providers.memory import memory_store
from holdfast.system import SystemClock, SystemIds, provider_clock

LIMIT_US = 200_000
"""Of CPU time: far more than a call that ends needs, far less than a loop that does not."""


def spins() -> None:
    while True:
        pass


def swallows_at_once() -> None:
    while True:
        try:  # noqa: SIM105
            spins()
        except BaseException:
            pass


def swallows_on_many_levels() -> None:
    def level(deeper: Callable[[], None]) -> None:
        try:
            deeper()
        except BaseException:
            with suppress(BaseException):
                spins()
        finally:
            with suppress(BaseException):
                deeper()

    while True:
        with suppress(BaseException):
            level(lambda: level(spins))


class Stubborn:
    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, *raised: type | BaseException | TracebackType | None) -> bool:
        with suppress(BaseException):
            spins()
        return True


def swallows_in_a_context_manager() -> None:
    while True:
        with Stubborn():
            spins()


def begins_anew_in_its_handler() -> None:
    try:
        spins()
    except BaseException:
        begins_anew_in_its_handler()


def calls_without_end() -> None:
    while True:
        sorted(range(100))


ENDLESS = [
    spins,
    swallows_at_once,
    swallows_on_many_levels,
    swallows_in_a_context_manager,
    begins_anew_in_its_handler,
    calls_without_end,
]


@pytest.mark.parametrize("endless", ENDLESS)
def test_code_without_an_end_is_ended_and_named(endless: Callable[[], None]) -> None:
    trace = sys.gettrace()
    with pytest.raises(Overrun) as raised:
        CpuWatchdog(LIMIT_US).run("orchestration 'o' of 'i'", endless)
    assert str(raised.value).startswith("orchestration 'o' of 'i' used 0.")
    assert "it was at test_watching_thread.py:" in str(raised.value)
    assert sys.gettrace() is trace
    assert not PROCESS.watched


def test_nothing_is_raised_into_what_comes_after() -> None:
    for _ in range(5):
        with pytest.raises(Overrun):
            CpuWatchdog(20_000).run("a turn", swallows_at_once)
        assert sum(len(str(number)) for number in range(50_000)) == 238_890


def test_a_result_that_came_too_late_is_none() -> None:
    """What swallowed the interrupt and returned has not ended by itself."""

    def returns() -> str:
        with suppress(BaseException):
            spins()
        return "as if nothing had been"

    with pytest.raises(Overrun):
        CpuWatchdog(LIMIT_US).run("a turn", returns)


def test_time_on_the_clock_does_not_count() -> None:
    """A machine that is busy, or a process that was stopped, is no endless loop: CPU time alone counts."""
    cpu_ns = [0]
    watching = WatchingThread(cpu=lambda thread: cpu_ns[0], timers=None)
    looked: list[float | None] = []

    def waits_long() -> str:
        looked.extend(watching.look() for _ in range(1_000))
        return "done"

    assert watching.run("a turn", waits_long, CallLimits(1_000, print)) == "done"
    assert None not in looked


def test_a_call_pays_for_its_own_time_alone() -> None:
    """A turn within the pass of a simulated process: the pass begins anew after it."""
    cpu_ns = [0]
    watching = WatchingThread(cpu=lambda thread: cpu_ns[0], timers=None)

    def turn() -> None:
        watching.look()
        cpu_ns[0] += 900
        watching.look()

    def a_pass() -> str:
        watching.look()
        for _ in range(5):
            watching.run("a turn", turn, CallLimits(1_000, print))
            watching.look()
        return "done"

    assert watching.run("a pass", a_pass, CallLimits(1_000, print)) == "done"


def test_an_exception_of_the_code_is_its_own() -> None:
    def raises() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        CpuWatchdog(LIMIT_US).run("a turn", raises)
    assert not PROCESS.watched


def test_what_cannot_be_interrupted_ends_the_process_after_it_was_told() -> None:
    cpu_ns = [0]
    heard: list[object] = []
    watching = WatchingThread(cpu=lambda thread: cpu_ns[0], leave=heard.append, timers=None)
    thread = threading.get_ident()

    def in_c() -> None:
        for _ in range(3):
            with watching._lock:
                watching._look_at(thread, watching.watched[thread])
            if heard:
                return
            cpu_ns[0] += 1_000

    # what is raised into this thread meanwhile is left out: it is the code of a call in C that runs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("holdfast.core.hosting.watching_thread.raise_into", lambda thread, error: None)
        with pytest.raises(Overrun):
            watching.run("a turn", in_c, CallLimits(1_000, heard.append))
    assert heard[1] == STUCK_EXIT_CODE
    assert str(heard[0]).startswith("a turn used 1e-06 s of CPU")


# --- whole workers ------------------------------------------------------------------------------------------


class Heard:
    def __init__(self) -> None:
        self.records: list[Logged] = []

    def notify(self, event: LocalEvent) -> None:
        if isinstance(event, Logged):
            self.records.append(event)


async def retries_for_ever(ctx: OrchestrationContext, input: str) -> str:
    while True:
        try:  # noqa: SIM105
            ctx.open_session_with_id("")  # refused at once, and never awaited
        except BaseException:
            pass


async def spins_in_its_cleanup(ctx: OrchestrationContext, input: str) -> str:
    try:
        return await ctx.schedule_activity("a")
    finally:
        spins()


async def goes_on(ctx: OrchestrationContext, input: str) -> str:
    return await ctx.schedule_activity("a")


@pytest.mark.parametrize("code", [retries_for_ever, spins_in_its_cleanup])
def test_an_instance_whose_turns_never_end_is_poison_and_the_worker_goes_on(
    code: Callable[[OrchestrationContext, str], object],
) -> None:
    """RT-4.56, RT-13.5: each attempt is counted and logged, and what it fails with says nothing of load."""
    registry = Registry()
    registry.add_orchestration("Endless", code)  # type: ignore[arg-type]
    registry.add_orchestration("Other", goes_on)

    @registry.activity("a")
    async def a(ctx: object, input: str) -> str:
        return "done"

    async def main() -> tuple[object, object]:
        heard = Heard()
        store = memory_store(provider_clock, SystemIds())
        options = RuntimeOptions(
            turn_cpu_limit=timedelta(microseconds=LIMIT_US),
            max_attempts=1,
            dispatcher_min_poll_interval=timedelta(milliseconds=5),
        )
        worker = Runtime(
            store.open(), registry, options, clock=SystemClock(), ids=SystemIds(), observer=heard
        )
        running = asyncio.create_task(worker.run())
        client = Client(store.open(), clock=SystemClock())
        await client.start_orchestration("endless", "Endless")
        await client.start_orchestration("other", "Other")
        other = await client.wait_for_orchestration("other", timedelta(seconds=60))
        endless = await client.wait_for_orchestration("endless", timedelta(seconds=60))
        await worker.shutdown(timedelta(milliseconds=100))
        await running
        (record, *_) = [one for one in heard.records if "exceeded its CPU limit" in one.event]
        assert record.fields["instance_id"] == "endless" and record.level == "error"
        assert "orchestration 'Endless' of 'endless'" in str(record.fields["error"])
        assert "test_watching_thread.py:" in str(record.fields["error"])
        return other, endless

    other, endless = asyncio.run(main())
    assert getattr(other, "output", None) == "done"
    assert isinstance(endless, Failed)
    assert endless.details.poison is not None, endless


STUCK = """
    import asyncio
    from datetime import timedelta
    from holdfast import Client, Registry, Runtime, RuntimeOptions
    from holdfast.providers.memory import memory_store
    from holdfast.system import SystemClock, SystemIds, provider_clock

    registry = Registry()

    @registry.orchestration("o")
    async def o(ctx, input):
        sum(range(10**13))

    async def main():
        store = memory_store(provider_clock, SystemIds())
        options = RuntimeOptions(turn_cpu_limit=timedelta(milliseconds=100))
        worker = Runtime(store.open(), registry, options, clock=SystemClock(), ids=SystemIds())
        await Client(store.open(), clock=SystemClock()).start_orchestration("i", "o")
        await worker.run()

    asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no timer on the CPU time of a thread")
def test_a_call_in_c_that_never_returns_ends_the_worker_with_a_code_of_its_own(tmp_path: Path) -> None:
    """RT-4.56: the instance lock expires, and another worker takes over."""
    script = tmp_path / "stuck.py"
    script.write_text(dedent(STUCK))
    ended = subprocess.run([sys.executable, str(script)], check=False, capture_output=True, text=True)
    assert ended.returncode == STUCK_EXIT_CODE, ended.stderr
    assert 'stuck.py", line 12 in o' in ended.stderr


def test_without_a_limit_nothing_is_watched() -> None:
    registry = Registry()
    store = memory_store(provider_clock, SystemIds())
    for limit in (None, timedelta(seconds=10)):
        options = RuntimeOptions(turn_cpu_limit=limit)
        worker = Runtime(store.open(), registry, options, clock=SystemClock(), ids=SystemIds())
        assert (worker._dispatcher._watchdog is None) == (limit is None)
    with pytest.raises(ConfigurationError, match="turn_cpu_limit"):
        RuntimeOptions(turn_cpu_limit=timedelta(0))


def test_a_forked_child_has_a_watchdog_of_its_own() -> None:
    """Campaigns run their jobs in forked processes."""
    with pytest.raises(Overrun):
        CpuWatchdog(20_000).run("the parent's", spins)
    child = os.fork()
    if not child:
        try:
            CpuWatchdog(20_000).run("the child's", spins)
        except Overrun:
            os._exit(7)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


def test_many_threads_are_watched_at_once() -> None:
    ended: list[str] = []

    def work(name: str) -> None:
        try:
            CpuWatchdog(20_000 if name == "spins" else 10_000_000).run(
                name, spins if name == "spins" else rests
            )
        except Overrun as overrun:
            ended.append(str(overrun))

    def rests() -> None:
        stop.wait()

    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(name,)) for name in ("spins", "rests", "spins")]
    for thread in threads:
        thread.start()
    for thread in (threads[0], threads[2]):
        thread.join()
    stop.set()
    threads[1].join()
    assert len(ended) == 2 and all(text.startswith("spins used") for text in ended)
    assert time.thread_time() >= 0

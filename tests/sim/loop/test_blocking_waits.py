"""What waits for another thread or process is refused by name, and only where it would wait."""

# ruff: noqa: PLW0108 - the lambdas look the function up when they are called, which is the point

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import contextlib
import fcntl
import multiprocessing
import os
import queue
import random
import secrets
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.core.contract.errors import ConfigurationError
from holdfast.sim.errors import OutsideSimulation
from holdfast.sim.exploring.explorer import Run, run_schedule
from holdfast.sim.loop import guards
from holdfast.sim.stage.process import Process
from holdfast.sim.strategies import Fifo
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.testing import simulated

Runs = Callable[..., Run]


def asked(run: Runs, call: Callable[[], Any], *, in_a_thread: bool = False) -> tuple[list[object], Run]:
    """What a call answers or raises in a simulated process, and the run."""
    heard: list[object] = []

    async def boot(process: Process) -> None:
        try:
            heard.append(await asyncio.to_thread(call) if in_a_thread else call())
        except Exception as error:
            heard.append(error)

    async def body(world: World) -> None:
        await world.process("p", boot).stopped()

    return heard, run(body)


def taken() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def waits_on_a_condition() -> None:
    condition = threading.Condition()
    with condition:
        condition.wait_for(lambda: False, timeout=0.2)


def fills(full: queue.Queue[int]) -> None:
    full.put(1)
    full.put(2)


def leaves_nothing(semaphore: threading.Semaphore) -> None:
    semaphore.acquire()
    semaphore.acquire(timeout=3)


def locks_a_file(lock: Callable[[Any, int], None]) -> None:
    """Two open files, one lock: whoever comes second would wait for the first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lock"
        with path.open("w") as one, path.open("w") as other:
            lock(one, fcntl.LOCK_EX)
            lock(other, fcntl.LOCK_EX)


def listens() -> None:
    with selectors.DefaultSelector() as selector:
        selector.select(0.1)


WAITS: dict[str, Callable[[], Any]] = {
    "threading.Lock.acquire()": lambda: taken().acquire(),
    "threading.Lock.acquire() ": lambda: taken().acquire(timeout=1),
    "threading.Lock.acquire()  ": lambda: taken().__enter__(),
    "threading.Condition.wait_for()": waits_on_a_condition,
    "threading.Event.wait()": lambda: threading.Event().wait(0.2),
    "threading.Semaphore.acquire()": lambda: leaves_nothing(threading.Semaphore()),
    "threading.Semaphore.acquire() ": lambda: leaves_nothing(threading.BoundedSemaphore()),
    "threading.Barrier.wait()": lambda: threading.Barrier(2).wait(),
    "queue.Queue.get()": lambda: queue.Queue[int]().get(),
    "queue.Queue.get() ": lambda: queue.LifoQueue[int]().get(timeout=2),
    "queue.Queue.get()  ": lambda: queue.PriorityQueue[int]().get(),
    "queue.Queue.put()": lambda: fills(queue.Queue(1)),
    "queue.SimpleQueue.get()": lambda: queue.SimpleQueue[int]().get(),
    "concurrent.futures.Future.result()": lambda: concurrent.futures.Future[int]().result(),
    "concurrent.futures.Future.exception()": lambda: concurrent.futures.Future[int]().exception(3),
    "concurrent.futures.wait()": lambda: concurrent.futures.wait([concurrent.futures.Future()]),
    "select.select()": lambda: select.select([], [], [], 0.1),
    "select.poll()": lambda: select.poll().poll(100),
    "selectors.EpollSelector.select()": listens,
    "fcntl.flock()": lambda: locks_a_file(fcntl.flock),
    "os.waitpid()": lambda: os.waitpid(-1, 0),
    "os.wait()": lambda: os.wait(),
    "signal.pause()": lambda: signal.pause(),
    "signal.sigwait()": lambda: signal.sigwait([signal.SIGUSR1]),
    "builtins.input()": lambda: builtins.input(),
    "time.sleep()": lambda: time.sleep(0.01),
}

WAYS_OUT: dict[str, Callable[[], Any]] = {
    "os.fork()": lambda: os.fork(),
    "os.forkpty()": lambda: os.forkpty(),
    "os.system()": lambda: os.system("true"),
    "os.popen()": lambda: os.popen("true"),
    "os.posix_spawn()": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "os.execv()": lambda: os.execv("/bin/true", ["true"]),
    "os.spawnlp()": lambda: os.spawnlp(os.P_WAIT, "true", "true"),
    "os.kill()": lambda: os.kill(os.getpid(), signal.SIGUSR1),
    "subprocess.Popen()": lambda: subprocess.run([sys.executable, "-c", ""], check=False),
    "multiprocessing.Process.start()": lambda: multiprocessing.Process(target=print).start(),
    "multiprocessing.Lock()": lambda: multiprocessing.Lock(),
    "multiprocessing.Pipe()": lambda: multiprocessing.Pipe(),
    "signal.signal()": lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
    "signal.setitimer()": lambda: signal.setitimer(signal.ITIMER_REAL, 10),
    "signal.alarm()": lambda: signal.alarm(10),
    "signal.raise_signal()": lambda: signal.raise_signal(signal.SIGUSR1),
    "_thread.start_new_thread()": lambda: __import__("_thread").start_new_thread(print, ()),
    "threading.Thread.start()": lambda: threading.Timer(1, print).start(),
    "socket.getaddrinfo()": lambda: socket.getaddrinfo("localhost", 80),
    "socket.create_connection()": lambda: socket.create_connection(("192.0.2.1", 80), 1),
    "socket.socketpair()": lambda: socket.socketpair(),
    "time.clock_gettime()": lambda: time.clock_gettime(time.CLOCK_REALTIME),
    "time.clock_gettime_ns()": lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC),
    "time.process_time()": lambda: time.process_time(),
    "time.thread_time_ns()": lambda: time.thread_time_ns(),
    "time.localtime()": lambda: time.localtime(),
    "time.strftime()": lambda: time.strftime("%Y"),
    "os.times()": lambda: os.times(),
    "os.getrandom()": lambda: os.getrandom(4),
    "secrets.token_hex()": lambda: secrets.token_hex(),
    "secrets.randbelow()": lambda: secrets.randbelow(3),
    "random.Random()": lambda: random.Random().random(),
}


@pytest.mark.parametrize("call", WAITS)
@pytest.mark.parametrize("in_a_thread", [False, True], ids=["in a coroutine", "in a blocking call"])
def test_a_wait_that_nothing_could_end_is_refused_by_name(run: Runs, call: str, in_a_thread: bool) -> None:
    heard, result = asked(run, WAITS[call], in_a_thread=in_a_thread)
    assert isinstance(heard[0], OutsideSimulation), heard
    assert str(heard[0]).startswith(f"{call.strip()} leaves the simulation (process p/1): ")
    assert "test_blocking_waits.py:" in str(heard[0]), "and the place is named"
    assert result.error == str(heard[0])


@pytest.mark.parametrize("call", WAYS_OUT)
def test_a_way_out_is_refused_by_name(run: Runs, call: str) -> None:
    heard, result = asked(run, WAYS_OUT[call])
    assert isinstance(heard[0], OutsideSimulation), heard
    assert str(heard[0]).startswith(f"{call} leaves the simulation (process p/1): ")
    assert result.error == str(heard[0])


def does_not_wait() -> str:
    lock = threading.Lock()
    with lock:
        assert lock.locked() and not lock.acquire(False) and not lock.acquire(timeout=0)
        assert isinstance(lock, type(threading.Lock()))
    event = threading.Event()
    assert not event.wait(0) and not event.is_set()
    event.set()
    assert event.wait() and event.wait(10)
    box: queue.Queue[int] = queue.Queue(1)
    box.put(1)
    assert box.get(timeout=3) == 1 and box.empty()
    with pytest.raises(queue.Empty):
        box.get_nowait()
    simple: queue.SimpleQueue[int] = queue.SimpleQueue()
    simple.put(2)
    assert simple.get() == 2 and isinstance(simple, queue.SimpleQueue)
    semaphore = threading.Semaphore(2)
    assert semaphore.acquire() and semaphore.acquire(timeout=1) and not semaphore.acquire(blocking=False)
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    future.set_result(3)
    assert future.result() == 3
    condition, reentrant = threading.Condition(), threading.RLock()
    with condition, reentrant, reentrant:
        condition.notify_all()
        assert condition.wait_for(lambda: True)
    with tempfile.TemporaryFile() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.flock(file, fcntl.LOCK_UN)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert time.localtime(0) and time.strftime("%Y", time.gmtime(0)) == "1970"
    assert random.Random(7).random() == random.Random(7).random()
    threading.Thread(target=print)
    return "done"


@pytest.mark.parametrize("in_a_thread", [False, True], ids=["in a coroutine", "in a blocking call"])
def test_what_does_not_wait_works_as_always(run: Runs, in_a_thread: bool) -> None:
    heard, result = asked(run, does_not_wait, in_a_thread=in_a_thread)
    assert heard == ["done"]
    assert result.counts, result.error


def test_locks_made_in_a_run_are_locks_between_threads_afterwards(run: Runs) -> None:
    made: list[Any] = []

    def makes() -> None:
        made.append(threading.Lock())

    asked(run, makes)
    (lock,) = made
    lock.acquire()
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    lock.release()
    thread.join(10)
    assert not thread.is_alive() and lock.locked()
    lock.release()


def test_a_thread_of_the_simulator_itself_may_wait(run: Runs) -> None:
    """Somebody may watch a run from another thread."""
    over = threading.Event()
    watching = threading.Thread(target=over.wait)
    watching.start()

    def ends() -> None:
        over.set()

    heard, result = asked(run, ends)
    assert heard == [None] and result.counts
    watching.join(10)
    assert not watching.is_alive()


READS_THE_TIME = """
import time
from time import monotonic, perf_counter as counter, time_ns

class Timer:
    source = time.monotonic

    def __init__(self, clock=time.monotonic, *, wall=time.time):
        self.clock, self.wall = clock, wall

    def read(self):
        return [self.clock(), self.source(), self.wall()]

def readings():
    timer = Timer()
    return [time.monotonic(), monotonic(), counter(), time.monotonic_ns() / 1e9, *timer.read()[:2]], [
        time.time(), time_ns() / 1e9, timer.read()[2]
    ]
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A package that reads the time in every way, imported before the run."""
    package = tmp_path / "borrowed_clock"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text(READS_THE_TIME)
    monkeypatch.syspath_prepend(tmp_path)
    import importlib

    yield importlib.import_module("borrowed_clock.inner")
    for name in ("borrowed_clock", "borrowed_clock.inner"):
        sys.modules.pop(name, None)


def test_a_package_may_be_given_virtual_time(library: Any, factory: Any) -> None:
    heard: list[Any] = []

    async def boot(process: Process) -> None:
        for _ in range(2):
            await asyncio.sleep(1.5)
            monotonic, wall = library.readings()
            heard.append((monotonic, wall))
            assert {*monotonic} == {asyncio.get_running_loop().time()}
        heard.append(await asyncio.to_thread(library.readings))

    async def body(world: World) -> None:
        handle = world.process("p", boot)
        await world.sleep(2)
        handle.jump_wall_clock(60_000)
        await handle.stopped()

    made = scenario(covers=["test"], register=False, virtual_clock_for=("borrowed_clock",))(body)
    plain = Fifo()
    plain.begin(0)
    for _ in range(2):
        run = run_schedule(made, factory, plain)
        assert run.counts and not run.failures, run.error
    (first, first_wall), (second, second_wall), third = heard[:3]
    assert second[0] - first[0] == 1.5 and third == (second, second_wall)
    assert [round(late - early, 3) for early, late in zip(first_wall, second_wall, strict=True)] == [61.5] * 3
    assert heard[3:] == heard[:3], "the same in every run"
    assert abs(library.readings()[1][0] - time.time()) < 60, "outside a run it reads the real time again"


def test_a_package_that_is_not_named_reads_no_time(library: Any, run: Runs) -> None:
    heard, result = asked(run, lambda: library.time.monotonic())
    assert isinstance(heard[0], OutsideSimulation) and not result.counts


@pytest.mark.parametrize("wrong", ["tenacity", (3,), ("a b",), ("",)])
def test_what_is_no_list_of_packages_is_refused_where_it_is_written(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="virtual_clock_for is"):
        scenario(covers=["test"], register=False, virtual_clock_for=wrong)
    with pytest.raises(ConfigurationError, match="virtual_clock_for is"):
        simulated(virtual_clock_for=wrong)


def test_a_module_imported_in_a_run_may_look_at_the_clock(run: Runs, tmp_path: Path) -> None:
    (tmp_path / "imported_late.py").write_text(
        "import time, random\nSTART, CHANCE = time.time(), random.Random()"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        heard, result = asked(run, lambda: __import__("imported_late").START > 0)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("imported_late", None)
    assert heard == [True] and result.counts, result.error


def test_every_guarded_call_is_put_back(run: Runs) -> None:
    before = {guard.shown: getattr(guard.owner, guard.attribute) for guard in guards.GUARDED}
    kept = threading.Lock, queue.SimpleQueue
    with contextlib.suppress(OutsideSimulation):
        asked(run, lambda: os.fork())
    assert {guard.shown: getattr(guard.owner, guard.attribute) for guard in guards.GUARDED} == before
    assert kept == (threading.Lock, queue.SimpleQueue)

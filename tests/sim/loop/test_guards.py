"""Guards: leaving the simulation is an error that names the call and the fix, and only then."""

# ruff: noqa: PLW0108 - the lambdas look the function up when they are called, which is the point

from __future__ import annotations

import datetime
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from os import urandom

import pytest

from holdfast.sim.errors import OutsideSimulation
from holdfast.sim.exploring.explorer import Run
from holdfast.sim.loop import guards
from holdfast.sim.toolkit.suspects import scan
from holdfast.sim.toolkit.world import World

CALLS: dict[str, Callable[[], object]] = {
    "time.time()": lambda: time.time(),
    "time.monotonic()": lambda: time.monotonic(),
    "time.perf_counter()": lambda: time.perf_counter(),
    "time.sleep()": lambda: time.sleep(0),
    "random.random()": lambda: random.random(),
    "random.choice()": lambda: random.choice([1]),
    "random.shuffle()": lambda: random.shuffle([1]),
    "random.SystemRandom": lambda: random.SystemRandom().random(),
    "uuid.uuid1()": lambda: uuid.uuid1(),
    "uuid.uuid4()": lambda: uuid.uuid4(),
    "os.urandom()": lambda: os.urandom(1),
    "threading.Thread.start()": lambda: threading.Thread(target=print).start(),
    "socket.socket()": lambda: socket.socket(),
    "subprocess.Popen()": lambda: subprocess.Popen([sys.executable, "-c", ""]),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_leaves_the_simulation_names_itself_and_the_fix(
    run: Callable[..., Run], call: str
) -> None:
    messages: list[str] = []

    async def body(world: World) -> None:
        try:
            CALLS[call]()
        except OutsideSimulation as error:
            messages.append(str(error))

    result = run(body)
    assert len(messages) == 1
    assert messages[0].startswith(f"{call} leaves the simulation (process scenario/1): ")
    assert result.error == messages[0], "noted even if the code swallows it"


def test_outside_a_process_every_call_does_what_it_always_did() -> None:
    before = {guard.shown: getattr(guard.owner, guard.attribute) for guard in guards.GUARDED}
    with guards.installed():
        with guards.installed():
            assert time.time() > 0
        assert len(uuid.uuid4().hex) == 32
        thread = threading.Thread(target=time.monotonic)
        thread.start()
        thread.join()
    after = {guard.shown: getattr(guard.owner, guard.attribute) for guard in guards.GUARDED}
    assert after == before, "taken away with the last block"


def test_other_threads_are_left_alone() -> None:
    heard: list[float] = []
    release = threading.Event()

    def other() -> None:
        release.wait(10)
        heard.append(time.time())

    with guards.installed():
        thread = threading.Thread(target=other)
        thread.start()
        guards.enter("w")
        try:
            release.set()
        finally:
            guards.leave()
        thread.join(10)
    assert len(heard) == 1


def test_two_processes_cannot_run_at_once_nor_one_end_twice() -> None:
    guards.enter("v")
    try:
        with pytest.raises(AssertionError, match="w is to run while v is running"):
            guards.enter("w")
    finally:
        guards.leave()
    with pytest.raises(AssertionError, match="v has stopped running already"):
        guards.leave()


def test_logging_may_read_the_time(run: Callable[..., Run], caplog: pytest.LogCaptureFixture) -> None:
    async def body(world: World) -> None:
        logging.getLogger("holdfast.test").warning("from within")

    assert run(body).error is None
    assert "from within" in caplog.text


def test_scan_finds_what_cannot_be_intercepted() -> None:
    async def orchestration() -> object:
        def nested() -> object:
            return datetime.datetime.now()

        return nested(), random.Random(), time.time(), urandom(1)

    async def clean() -> int:
        return len("time")

    found = {(suspect.function.rsplit(".", 1)[-1], suspect.name) for suspect in scan(orchestration)}
    assert found == {
        ("nested", "datetime.now"),
        ("orchestration", "random.Random"),
        ("orchestration", "time.time"),
        ("orchestration", "os.urandom"),
    }
    assert scan(clean) == ()

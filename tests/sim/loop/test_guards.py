"""Guards: leaving the simulation is an error that names the call and the fix, and only then."""

# ruff: noqa: PLW0108 - the lambdas look the function up when they are called, which is the point

from __future__ import annotations

import asyncio
import contextlib
import datetime
import inspect
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
from concurrent.futures import ThreadPoolExecutor
from os import urandom
from typing import Any

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


SWALLOWED: dict[str, Callable[[], Any]] = {
    "create_connection": lambda: asyncio.open_connection("192.0.2.1", 80),
    "subprocess_exec": lambda: asyncio.create_subprocess_exec("true"),
    "subprocess_shell": lambda: asyncio.create_subprocess_shell("true"),
    "create_server": lambda: asyncio.start_server(print, "localhost", 0),
    "getaddrinfo": lambda: asyncio.get_running_loop().getaddrinfo("localhost", 80),
    "create_datagram_endpoint": lambda: asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol
    ),
    "call_soon_threadsafe": lambda: asyncio.get_running_loop().call_soon_threadsafe(print),
    "add_signal_handler": lambda: asyncio.get_running_loop().add_signal_handler(10, print),
    "add_reader": lambda: asyncio.get_running_loop().add_reader(0, print),
    "run_until_complete": lambda: asyncio.get_running_loop().run_until_complete(asyncio.sleep(0)),
}


@pytest.mark.parametrize("call", SWALLOWED)
def test_a_refusal_of_the_loop_that_code_swallows_counts_all_the_same(
    run: Callable[..., Run], call: str
) -> None:
    async def body(world: World) -> None:
        with contextlib.suppress(Exception):
            asked = SWALLOWED[call]()
            if inspect.isawaitable(asked):
                await asked

    result = run(body)
    assert result.error is not None and f"loop.{call}() leaves the simulation" in result.error
    assert not result.counts


def test_a_refusal_within_blocking_work_counts_all_the_same(run: Callable[..., Run]) -> None:
    def fallback() -> str:
        try:
            with ThreadPoolExecutor(1) as pool:
                return str(pool.submit(time.time).result())
        except Exception:
            return "fallback"

    async def body(world: World) -> None:
        assert await asyncio.to_thread(fallback) == "fallback"

    result = run(body)
    assert result.error is not None and "Thread.start() leaves the simulation" in result.error

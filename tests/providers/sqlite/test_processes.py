"""Several processes on one file: opening together, sharing work, dying within an acknowledgement."""

import asyncio
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.conformance.messages import activity
from holdfast.providers.sqlite import sqlite_store

Spawn = Callable[..., "subprocess.Popen[str]"]

PRELUDE = """
import asyncio, itertools, os, signal, sys
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import ExecutionMetadata
from holdfast.providers.conformance.messages import activity, external, note, start, started
from holdfast.providers.sqlite import sqlite_store
from holdfast.system import SystemIds, provider_clock
def ready():
    print("ready", flush=True)
    sys.stdin.readline()
"""

OPEN = (
    PRELUDE
    + """
ready()
store = sqlite_store(provider_clock, SystemIds(), path=sys.argv[1])
asyncio.run(store.open().enqueue_for_worker(activity()))
store.close()
"""
)

WORK = (
    PRELUDE
    + """
async def work():
    provider = sqlite_store(provider_clock, SystemIds(), path=sys.argv[1]).open()
    ready()
    while (taken := await provider.fetch_work_item(Millis(60_000), Millis(0))) is not None:
        await provider.ack_work_item(taken.token)
        print(taken.item.id, flush=True)
    await provider.close()
asyncio.run(work())
"""
)

DIE = (
    PRELUDE
    + """
async def die():
    store = sqlite_store(provider_clock, SystemIds(), path=sys.argv[1])
    provider = store.open()
    await provider.enqueue_for_orchestrator(start("i"))
    turn = await provider.fetch_orchestration_item(Millis(60_000), Millis(0))
    connection = provider._calls._database.connection
    ticks = itertools.count(1)
    def tick():
        if next(ticks) == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return False
    connection.set_progress_handler(tick, 20)
    await provider.ack_orchestration_item(
        turn.token, execution_id=1, history_delta=[started(), *(note(n) for n in range(2, 12))],
        worker_items=[activity(n) for n in range(2, 12)], orchestrator_items=[external("j")],
        metadata=ExecutionMetadata(orchestration_name="Flow", orchestration_version="1.0.0"),
        cancelled_activities=[])
    print("acknowledged", flush=True)
asyncio.run(die())
"""
)


def begin_together(children: "list[subprocess.Popen[str]]") -> list[str]:
    """Let children that are ready go on at once, and return what each said afterwards."""
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    answers = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0] * len(children)
    return answers


def test_six_processes_open_an_empty_file_at_once(path: Path, spawn: Spawn) -> None:
    """PV-28.11"""
    begin_together([spawn(OPEN, path) for _ in range(6)])
    store = sqlite_store(SteppedClock(), CountingIds(), path=path)
    assert len(store.worker_rows()) == 6
    store.close()


def test_two_processes_share_out_the_items_of_a_file(path: Path, spawn: Spawn) -> None:
    """PV-1.8, PV-28.3: nothing is lost and nothing is handed out twice."""

    async def fill() -> None:
        provider = store.open()
        for number in range(50):
            await provider.enqueue_for_worker(activity(number))

    store = sqlite_store(SteppedClock(), CountingIds(), path=path)
    asyncio.run(fill())
    first, second = begin_together([spawn(WORK, path), spawn(WORK, path)])
    assert sorted(map(int, (first + second).split())) == list(range(50))
    assert store.worker_rows() == []
    store.close()


@pytest.mark.parametrize("round_", range(6))
def test_a_process_killed_in_an_acknowledgement_leaves_all_of_it_or_none(
    path: Path, spawn: Spawn, round_: int
) -> None:
    """PV-28.5, PV-8.1: the point is drawn from the length of the call, some 55 ticks; the last round ends."""
    last = round_ == 5
    at = 1_000_000 if last else random.Random(round_).randint(1, 50)
    child = spawn(DIE, path, at)
    said, _ = child.communicate()
    store = sqlite_store(SteppedClock(), CountingIds(), path=path)
    counts = store.raw_counts()
    store.close()
    assert said == ("acknowledged\n" if last else "")
    if last:
        assert child.returncode == 0
        expected = {"history": 11, "worker_queue": 10, "orchestrator_queue": 1, "instance_locks": 0}
    else:
        assert child.returncode == -signal.SIGKILL
        expected = {"history": 0, "worker_queue": 0, "orchestrator_queue": 1, "instance_locks": 1}
    assert {table: counts[table] for table in expected} == expected
    assert apsw.Connection(str(path)).pragma("integrity_check") == "ok"

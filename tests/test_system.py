"""A worker process on the machine's own clock and signals: `holdfast.system`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, sys, threading, time
from datetime import timedelta

from holdfast import Client, Registry, Runtime, RuntimeOptions
from holdfast.providers.sqlite import sqlite_store
from holdfast.system import SystemClock, SystemIds, provider_clock, serve

registry = Registry()


@registry.orchestration("o")
async def o(ctx, activity):
    return await ctx.schedule_activity(activity, "")


def swallow():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


BLOCKS = {
    "event": lambda: threading.Event().wait(),
    "sleep": lambda: time.sleep(3600),
    "lock": lambda: (lock := threading.Lock()).acquire() and lock.acquire(),
    "swallow": swallow,
    "none": lambda: None,
}


@registry.activity("block")
def block(ctx, input):
    print("blocked", flush=True)
    BLOCKS[sys.argv[2]]()


async def main():
    store = sqlite_store(provider_clock, SystemIds(), path=sys.argv[1])
    await Client(store.open(), clock=SystemClock()).start_orchestration("i", "o", "block")
    options = RuntimeOptions(dispatcher_min_poll_interval=timedelta(milliseconds=5))
    runtime = Runtime(store.open(), registry, options, clock=SystemClock(), ids=SystemIds())
    await serve(runtime, shutdown_timeout=timedelta(seconds=0.3))
    store.close()
    print("over", runtime.stuck_threads, flush=True)


asyncio.run(main())
"""


ENDS = [(signal.SIGTERM, blocks) for blocks in ("event", "sleep", "lock", "swallow", "none")]
ENDS += [(signal.SIGINT, blocks) for blocks in ("event", "swallow")]


@pytest.mark.parametrize(("told", "blocks"), ENDS, ids=[f"{told.name}-{blocks}" for told, blocks in ENDS])
def test_rt_21_6_a_signal_ends_the_process_though_a_thread_does_not_return(
    tmp_path: Path, told: signal.Signals, blocks: str
) -> None:
    """RT-6.14, RT-21.6: within the timeout and a second for the last calls; no exit waits for the thread."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "x.db"), blocks],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "blocked\n"
        sent = time.monotonic()
        process.send_signal(told)
        out, err = process.communicate(timeout=30)
        took = time.monotonic() - sent
    finally:
        process.kill()
    assert (process.returncode, out) == (0, f"over {int(blocks != 'none')}\n"), err
    assert took < 10, "the timeout is 0.3 s; the rest is the interpreter's and the machine's"

"""Against the reference's Python package, duroxide 0.2.2, in one run: whole orchestrations.

Each side runs one process with a runtime and its clients, on the same kinds of store: SQLite in memory, or
a SQLite file in WAL mode at `synchronous=NORMAL`. That is what the reference uses: it asks for `synchronous
= WAL`, which SQLite takes for NORMAL, and it calls no sync at a commit. *Default* is both on default
options, *tuned* both with 10 ms between fruitless polls and eight slots of each kind. Activities are what
each side's users write: coroutines here, plain functions there. A client starts an orchestration and waits
for it, again and again; latency is the median over its rounds. Repetitions alternate, each in a process of
its own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

REPETITIONS: Final = 5
ROUNDS: Final = {"single": 12, "chain of ten": 4, "fan of twenty": 4}
"""How often a client runs each program."""
CLIENTS: Final = (1, 8)
GOAL: Final = 1.0
POLL_MS: Final = 10
SLOTS: Final = 8

Figures = tuple[float, float]
"""Orchestrations a second, and the median milliseconds of one."""


# --- ours ---------------------------------------------------------------------------------------------------


def ours(program: str, clients: int, path: str | None, tuned: bool) -> Figures:
    from holdfast import ActivityContext, Client, OrchestrationContext, Registry, Runtime, RuntimeOptions
    from holdfast.providers.sqlite import sqlite_store
    from holdfast.system import SystemClock, SystemIds, provider_clock

    registry = Registry()

    @registry.activity("say")
    async def say(ctx: ActivityContext, input: str) -> str:
        return f"hello {input}"

    @registry.orchestration("single")
    async def single(ctx: OrchestrationContext, input: str) -> str:
        return await ctx.schedule_activity("say", input)

    @registry.orchestration("chain of ten")
    async def chain(ctx: OrchestrationContext, input: str) -> str:
        for _ in range(10):
            answer = await ctx.schedule_activity("say", input)
        return answer

    @registry.orchestration("fan of twenty")
    async def fan(ctx: OrchestrationContext, input: str) -> str:
        answers = await ctx.join(*[ctx.schedule_activity("say", input) for _ in range(20)])
        return str(answers[-1])

    async def body() -> Figures:
        store = sqlite_store(provider_clock, SystemIds(), path=path, synchronous="NORMAL")
        options = RuntimeOptions()
        if tuned:
            options = RuntimeOptions(
                dispatcher_min_poll_interval=timedelta(milliseconds=POLL_MS),
                orchestration_concurrency=SLOTS,
                worker_concurrency=SLOTS,
            )
        provider = store.open()
        runtime = Runtime(provider, registry, options, clock=SystemClock(), ids=SystemIds())
        await runtime.start()
        times: list[float] = []

        async def client(number: int, rounds: int) -> None:
            asker = Client(provider, clock=SystemClock())
            for each in range(rounds):
                began = perf_counter()
                name = f"{program}-{number}-{rounds}-{each}"
                await asker.start_orchestration(name, program, "you")
                await asker.wait_for_orchestration(name, timedelta(seconds=60))
                times.append(perf_counter() - began)

        await client(-1, 1)
        times.clear()
        began = perf_counter()
        await asyncio.gather(*(client(number, ROUNDS[program]) for number in range(clients)))
        elapsed = perf_counter() - began
        await runtime.shutdown(timedelta(seconds=1))
        store.close()
        return len(times) / elapsed, median(times) * 1e3

    return asyncio.run(body())


# --- the reference ------------------------------------------------------------------------------------------


def theirs(program: str, clients: int, path: str | None, tuned: bool) -> Figures:
    import duroxide

    if path is not None:
        Path(path).touch()
    provider = (
        duroxide.SqliteProvider.in_memory()
        if path is None
        else duroxide.SqliteProvider.open(f"sqlite:{path}")
    )
    options = None
    if tuned:
        options = duroxide.PyRuntimeOptions(
            dispatcher_poll_interval_ms=POLL_MS, orchestration_concurrency=SLOTS, worker_concurrency=SLOTS
        )
    runtime = duroxide.Runtime(provider, options)

    @runtime.register_activity("say")
    def say(ctx: Any, input: Any) -> str:
        return f"hello {input}"

    @runtime.register_orchestration("single")
    def single(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("say", input))

    @runtime.register_orchestration("chain of ten")
    def chain(ctx: Any, input: Any) -> Any:
        for _ in range(10):
            answer = yield ctx.schedule_activity("say", input)
        return answer

    @runtime.register_orchestration("fan of twenty")
    def fan(ctx: Any, input: Any) -> Any:
        answers = yield ctx.all([ctx.schedule_activity("say", input) for _ in range(20)])
        return str(answers[-1])

    runtime.start()
    times: list[float] = []

    def client(number: int, rounds: int) -> None:
        asker = duroxide.Client(provider)
        for each in range(rounds):
            began = perf_counter()
            name = f"{program}-{number}-{rounds}-{each}"
            asker.start_orchestration(name, program, "you")
            asker.wait_for_orchestration(name, 60_000)
            times.append(perf_counter() - began)

    client(-1, 1)
    times.clear()
    threads = [threading.Thread(target=client, args=(number, ROUNDS[program])) for number in range(clients)]
    began = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = perf_counter() - began
    runtime.shutdown(1_000)
    return len(times) / elapsed, median(times) * 1e3


# --- side by side -------------------------------------------------------------------------------------------

SIDES: Final[dict[str, Callable[[str, int, str | None, bool], Figures]]] = {"ours": ours, "theirs": theirs}


def in_a_process(side: str, program: str, clients: int, where: str, tuned: bool) -> Figures:
    """One repetition, in a process and on a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "store.db") if where == "file" else ""
        done = subprocess.run(
            [sys.executable, __file__, side, program, str(clients), path, str(int(tuned))],
            check=True,
            capture_output=True,
            text=True,
        )
    throughput, latency = json.loads(done.stdout.splitlines()[-1])
    return throughput, latency


def main() -> int:
    """Measure, print, compare with the goal."""
    try:
        import duroxide  # noqa: F401
    except ImportError:
        print("skipped: there is no duroxide here; `make bench` installs it where there is a wheel of it")
        return 0
    below = 0
    print(f"ours / theirs, median of {REPETITIONS} alternating repetitions (goal {GOAL} on each line)")
    for where in ("memory", "file"):
        for tuned in (False, True):
            for clients in CLIENTS:
                for program in ROUNDS:
                    below += not compared(where, tuned, clients, program)
    print(f"{below} lines are below the goal" if below else "every line reaches the goal")
    return 1 if below else 0


def compared(where: str, tuned: bool, clients: int, program: str) -> bool:
    """One line; whether it reaches the goal in both figures."""
    found: dict[str, list[Figures]] = {"ours": [], "theirs": []}
    for _ in range(REPETITIONS):
        for side, figures in found.items():
            figures.append(in_a_process(side, program, clients, where, tuned))
    pairs = list(zip(found["ours"], found["theirs"], strict=True))
    throughput = median(one[0] / other[0] for one, other in pairs)
    latency = median(other[1] / one[1] for one, other in pairs)
    one, other = (tuple(median(each[which] for each in side) for which in (0, 1)) for side in found.values())
    print(
        f"  {where:<7}{'tuned' if tuned else 'default':<8} {clients} clients  {program:<14}"
        f" {one[0]:7.1f}/s {one[1]:7.1f} ms   theirs {other[0]:7.1f}/s {other[1]:7.1f} ms"
        f"   throughput {throughput:5.2f}  latency {latency:5.2f}",
        flush=True,
    )
    return throughput >= GOAL and latency >= GOAL


if __name__ == "__main__":
    if len(sys.argv) > 1:
        side, program, clients, path, tuned = sys.argv[1:]
        print(json.dumps(SIDES[side](program, int(clients), path or None, tuned == "1")))
        sys.exit(0)
    sys.exit(main())

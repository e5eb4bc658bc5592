"""What a fetch costs among 100,000 rows that it may not have, against ten of them.

Measured is the whole call, the write lock included: fetch one free row and give it back, again and again.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import ExecutionMetadata, FetchedTurn, FetchedWork, Provider
from holdfast.core.contract.work_items import ActivityExecute, ExternalRaised, StartOrchestration
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.system import SystemIds, provider_clock

FEW, MANY = 10, 100_000
GOAL = 2.0
REPETITIONS, CALLS = 5, 100
LONG, NOW = Millis(100_000_000), Millis(0)
ids = itertools.count(1)


def item(session: str | None = None, tag: str | None = None) -> ActivityExecute:
    return ActivityExecute(
        instance="i", execution_id=1, id=next(ids), name="a", input="", session_id=session, tag=tag
    )


def start(instance: str) -> StartOrchestration:
    return StartOrchestration(
        instance=instance, orchestration="Flow", input="", version="1.0.0", execution_id=1
    )


async def turn(provider: Provider) -> FetchedTurn:
    found = await provider.fetch_orchestration_item(LONG, NOW)
    assert found is not None
    return found


async def work(provider: Provider) -> FetchedWork:
    found = await provider.fetch_work_item(LONG, NOW)
    assert found is not None
    return found


async def claim(provider: Provider, worker: str) -> FetchedWork:
    found = await provider.fetch_session_work_item(LONG, NOW, worker_id=worker, session_lock_duration=LONG)
    assert found is not None
    return found


async def put(provider: Provider, items: list[ActivityExecute]) -> None:
    """All at once, by a turn."""
    await provider.enqueue_for_orchestrator(start(f"filling-{next(ids)}"))
    await provider.ack_orchestration_item(
        (await turn(provider)).token,
        execution_id=1,
        history_delta=[],
        worker_items=items,
        orchestrator_items=[],
        metadata=ExecutionMetadata(orchestration_name="Flow", orchestration_version="1.0.0"),
        cancelled_activities=[],
    )


async def locked(provider: Provider, count: int) -> None:
    await put(provider, [item() for _ in range(count)])
    for _ in range(count):
        await work(provider)
    await put(provider, [item()])


async def tagged(provider: Provider, count: int) -> None:
    await put(provider, [item(tag="theirs") for _ in range(count)])
    await put(provider, [item()])


async def of_one_session(provider: Provider, count: int) -> None:
    await put(provider, [item("theirs")])
    await claim(provider, "them")
    await put(provider, [item("theirs") for _ in range(count)])
    await put(provider, [item("ours")])


async def of_many_sessions(provider: Provider, count: int) -> None:
    await put(provider, [item(f"theirs {number}") for number in range(count)])
    for _ in range(count):
        await claim(provider, "them")
    await put(provider, [item(f"theirs {number}") for number in range(count)])
    await put(provider, [item("ours")])


async def delayed(provider: Provider, count: int) -> None:
    await put(provider, [item() for _ in range(count)])
    tokens = [(await work(provider)).token for _ in range(count)]
    for token in tokens:
        await provider.abandon_work_item(token, delay=LONG)
    await put(provider, [item()])


async def of_locked_instances(provider: Provider, count: int) -> None:
    for number in range(count):
        await provider.enqueue_for_orchestrator(start(f"i{number}"))
        await turn(provider)
    await provider.enqueue_for_orchestrator(start("free"))


async def of_one_locked_instance(provider: Provider, count: int) -> None:
    await provider.enqueue_for_orchestrator(start("i"))
    await turn(provider)
    for _ in range(count):
        await provider.enqueue_for_orchestrator(ExternalRaised(instance="i", name="signal", data=""))
    await provider.enqueue_for_orchestrator(start("free"))


async def not_yet_visible(provider: Provider, count: int) -> None:
    for _ in range(count):
        await provider.enqueue_for_orchestrator(start("i"), delay=LONG)
    await provider.enqueue_for_orchestrator(start("free"))


async def take_work(provider: Provider) -> None:
    await provider.abandon_work_item((await work(provider)).token, ignore_attempt=True)


async def take_session_work(provider: Provider) -> None:
    await provider.abandon_work_item((await claim(provider, "us")).token, ignore_attempt=True)


async def take_turn(provider: Provider) -> None:
    await provider.abandon_orchestration_item((await turn(provider)).token, ignore_attempt=True)


Fill = Callable[[Provider, int], Awaitable[None]]
CASES: dict[str, tuple[Fill, Callable[[Provider], Awaitable[None]]]] = {
    "items that are locked": (locked, take_work),
    "items tagged for others": (tagged, take_work),
    "items of one session of others": (of_one_session, take_session_work),
    "items of as many sessions of others": (of_many_sessions, take_session_work),
    "items given back with a delay": (delayed, take_work),
    "messages of as many locked instances": (of_locked_instances, take_turn),
    "messages of one locked instance": (of_one_locked_instance, take_turn),
    "messages not yet visible": (not_yet_visible, take_turn),
}


async def measure(
    open_store: Callable[[int], Provider], fill: Fill, take: Callable[[Provider], Awaitable[None]]
) -> tuple[float, float]:
    """Microseconds a fetch among few and among many, in turns."""
    counts = FEW, MANY
    providers = [open_store(count) for count in counts]
    for provider, count in zip(providers, counts, strict=True):
        await fill(provider, count)
        await take(provider)
    times: list[list[float]] = [[], []]
    for _ in range(REPETITIONS):
        for provider, found in zip(providers, times, strict=True):
            before = perf_counter()
            for _ in range(CALLS):
                await take(provider)
            found.append((perf_counter() - before) / CALLS * 1e6)
    for provider in providers:
        await provider.close()
    return median(times[0]), median(times[1])


def main() -> int:
    """Measure, print, compare with the goal."""
    worst = 0.0
    print(f"fetch and give back, median of {REPETITIONS} times {CALLS} calls: among {FEW} and {MANY:,} rows")
    for where in ("memory", "SQLite file"):
        for name, (fill, take) in CASES.items():
            with tempfile.TemporaryDirectory() as folder:

                def open_store(count: int, folder: str = folder, where: str = where) -> Provider:
                    if where == "memory":
                        return memory_store(provider_clock, SystemIds()).open()
                    return sqlite_store(provider_clock, SystemIds(), path=Path(folder) / f"{count}.db").open()

                few, many = asyncio.run(measure(open_store, fill, take))
            worst = max(worst, many / few)
            print(
                f"  {where:<12} {name:<38} {few:7.1f} us {many:7.1f} us  ratio {many / few:.2f} (goal {GOAL})"
            )
    return 0 if worst <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())

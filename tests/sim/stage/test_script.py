"""Faults that a scenario sets for calls to come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.sim.exploring.explorer import Run
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.script import ScriptedFault
from holdfast.sim.toolkit.world import World

Runs = Callable[..., Run]

THIRTY_S = Millis(30_000)


def _item(number: int) -> ActivityExecute:
    return ActivityExecute(instance="i", execution_id=1, id=number, name="work", input="")


def _trying(heard: list[object]) -> Callable[[Process], Awaitable[None]]:
    """Sends three items, one after the other, and notes what it hears, and when."""

    async def boot(process: Process) -> None:
        began = process.clock.monotonic_us()
        for _ in range(3):
            try:
                await process.provider.enqueue_for_worker(_item(len(heard)))
                answer: object = "done"
            except ProviderError as error:
                answer = "retryable" if error.retryable else "permanent"
            heard.append((answer, (process.clock.monotonic_us() - began) / 1_000_000))

    return boot


@pytest.mark.parametrize(
    ("kind", "outcome", "answer", "stored"),
    [
        ("refused", "refused", ("retryable", 0), 2),
        ("unsent", "unsent", ("retryable", 4), 2),
        ("lost_answer", "lost", ("retryable", 4), 3),
        ("slow_answer", "answered", ("done", 4), 3),
        ("slow_call", "answered", ("done", 4), 3),
    ],
)
def test_a_strike_befalls_the_call_that_it_is_set_for(
    run: Runs, kind: ScriptedFault, outcome: str, answer: tuple[str, float], stored: int
) -> None:
    heard: list[object] = []

    async def body(world: World) -> None:
        world.strike(kind, "w", "enqueue_for_worker", skip=1, seconds=4)
        await world.provider.enqueue_for_worker(_item(9))  # another process's
        await world.process("w", _trying(heard)).stopped()
        assert len(world.worker_rows()) == 1 + stored

    result = run(body)
    assert result.error is None and not result.failures, result
    later = answer[1]
    assert heard == [("done", 0), answer, ("done", later)]
    assert [commit.outcome for commit in result.commits] == ["answered", "answered", outcome, "answered"]
    assert [(fault.kind, fault.process) for fault in result.faults] == [(kind, "w")]


@pytest.mark.parametrize("before", [True, False])
def test_a_crash_just_before_or_just_after_a_call_of_whatever_process(run: Runs, before: bool) -> None:
    heard: list[object] = []

    async def body(world: World) -> None:
        strike = world.strike("crash", skip=2, before=before)
        one, other = (world.process(name, _trying(heard)) for name in ("v", "w"))
        await one.stopped()
        await other.stopped()
        assert strike.over and len(world.worker_rows()) == len(heard) + (not before)

    result = run(body)
    assert result.error is None and not result.failures, result
    assert [fault.kind for fault in result.faults] == ["crash"]


def test_a_process_is_cut_off_until_the_strike_ends(run: Runs) -> None:
    heard: list[object] = []

    async def body(world: World) -> None:
        cut = world.strike("unsent", "w", times=None, seconds=1)
        process = world.process("w", _trying(heard))
        await world.until(lambda: cut.count == 2)
        cut.end()
        await process.stopped()

    result = run(body)
    assert result.error is None and not result.failures, result
    assert heard == [("retryable", 1), ("retryable", 2), ("done", 2)]


def test_each_of_several_slow_calls_is_slow_once(run: Runs) -> None:
    heard: list[object] = []

    async def body(world: World) -> None:
        strike = world.strike("slow_call", "w", "enqueue_for_worker", times=None, seconds=4)
        await world.process("w", _trying(heard)).stopped()
        assert strike.count == 3 and len(world.worker_rows()) == 3

    result = run(body)
    assert result.error is None and not result.failures, result
    assert heard == [("done", 4), ("done", 8), ("done", 12)]

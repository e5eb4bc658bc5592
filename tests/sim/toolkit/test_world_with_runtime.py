"""The reference scenario: two workers, one session, three activities, a crash; the runtime as it is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest

from holdfast.core.client import Completed
from holdfast.core.dispatching import dispatcher
from holdfast.core.engine.turn_values import TurnInput, TurnResult
from holdfast.core.program.registry import Registry
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.sim.exploring.determinism import compare, run_twice
from holdfast.sim.exploring.explorer import Run, run_schedule
from holdfast.sim.stage.faults import FaultBudget
from holdfast.sim.strategies import Fifo, RandomWalk, ReplayTape, Strategy, make_strategy
from holdfast.sim.toolkit.bench import StoreFactory
from holdfast.sim.toolkit.scenario import Scenario, scenario
from holdfast.sim.toolkit.world import World

MINUTE = timedelta(seconds=60)


def conversation() -> Registry:
    registry = Registry()

    @registry.orchestration("conversation")
    async def conversation(ctx: Any, input: str) -> str:
        session = ctx.open_session()
        said = [await ctx.schedule_activity_on_session("say", str(n), session) for n in range(3)]
        ctx.close_session(session)
        return ",".join(said)

    @registry.activity("say")
    async def say(ctx: Any, input: str) -> str:
        return f"said {input}"

    return registry


@scenario(
    covers=["5.1"],
    workers=2,
    faults=FaultBudget(crash=1),
    options={"session_lock_duration": MINUTE},
    register=False,
)
async def reference(world: World) -> None:
    world.worker("a", conversation)
    world.worker("b", conversation)
    await world.client.start_orchestration("i", "conversation")
    status = await world.finished("i")
    with world.oracle("5.1"):
        assert isinstance(status, Completed)
        assert status.output == "said 0,said 1,said 2"


def once(
    strategy: Strategy,
    schedule: int = 0,
    *,
    full: bool = True,
    scenario: Scenario | None = None,
    store: StoreFactory = memory_store,
) -> Run:
    strategy.begin(schedule)
    run = run_schedule(scenario or reference, store, strategy, full=full)
    assert run.error is None and run.cut_off is None and not run.failures and not run.complaints, run
    return run


def test_the_plain_run_finishes_without_time_passing() -> None:
    run = once(Fifo())
    assert run.asserted == ("5.1",)
    assert run.virtual_us == 0
    assert run.steps < 60


def test_every_schedule_with_a_crash_finishes_too() -> None:
    strategy = RandomWalk(1)
    runs = [once(strategy, schedule, full=False) for schedule in range(40)]
    assert any(fault.kind == "crash" for run in runs for fault in run.faults)
    assert any(run.virtual_us >= 60_000_000 for run in runs), "a session lapsed and was taken over"
    assert len({run.fingerprint for run in runs}) == len(runs)


def test_the_session_of_a_crashed_owner_is_taken_over() -> None:
    """SS-9.1, matrix row 5.1: after the lease has run out, and not before."""

    @scenario(covers=["5.1"], workers=2, options={"session_lock_duration": MINUTE}, register=False)
    async def owner_crashes(world: World) -> None:
        workers = {name: world.worker(name, conversation) for name in ("a", "b")}
        await world.client.start_orchestration("i", "conversation")
        await world.commit(lambda commit: commit.operation == "ack_work_item")
        record = world.sessions()[0]
        owner = next(worker for worker in workers.values() if worker.worker_id == record.worker_id)
        other = next(worker for worker in workers.values() if worker is not owner)
        owner.crash()
        assert record.locked_until is not None
        taken = await world.commit(
            lambda commit: commit.operation == "fetch_session_work_item" and commit.result is not None
        )
        with world.oracle("5.1"):
            assert taken.process == other.name
            assert taken.provider_ms >= record.locked_until
            assert isinstance(await world.finished("i"), Completed)

    run = run_schedule(owner_crashes, sqlite_store, Fifo(), full=True)
    assert run.error is None and not run.failures and run.cut_off is None
    assert run.asserted == ("5.1",)


def test_a_graceful_shutdown_ends_the_process() -> None:
    @scenario(covers=["9.1"], options={"session_lock_duration": MINUTE}, register=False)
    async def shut_down(world: World) -> None:
        worker = world.worker("a", conversation)
        await world.client.start_orchestration("i", "conversation")
        await world.finished("i")
        await worker.shutdown(5)
        assert not worker.alive

    run = run_schedule(shut_down, sqlite_store, Fifo(), full=True)
    assert run.error is None and not run.failures and run.cut_off is None and not run.complaints


def test_a_shutdown_of_a_process_that_crashes_before_it_hears_of_it_leaves_nothing_behind(
    recwarn: pytest.WarningsRecorder,
) -> None:
    @scenario(covers=["9.1"], options={"session_lock_duration": MINUTE}, register=False)
    async def crash(world: World) -> None:
        worker = world.worker("a", conversation)
        await world.until(lambda: worker.runtime is not None)
        worker.stall(5)

        async def crash_it() -> None:
            await world.sleep(1)
            worker.crash()

        crashing = asyncio.ensure_future(crash_it())
        await worker.shutdown(5)
        await crashing
        assert world.now_us == 1_000_000 and not worker.alive

    run = run_schedule(crash, sqlite_store, Fifo(), full=True)
    assert run.error is None and not run.failures and run.cut_off is None, run
    assert [str(warning.message) for warning in recwarn.list] == []


@pytest.mark.parametrize("text", ["random", "pct:3"])
def test_a_tape_gives_its_run_again(text: str) -> None:
    """The round trip, and another seed gives another run."""
    first = once(make_strategy(text, 5), 3)
    again = once(ReplayTape(first.tape, strict=True))
    assert again.digest == first.digest
    assert again.draws == first.draws
    assert again.fingerprint == first.fingerprint
    assert once(make_strategy(text, 6), 3).digest != first.digest


def test_names_that_may_leave_the_simulation_are_pointed_out() -> None:
    def registry() -> Registry:
        made = Registry()

        @made.orchestration("dated")
        async def dated(ctx: Any, input: str) -> str:
            return str(datetime.now().year > 2000)

        return made

    @scenario(covers=["test"], register=False)
    async def dating(world: World) -> None:
        world.worker("a", registry)
        await world.client.start_orchestration("i", "dated")
        await world.finished("i")

    run = once(Fifo(), scenario=dating)
    assert [(suspect.function.rsplit(".", 1)[-1], suspect.name) for suspect in run.suspects] == [
        ("dated", "datetime.now")
    ]
    assert once(Fifo()).suspects == ()


@pytest.mark.parametrize("schedule", range(6))
def test_memory_and_sqlite_give_the_same_commits_and_histories(schedule: int) -> None:
    runs = [once(RandomWalk(5), schedule, store=store) for store in (memory_store, sqlite_store)]
    assert compare(*runs) is None
    assert runs[0].digest == runs[1].digest


def test_lean_and_full_recording_give_the_same_run() -> None:
    lean, full = once(RandomWalk(2), 9, full=False), once(RandomWalk(2), 9)
    assert lean.digest is None and not lean.draws
    assert (lean.fingerprint, lean.tape) == (full.fingerprint, full.tape)
    for runs in ((lean, full), (full, lean)):
        with pytest.raises(AssertionError, match="a run of reference was not recorded in full"):
            compare(*runs)


def test_running_twice_finds_no_difference_and_names_the_first_one_if_there_is() -> None:
    assert run_twice(reference, sqlite_store, once(RandomWalk(5), 3).tape) is None
    numbers = iter(range(1000))

    def registry() -> Registry:
        made = Registry()

        @made.orchestration("conversation")
        async def conversation(ctx: Any, input: str) -> str:
            return await ctx.schedule_activity("say", "")

        @made.activity("say")
        async def say(ctx: Any, input: str) -> str:
            return f"number {next(numbers)}"  # kept outside the process: not the same twice

        return made

    @scenario(covers=["test"], register=False)
    async def leaking(world: World) -> None:
        world.worker("a", registry)
        await world.client.start_orchestration("i", "conversation")
        await world.finished("i")

    difference = run_twice(leaking, sqlite_store, once(Fifo()).tape)
    assert difference is not None and difference.what == "commit"
    assert "ack_work_item" in (difference.first or "")
    assert "number 0" in str(difference) and "number 1" in str(difference)


_FRESH = """
from tests.sim.toolkit.test_world_with_runtime import once
from holdfast.sim.strategies import RandomWalk
print(*(once(RandomWalk(11), schedule).digest for schedule in range(5)))
"""


def test_the_digest_does_not_depend_on_the_hash_seed() -> None:
    """Fresh interpreters, other hash seeds, other addresses: the same digests."""
    printed = {
        subprocess.run(
            [sys.executable, "-c", _FRESH],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join([".", *sys.path])},
        ).stdout
        for seed in ("0", "1", "2", "random")
    }
    assert len(printed) == 1
    assert len(set(printed.pop().split())) == 5


def test_the_simulator_does_not_run_without_assertions() -> None:
    done = subprocess.run(
        [sys.executable, "-O", "-c", _FRESH],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join([".", *sys.path])},
    )
    assert done.returncode != 0
    assert "does not run under python -O" in done.stderr


def test_a_failed_assertion_of_the_runtime_fails_the_run_although_the_worker_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_turn, met = dispatcher.run_turn, []

    def wrong_once(turn_input: TurnInput, watchdog: Any = None) -> TurnResult:
        if not met:
            met.append(turn_input)
            raise AssertionError("two is three")
        return run_turn(turn_input, watchdog)

    monkeypatch.setattr(dispatcher, "run_turn", wrong_once)
    run = run_schedule(reference, memory_store, Fifo())
    assert run.error is None and run.cut_off is None
    (failure,) = run.failures
    assert failure.message.partition(" (test_world_with_runtime.py:")[0].endswith(
        "a failed assertion of the durable runtime: AssertionError('two is three')"
    )

"""The world: processes that crash, stall and start again, over one store."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.work_items import ActivityCompletedMessage, ActivityExecute
from holdfast.sim.exploring.explorer import Run
from holdfast.sim.stage.faults import FaultBudget
from holdfast.sim.stage.process import Process
from holdfast.sim.strategies import Deviations, RandomWalk
from holdfast.sim.toolkit.limits import Limits
from holdfast.sim.toolkit.world import World

Runs = Callable[..., Run]

LOCK = Millis(30_000)
LONG = Millis(3_600_000)


def item(number: int) -> ActivityExecute:
    return ActivityExecute(instance="i", execution_id=1, id=number, name="work", input="")


def operations(run: Run) -> list[str]:
    return [f"{commit.process} {commit.operation} {commit.outcome}" for commit in run.commits]


async def worker(process: Process) -> None:
    """Takes one item after another and acknowledges it."""
    while True:
        found = await process.provider.fetch_work_item(LOCK, LONG)
        assert found is not None
        await process.provider.ack_work_item(
            found.token, ActivityCompletedMessage(instance="i", execution_id=1, id=found.item.id, result="")
        )


def acknowledged(world: World) -> int:
    return sum(commit.operation == "ack_work_item" and commit.took_effect for commit in world.commits)


def test_a_parked_fetch_is_woken_by_the_commit_it_waits_for(run: Runs) -> None:
    async def body(world: World) -> None:
        world.process("w", worker)
        await world.quiet()
        await world.provider.enqueue_for_worker(item(1))
        await world.until(lambda: acknowledged(world) == 1)

    result = run(body)
    assert result.error is None and result.cut_off is None
    assert operations(result) == [
        "w fetch_work_item answered",  # nothing: parked
        "scenario enqueue_for_worker answered",
        "w fetch_work_item answered",
        "w ack_work_item answered",
    ]
    assert result.virtual_us == 0


def test_a_process_sees_nothing_only_after_its_own_poll_timeout(run: Runs) -> None:
    seen: list[float] = []

    async def poll(process: Process) -> None:
        before = process.clock.monotonic_us()
        assert await process.provider.fetch_work_item(LOCK, Millis(2500)) is None
        seen.append(process.clock.monotonic_us() - before)

    async def body(world: World) -> None:
        await world.process("w", poll).stopped()

    result = run(body)
    assert seen == [2_500_000]
    assert len(result.commits) == 1, "one look, then parked"


def test_a_fetch_without_poll_timeout_is_answered_at_once(run: Runs) -> None:
    async def poll(process: Process) -> None:
        assert await process.provider.fetch_work_item(LOCK, Millis(0)) is None

    async def body(world: World) -> None:
        await world.process("w", poll).stopped()

    assert run(body).virtual_us == 0


def test_a_crashed_holder_is_succeeded_when_its_lock_expires(run: Runs) -> None:
    async def holder(process: Process) -> None:
        await process.provider.fetch_work_item(LOCK, LONG)
        await asyncio.sleep(3600)

    async def body(world: World) -> None:
        await world.provider.enqueue_for_worker(item(1))
        first = world.process("first", holder)
        await world.quiet()
        world.process("second", worker)
        await world.quiet()
        first.crash()
        assert not first.alive
        await world.until(lambda: acknowledged(world) == 1)

    result = run(body)
    assert result.error is None
    assert result.virtual_us == LOCK * 1000, "time stops exactly where the lock expires"
    assert [fault.kind for fault in result.faults] == ["crash"]


def test_nothing_of_a_crashed_process_reaches_the_store(run: Runs) -> None:
    """Neither `finally`, nor `except`, nor an `__aexit__` of a dead process does anything any more."""
    heard: list[str] = []

    async def process_with_cleanup(process: Process) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(3600))
                await process.provider.fetch_work_item(LOCK, LONG)
        finally:
            heard.append("closing")
            await process.provider.enqueue_for_worker(item(9))
            heard.append("reached the store")

    async def body(world: World) -> None:
        handle = world.process("w", process_with_cleanup)
        await world.quiet()
        handle.crash()
        await world.sleep(10)
        assert not heard, "closed only when the run is over"

    result = run(body)
    assert result.error is None and not result.complaints
    assert heard == ["closing"]
    assert operations(result) == ["w fetch_work_item answered"]


def test_a_restarted_process_is_cold_and_named_afresh(run: Runs) -> None:
    memories: list[list[int]] = []
    names: list[int] = []

    async def remembering(process: Process) -> None:
        memory: list[int] = []
        memories.append(memory)
        names.append(process.ids.bits(64))
        memory.append(process.boot)
        await process.provider.fetch_work_item(LOCK, LONG)

    async def body(world: World) -> None:
        handle = world.process("w", remembering)
        await world.quiet()
        handle.crash()
        handle.restart()
        await world.quiet()
        handle.crash()
        handle.restart(identity="same")
        await world.quiet()
        assert handle.boot == 3

    run(body)
    assert memories == [[1], [2], [3]]
    assert names[0] != names[1]
    assert names[1] == names[2], "the same identity, if asked for"


def test_a_stalled_process_hears_nothing_until_its_time_is_over(run: Runs) -> None:
    ticks: list[int] = []

    async def ticking(process: Process) -> None:
        while True:
            await asyncio.sleep(1)
            ticks.append(process.clock.monotonic_us() - process.loop.offset_us)

    async def body(world: World) -> None:
        handle = world.process("w", ticking)
        await world.sleep(1.5)
        handle.stall(10)
        await world.sleep(11)

    result = run(body)
    assert ticks == [1_000_000, 11_500_000, 12_500_000][: len(ticks)]
    assert len(ticks) >= 2
    assert [(fault.kind, fault.amount_ms) for fault in result.faults] == [("stall", 10_000)]


def test_what_a_stalled_process_has_sent_still_commits(run: Runs) -> None:
    async def sender(process: Process) -> None:
        await asyncio.sleep(1)
        await process.provider.enqueue_for_worker(item(1))
        await process.provider.enqueue_for_worker(item(2))

    async def body(world: World) -> None:
        handle = world.process("w", sender)
        await world.commit(lambda commit: commit.operation == "enqueue_for_worker")
        handle.stall(5)
        await world.until(lambda: len(world.commits) == 2)

    assert run(body).virtual_us in (1_000_000, 6_000_000)


def test_a_jump_of_the_stores_clock_wakes_whoever_waits_for_an_expiry(run: Runs) -> None:
    async def holder(process: Process) -> None:
        await process.provider.fetch_work_item(LOCK, LONG)
        await asyncio.sleep(3600)

    async def body(world: World) -> None:
        await world.provider.enqueue_for_worker(item(1))
        world.process("first", holder)
        await world.quiet()
        world.process("second", worker)
        await world.quiet()
        before = world.provider_now_ms
        world.jump_clock(LOCK)
        assert world.provider_now_ms == before + LOCK
        await world.until(lambda: acknowledged(world) == 1)

    assert run(body).virtual_us == 0


def test_an_expiry_that_a_jump_back_puts_off_wakes_when_it_comes_again(run: Runs) -> None:
    """Both jumps come before anybody looks."""

    async def hold(process: Process) -> None:
        assert await process.provider.fetch_work_item(LOCK, LONG) is not None

    async def body(world: World) -> None:
        await world.provider.enqueue_for_worker(item(1))
        await world.process("holder", hold).stopped()
        world.process("w", worker)
        await world.quiet()
        world.jump_clock(LOCK)
        world.jump_clock(-LOCK)
        await world.until(lambda: acknowledged(world) == 1)
        assert world.now_us == LOCK * 1000

    result = run(body)
    assert result.error is None and not result.failures, result.failures


def test_a_cancelled_call_still_commits_and_its_answer_is_dropped(run: Runs) -> None:
    """SS-24.6: or it was never sent, if the tape says so."""

    async def impatient(process: Process) -> None:
        task = asyncio.ensure_future(process.provider.enqueue_for_worker(item(1)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    async def body(world: World) -> None:
        await world.process("w", impatient).stopped()
        await world.quiet()

    assert operations(run(body)) == []  # its process ended, and took the call along

    async def lasting(process: Process) -> None:
        await impatient(process)
        await asyncio.sleep(5)

    async def other(world: World) -> None:
        world.process("w", lasting)
        await world.sleep(1)

    assert operations(run(other)) == ["w enqueue_for_worker lost"]
    never_sent = [run(other, Deviations({("schedule", position): 1})) for position in range(3)]
    assert [] in [operations(result) for result in never_sent]


@pytest.mark.parametrize(
    ("kind", "outcome", "took_effect"),
    [("lost_answer", "lost", True), ("refused", "refused", False), ("unsent", "unsent", False)],
)
def test_the_outcomes_of_a_commit_as_its_caller_sees_them(
    run: Runs, kind: str, outcome: str, took_effect: bool
) -> None:
    """SS-24.6: done and the answer lost, refused, never sent: one retryable error each."""
    errors: list[ProviderError] = []

    async def sender(process: Process) -> None:
        try:
            await process.provider.enqueue_for_worker(item(1))
        except ProviderError as error:
            errors.append(error)

    async def body(world: World) -> None:
        await world.process("w", sender).stopped()
        assert len(world.worker_rows()) == took_effect

    result = run(body, Deviations({("fault", 0): 1}), faults=FaultBudget(**{kind: 1}))
    assert result.error is None and not result.failures
    assert operations(result) == [f"w enqueue_for_worker {outcome}"]
    assert result.commits[0].took_effect is took_effect
    assert len(errors) == 1 and errors[0].retryable
    assert [fault.kind for fault in result.faults] == [kind]


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_strikes_just_before_or_just_after_a_commit(run: Runs, after: bool) -> None:
    boots: list[int] = []

    async def sender(process: Process) -> None:
        boots.append(process.boot)
        if process.boot == 1:
            await process.provider.enqueue_for_worker(item(1))
            raise AssertionError("a crashed process goes on")

    async def body(world: World) -> None:
        world.process("w", sender)
        await world.until(lambda: len(boots) == 2)
        assert len(world.worker_rows()) == after

    result = run(body, Deviations({("fault", 0): 1, ("fault", 1): int(after)}), faults=FaultBudget(crash=1))
    assert result.error is None and not result.failures, result.failures
    assert boots == [1, 2], "the tape starts it again"


def test_a_slow_call_commits_late_and_a_slow_answer_comes_late(run: Runs) -> None:
    async def sender(process: Process) -> None:
        await process.provider.enqueue_for_worker(item(1))

    async def body(world: World) -> None:
        await world.process("w", sender).stopped()

    call = run(body, Deviations({("fault", 0): 1}), faults=FaultBudget(slow_call=1))
    answer = run(body, Deviations({("fault", 0): 1}), faults=FaultBudget(slow_answer=1))
    assert call.commits[0].time_us == call.virtual_us > 0
    assert answer.commits[0].time_us == 0 < answer.virtual_us
    assert call.virtual_us == call.faults[0].amount_ms * 1000, "what was held back is on record"


def test_a_slow_call_arrives_although_its_process_has_crashed_meanwhile(run: Runs) -> None:
    async def sender(process: Process) -> None:
        if process.boot == 1:
            await process.provider.enqueue_for_worker(item(1))

    async def body(world: World) -> None:
        handle = world.process("w", sender)
        await world.until(lambda: any(fault.kind == "slow_call" for fault in world.faults))
        handle.crash()
        await world.until(lambda: len(world.commits) == 1)
        assert len(world.worker_rows()) == 1

    result = run(body, Deviations({("fault", 0): 1}), faults=FaultBudget(slow_call=1))
    assert result.counts and not result.failures
    assert operations(result) == ["w enqueue_for_worker lost"], "nobody hears the answer"


def test_processes_that_share_an_event_are_told_so(run: Runs) -> None:
    """Waking the loop of another process would be lost: it is an error instead."""
    shared = asyncio.Event()

    async def waits(process: Process) -> None:
        await shared.wait()

    async def sets(process: Process) -> None:
        await asyncio.sleep(1)
        shared.set()

    async def body(world: World) -> None:
        world.process("a", waits)
        await world.process("b", sets).stopped()

    result = run(body)
    assert any("b/1 scheduled" in text and "loop of a/1" in text for text in result.complaints)


def test_an_async_generator_left_half_way_is_closed_by_its_own_process(run: Runs) -> None:
    heard: list[str] = []

    async def counting(process: Process) -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await process.provider.enqueue_for_worker(item(1))
            heard.append("closed")

    async def leaves(process: Process) -> None:
        async for _ in counting(process):
            break
        await asyncio.sleep(1)

    async def body(world: World) -> None:
        await world.process("w", leaves).stopped()

    result = run(body)
    assert heard == ["closed"] and not result.complaints
    assert operations(result) == ["w enqueue_for_worker answered"]


def test_sys_exit_ends_the_process_and_not_the_simulator(run: Runs) -> None:
    async def exits(process: Process) -> None:
        sys.exit(3)

    async def body(world: World) -> None:
        await world.process("w", exits).stopped()

    assert [failure.message for failure in run(body).failures] == ["w: it called sys.exit(3)"]


def test_a_predicate_that_raises_raises_in_the_body(run: Runs) -> None:
    async def body(world: World) -> None:
        with world.oracle("5.1"):
            await world.until(lambda: bool(world.commits) and bool(1 // 0))

    async def lasting(world: World) -> None:
        world.process("w", worker)
        await body(world)

    assert run(lasting).error == "the scenario raised ZeroDivisionError('integer division or modulo by zero')"


def test_a_watcher_that_raises_is_told_no_more_and_makes_the_run_no_evidence(run: Runs) -> None:
    class Broken:
        violated = False
        told = 0

        def open_until_us(self) -> int:
            return 0

        def on_commit(self, commit: object) -> None:
            self.told += 1
            raise KeyError("x")

        def on_boot(self, booted: object) -> None:
            pass

        on_end = on_local = on_fault = on_boot

    broken = Broken()

    async def body(world: World) -> None:
        await world.provider.enqueue_for_worker(item(1))
        await world.provider.enqueue_for_worker(item(2))

    result = run(body, watchers=lambda view: (broken,))
    assert broken.told == 1
    assert result.error == "Broken.on_commit raised KeyError('x')" and not result.counts


def test_time_runs_on_until_the_last_timed_obligation_is_over(run: Runs) -> None:
    """Design idea 10: after the body, no faults, and time until every open bound has passed."""

    class Obliged:
        violated = False

        def open_until_us(self) -> int:
            return 5_000_000

        def on_boot(self, booted: object) -> None:
            pass

        on_commit = on_end = on_local = on_fault = on_boot

    ticks: list[int] = []

    async def ticking(process: Process) -> None:
        while True:
            await asyncio.sleep(2)
            ticks.append(process.boot)

    async def body(world: World) -> None:
        world.process("w", ticking)

    result = run(body, watchers=lambda view: (Obliged(),))
    assert result.virtual_us == 5_000_000 and result.counts
    assert len(ticks) == 2


def test_a_process_that_an_exception_ends_is_a_failure(run: Runs) -> None:
    async def broken(process: Process) -> None:
        raise ValueError("boom")

    async def body(world: World) -> None:
        await world.process("w", broken).stopped()

    failure = run(body).failures[0]
    assert (failure.rule, failure.message) == ("process", "w: its boot function raised ValueError('boom')")


def test_a_duplicate_delivers_a_completion_twice(run: Runs) -> None:
    async def body(world: World) -> None:
        await world.provider.enqueue_for_worker(item(1))
        world.process("w", worker)
        await world.until(lambda: any(commit.process == "network" for commit in world.commits))

    result = run(body, Deviations({("fault", 0): 1}), faults=FaultBudget(duplicate=1))
    assert result.cut_off is None
    first = next(commit for commit in result.commits if commit.operation == "ack_work_item")
    again = next(commit for commit in result.commits if commit.process == "network")
    assert again.arguments["item"] == first.arguments["completion"]


def test_answers_of_one_process_may_arrive_in_one_pass(run: Runs) -> None:
    """Design idea 3: several deliveries in one pass of the loop reach what lives in "at once"."""
    together: set[int] = set()

    async def two_calls(process: Process) -> None:
        done: list[int] = []

        async def call(number: int) -> None:
            await process.provider.enqueue_for_worker(item(number))
            done.append(number)

        one = asyncio.ensure_future(call(1))
        other = asyncio.ensure_future(call(2))
        await one
        together.add(len(done))
        await other

    async def body(world: World) -> None:
        await world.process("w", two_calls).stopped()

    walk = _Continued(3)
    for _ in range(60):
        run(body, walk)
    assert together == {1, 2}


def test_a_forbidden_state_of_a_world(run: Runs) -> None:
    async def body(world: World) -> None:
        handle = world.process("w", worker)
        assert handle.process is not None
        with pytest.raises(AssertionError, match="is started while its last boot still runs"):
            world._booted(handle.process)
        world._quiet.append(world._process.loop.create_future())
        with pytest.raises(AssertionError, match="told that all is quiet, but 1 steps are enabled"):
            world.serve_quiet()
        world._matched_count = 1
        with pytest.raises(AssertionError, match="1 commits were looked at, but there are 0"):
            world._match([])
        world._matched_count = 0

    result = run(body)
    assert result.error is None and not result.failures, result


def test_less_than_no_time_is_refused(run: Runs) -> None:
    async def body(world: World) -> None:
        with pytest.raises(ValueError, match="a stall lasts -1 seconds"):
            world.process("w", worker).stall(-1)
        with pytest.raises(ValueError, match="a slow_call of -1 seconds"):
            world.strike("slow_call", seconds=-1)

    assert not run(body).failures


class _Continued(RandomWalk):
    """Goes on where the last run ended, whatever it is told."""

    def begin(self, schedule: int) -> None:
        pass


def test_a_limit_cuts_a_run_off_and_makes_it_evidence_for_nothing(run: Runs) -> None:
    async def restless(process: Process) -> None:
        while True:
            await asyncio.sleep(1)

    async def body(world: World) -> None:
        world.process("w", restless)
        await world.until(lambda: False)

    steps = run(body, limits=Limits(max_steps_in_all=50))
    assert steps.cut_off == "50 steps in all" and not steps.counts and steps.steps == 50
    seconds = run(body, limits=Limits(max_virtual_us=60_000_000))
    assert seconds.cut_off == "60 virtual seconds"


def test_a_world_in_which_nothing_can_happen_is_called_a_deadlock(run: Runs) -> None:
    async def body(world: World) -> None:
        await world.until(lambda: False)

    result = run(body)
    assert result.cut_off is not None and result.cut_off.startswith("deadlock")


def test_an_oracle_that_fails_is_a_failure_of_its_row(run: Runs) -> None:
    async def body(world: World) -> None:
        with world.oracle("5.1"):
            assert True
        with world.oracle("5.2", "5.3"):
            assert world.now_us == 1, "time has not moved"
        raise RuntimeError("not reached")

    result = run(body)
    assert result.asserted == ("5.1",)
    assert [(failure.rule, failure.message.splitlines()[0]) for failure in result.failures] == [
        ("5.2", "time has not moved"),
        ("5.3", "time has not moved"),
    ]
    assert result.error is None


def test_a_body_that_raises_is_an_error_of_the_run(run: Runs) -> None:
    async def body(world: World) -> None:
        raise RuntimeError("boom")

    assert run(body).error == "the scenario raised RuntimeError('boom')"


def test_a_provider_that_waits_is_refused_with_the_name_of_the_await(
    run: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Design idea 1: in a simulation a provider call comes to its end within its step."""
    from holdfast.providers.sqlite import SqliteProvider

    async def waiting(self: object, item: object) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(SqliteProvider, "enqueue_for_worker", waiting)

    async def body(world: World) -> None:
        await world.provider.enqueue_for_worker(item(1))

    error = run(body).error
    assert error is not None and error.startswith("ProviderSuspended: enqueue_for_worker")
    assert "__sleep0" in error or "waiting" in error


def test_a_blocking_call_takes_as_long_as_the_tape_says(run: Runs) -> None:
    """Design idea 1: nothing, or beyond something that matters, with its effect at the start or the end."""
    acted: list[int] = []

    async def body_of(process: Process) -> None:
        await asyncio.to_thread(lambda: acted.append(process.clock.monotonic_us() - process.loop.offset_us))

    async def body(world: World) -> None:
        await world.process("w", body_of).stopped()

    assert run(body).virtual_us == 0
    early = run(body, Deviations({("data", 0): 1}))
    late = run(body, Deviations({("data", 0): 6}))
    assert early.virtual_us == late.virtual_us > 0
    assert acted == [0, 0, late.virtual_us]


def test_a_scenario_may_set_how_long_blocking_calls_take(run: Runs) -> None:
    acted: list[int] = []

    async def body_of(process: Process) -> None:
        process.blocking_ms = 7_000
        await asyncio.to_thread(lambda: acted.append(process.clock.monotonic_us() - process.loop.offset_us))

    async def body(world: World) -> None:
        await world.process("w", body_of).stopped()

    assert run(body, Deviations({("data", 0): 1})).virtual_us == 7_000_000
    assert acted == [7_000_000]

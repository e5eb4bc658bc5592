"""Scenarios: what the decorator refuses; checks that run once, without a world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from holdfast.core.contract.errors import ConfigurationError, ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.providers.sqlite import sqlite_store
from holdfast.sim.exploring.checks import run_check
from holdfast.sim.exploring.explorer import run_schedule
from holdfast.sim.stage.faults import FAULT_TABLE, FaultBudget, delays_of, held_back_us
from holdfast.sim.strategies import Fifo
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.recorded import CallRecord
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.failure import Failure
from holdfast.traces.record import Commit, Fault, RunEnd


def test_a_unit_check_asserts_its_rows_when_it_returns() -> None:
    @scenario(covers=["3.7", "3.8"], level="unit", register=False)
    async def holds() -> None:
        """A title.

        And more.
        """
        await asyncio.sleep(60)

    @scenario(covers=["3.7", "3.8"], level="unit", register=False)
    async def fails() -> None:
        assert False, "no"  # noqa: B011

    @scenario(covers=["3.7"], level="unit", register=False)
    async def breaks() -> None:
        raise KeyError("x")

    assert holds.title == "A title."
    assert run_check(holds).asserted == ("3.7", "3.8")
    assert [failure.rule for failure in run_check(fails).failures] == ["3.7", "3.8"]
    assert run_check(breaks).error == "the check raised KeyError('x')"


def test_what_asyncio_would_have_logged_in_a_check_belongs_to_its_result() -> None:
    @scenario(covers=["3.7"], level="unit", register=False)
    async def mutters() -> None:
        asyncio.get_running_loop().call_soon(int, "x")
        asyncio.get_running_loop().create_future().set_exception(ValueError("unheard"))
        await asyncio.sleep(1)

    run = run_check(mutters)
    assert run.asserted == ("3.7",)
    unheard, raised = run.complaints
    assert "unheard" in unheard and "Exception in callback int('x')" in raised


def test_a_provider_check_gets_a_store_under_a_stepped_clock() -> None:
    @scenario(covers=["10.1"], level="provider", register=False)
    async def expires(bench: Bench) -> None:
        await bench.provider.enqueue_for_worker(
            ActivityExecute(instance="i", execution_id=1, id=1, name="a", input="")
        )
        first = await bench.provider.fetch_work_item(1000, 0)
        assert first is not None
        bench.clock.advance(999)
        assert await bench.provider.fetch_work_item(1000, 0) is None
        bench.clock.advance(1)
        again = await bench.open().fetch_work_item(1000, 0)
        assert again is not None and again.attempt_count == 2

    run = run_check(expires, sqlite_store)
    assert [commit.operation for commit in run.commits] == ["enqueue_for_worker", *["fetch_work_item"] * 3]
    assert run.asserted == ("10.1",) and run.counts, run
    with pytest.raises(ConfigurationError, match="needs a provider"):
        run_check(expires)
    with pytest.raises(ConfigurationError, match="has no schedules"):
        run_schedule(expires, sqlite_store, Fifo())


@pytest.mark.parametrize(
    "arguments",
    [{"covers": []}, {"covers": ["1"], "level": "other"}, {"covers": ["1"], "options": {"max_attempts": -1}}],
)
def test_an_impossible_scenario_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):

        @scenario(**arguments, register=False)  # type: ignore[arg-type]
        async def impossible(world: World) -> None:
            pass


def test_a_scenario_with_a_world_is_no_check() -> None:
    @scenario(covers=["1"], register=False)
    async def explored(world: World) -> None:
        pass

    with pytest.raises(ConfigurationError, match="use run_schedule"):
        run_check(explored)


def test_a_budget_refuses_what_cannot_be_counted() -> None:
    with pytest.raises(ConfigurationError, match="fault budget crash is -1"):
        FaultBudget(crash=-1)
    assert list(FaultBudget(wall_clock=1, crash=2).counts()) == ["crash", "wall_clock"], "by table order"


def test_each_fault_is_in_the_table_with_what_it_may_cause() -> None:
    assert {entry.kind for entry in FAULT_TABLE} == set(FaultBudget.__slots__)
    assert all(entry.does and entry.may_cause and entry.sites for entry in FAULT_TABLE)


def test_delays_lie_just_beyond_what_matters() -> None:
    options = scenario(covers=["1"], register=False)(_nothing).runtime_options
    assert delays_of(options) == (26_000, 31_000, 301_000, 601_000, 1_201_000)


async def _nothing(world: World) -> None:
    pass


def test_what_was_held_back_is_added_up_within_the_window() -> None:
    faults = [
        Fault("stall", "a", 1_000_000, 4000),
        Fault("slow_answer", "a", 2_000_000, 1000),
        Fault("stall", "b", 0, 9000),
        Fault("provider_clock", None, 0, 9000),
        Fault("crash", "a", 0),
    ]
    assert held_back_us(faults, "a", since_us=0, until_us=10_000_000) == 5_000_000
    assert held_back_us(faults, "a", since_us=3_000_000, until_us=4_000_000) == 1_000_000


class Fussy:
    """A watcher that has something against the second call, or stumbles over it."""

    violated = False

    def __init__(self, stumbles: bool) -> None:
        self.stumbles = stumbles
        self.heard: list[str] = []

    def on_commit(self, commit: Commit) -> None:
        self.heard.append(commit.operation)
        if self.stumbles:
            raise KeyError(commit.position)

    def on_end(self, end: RunEnd) -> None:
        self.heard.append(f"end after {end.steps}")

    @property
    def failures(self) -> list[Failure]:
        return [Failure("FUSSY", "not that one", 1, 0)]

    def open_until_us(self) -> int:
        return 0


@pytest.mark.parametrize("stumbles", [False, True])
def test_the_calls_of_a_provider_check_are_watched(stumbles: bool) -> None:
    @scenario(covers=["10.1"], level="provider", register=False)
    async def calls(bench: Bench) -> None:
        with pytest.raises(ProviderError):
            await bench.provider.ack_work_item(LockToken("none"))
        await bench.open().release_session_lock("i", "s", "w")

    fussy = Fussy(stumbles)
    run = run_check(calls, sqlite_store, watchers=lambda view: (fussy,))
    assert run.asserted == ("10.1",)
    assert [commit.error is None for commit in run.commits] == [False, True]
    assert [failure.rule for failure in run.failures] == ["FUSSY"]
    if stumbles:
        assert fussy.heard == ["ack_work_item"]
        assert run.error == "Fussy.on_commit raised KeyError(0)"
    else:
        assert fussy.heard == ["ack_work_item", "release_session_lock", "end after 2"]
        assert run.error is None


def _ended(record: CallRecord) -> CallRecord:
    record.end()
    return record


BUSY = ProviderError.transient("read", "busy")


@pytest.mark.parametrize(
    ("provoke", "message"),
    [
        (lambda record: _ended(record).end(), "the check ends twice"),
        (lambda record: _ended(record).call("read", {}, None, None), "read is called after the end"),
        (lambda record: record.call("read", {}, 1, BUSY), "read has both a result and an error"),
        (lambda record: (record.call("read", {}, 1, None), record.watch(())), "1 calls were made before"),
    ],
)
def test_a_forbidden_state_of_the_calls_of_a_check(
    provoke: Callable[[CallRecord], object], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        provoke(CallRecord(lambda: Millis(0)))

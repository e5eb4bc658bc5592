"""What only the simulator's own code could have done wrong is asserted where it would happen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.observe import Logged
from holdfast.core.hosting.options import RuntimeOptions
from holdfast.sim.loop.driving import store_loop_running
from holdfast.sim.loop.ids import VirtualIds
from holdfast.sim.loop.tasks import Future
from holdfast.sim.loop.virtual_time import VirtualTime
from holdfast.sim.stage.blocking import run_blocking
from holdfast.sim.stage.chronicle import Chronicle
from holdfast.sim.stage.draws import Draws
from holdfast.sim.stage.engine import Engine
from holdfast.sim.stage.faults import FaultBudget, Faults
from holdfast.sim.stage.gate import Gate
from holdfast.sim.stage.misfortune import Misfortunes
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.script import ScriptedFault, Strike
from holdfast.sim.stage.stage import Stage
from holdfast.sim.stage.steps import Delivery, DueTimers, Request
from holdfast.sim.strategies import Fifo
from holdfast.sim.toolkit.bench import StoreFactory

FETCH = {"lock_timeout": 30_000, "poll_timeout": 5_000, "tag_filter": None}


class Bare:
    """A stage with one process that does nothing, and nobody who runs it."""

    def __init__(self, factory: StoreFactory) -> None:
        self.time = VirtualTime()
        self.chronicle = Chronicle(self.time, ())
        self.store = factory(self.time.provider_ms, VirtualIds(0))
        draws = Draws(Fifo())
        self.stage = Stage(self.store, self.time, draws, self.chronicle, lambda: (1_000, 2_000))
        self.faults = Faults(FaultBudget(crash=1), RuntimeOptions())
        self.misfortunes = Misfortunes(self.stage, self.faults)
        self.engine = Engine(self.stage, self.misfortunes)
        self.stage.register("w", _idle)
        self.stage.register("scenario", _idle, fallible=False)
        self.process = self.stage.start("w")

    def request(self, operation: str = "read", arguments: dict[str, Any] | None = None) -> Request:
        """A call of the process that is nowhere yet."""
        asked = {"instance_id": "i"} if arguments is None else arguments
        future = Future(loop=self.process.loop)
        return Request(self.process, operation, asked, future, self.time.now_us)

    def fetch(self) -> Request:
        request = self.request("fetch_work_item", dict(FETCH))
        request.deadline_us = 5_000_000
        return request


async def _idle(process: Process) -> None:
    await Future(loop=process.loop)


@pytest.fixture
def bare(factory: StoreFactory) -> Iterator[Bare]:
    made = Bare(factory)
    with store_loop_running(made.stage.store_loop):
        made.engine.step()
        yield made
    made.store.close()


def strike(kind: ScriptedFault = "unsent") -> Strike:
    return Strike(kind=kind, process=None, operation=None, skip=0, times=1, delay_ms=0, before=False)


def _crash(bare: Bare) -> None:
    bare.stage.crash(bare.process)


def _dead_delivery(bare: Bare) -> None:
    _crash(bare)
    bare.stage.ready.append(Delivery(bare.process, print, ()))
    bare.engine.step()


def _dead_call(bare: Bare) -> None:
    request = bare.request()
    _crash(bare)
    bare.stage.ready.append(request)
    bare.engine.step()


def _beyond(bare: Bare) -> None:
    bare.stage.after(1_000, lambda: None)
    bare.stage.advance(1_000_001)


def _backwards(bare: Bare) -> None:
    bare.stage.advance(7)
    bare.stage.advance(6)


def _answered_twice(bare: Bare) -> None:
    request = bare.request()
    bare.stage.answer(request, None, None)
    bare.stage.answer(request, None, None)


def _commits_after_its_answer(bare: Bare) -> None:
    request = bare.request()
    bare.stage.ready.append(request)
    request.settled = True
    bare.engine.step()


def _stalled_runs(bare: Bare) -> None:
    bare.stage.stall(bare.process, 1_000)
    bare.stage.run(bare.process, [(print, ())])


def _resumes_twice(bare: Bare) -> None:
    bare.stage.stall(bare.process, 1_000)
    bare.process.stalled = False
    bare.stage.advance(1_000_000)


def _kept_for_nobody(bare: Bare) -> None:
    _crash(bare)
    bare.stage._withheld[bare.process] = []
    bare.stage.bury()


def _gives_up_too_early(bare: Bare) -> None:
    bare.stage.polls.give_up(bare.fetch())


def _late(bare: Bare) -> None:
    bare.stage.after(1_000, lambda: None)
    bare.time.advance(2_000_000)
    bare.stage.advance(2_000_000)


STAGE: dict[str, tuple[Callable[[Bare], object], str]] = {
    "time backwards": (_backwards, "would go back from 7 to 6 us"),
    "time beyond what is due": (_beyond, "goes on to 1000001 us, beyond 1000000 us"),
    "time goes on while something is enabled": (
        lambda bare: (bare.stage.post(bare.process, print), bare.stage.advance(1)),
        "time goes on although 1 steps are enabled",
    ),
    "a step when there is none": (lambda bare: bare.engine.step(), "no step is enabled"),
    "a delivery to a dead process": (_dead_delivery, "w/deliver is enabled, but .* is dead"),
    "a call of a dead process": (_dead_call, "w/read is enabled, but .* is dead"),
    "a call from a dead process": (
        lambda bare: (_crash(bare), bare.stage._submit(bare.process, "read", {})),
        "is dead, it cannot call read",
    ),
    "a message to a dead process": (
        lambda bare: (_crash(bare), bare.stage.post(bare.process, print)),
        "is dead, it cannot hear",
    ),
    "a crash of a dead process": (lambda bare: (_crash(bare), _crash(bare)), "it is dead already"),
    "a crash of the scenario": (
        lambda bare: bare.stage.crash(bare.stage.start("scenario")),
        "crashes, but faults do not strike the scenario's own",
    ),
    "a stall of the scenario": (
        lambda bare: bare.stage.stall(bare.stage.start("scenario"), 1),
        "stalls, but faults do not strike the scenario's own",
    ),
    "two boots at once": (lambda bare: bare.stage.start("w"), "w starts again, but .* runs"),
    "begun twice": (lambda bare: bare.process.begin(_idle), "has begun already"),
    "begun dead": (lambda bare: (_crash(bare), bare.process.begin(_idle)), "is dead, it cannot begin"),
    "killed twice": (lambda bare: (bare.process.kill(), bare.process.kill()), "is cut off twice"),
    "buried alive": (lambda bare: bare.process.bury(), "is buried while alive"),
    "a pass while stalled": (_stalled_runs, "is stalled, it cannot run"),
    "a stall that is over twice": (_resumes_twice, "resumes, but it is not stalled"),
    "kept for a process that is gone": (_kept_for_nobody, "nobody is left to hear it"),
    "kept for a process that is not stalled": (
        lambda bare: (bare.stage._withheld.update({bare.process: []}), bare.stage.stall(bare.process, 1)),
        "is not stalled, yet something is kept for it",
    ),
    "stalled with nothing kept": (
        lambda bare: (setattr(bare.process, "stalled", True), bare.stage.post(bare.process, print)),
        "is stalled, yet nothing is kept for it",
    ),
    "timers that were not announced": (
        lambda bare: bare.stage.deliver(DueTimers(bare.process)),
        "taken, but they were not announced",
    ),
    "timers of a dead process": (
        lambda bare: (
            bare.process.loop.call_later(0, print),
            setattr(bare.process, "alive", False),
            bare.stage._announce_timers(bare.process),
        ),
        "are announced, but it is dead",
    ),
    "an answer after the answer": (_answered_twice, "w/read is answered twice"),
    "an answer that is two": (
        lambda bare: bare.stage.answer(bare.request(), "found", ProviderError.transient("read", "busy")),
        "is answered 'found' as well as",
    ),
    "a commit after the answer": (_commits_after_its_answer, "its caller has an answer already"),
    "waiting with what is no fetch": (
        lambda bare: bare.stage.polls.nothing_found(bare.request()),
        "read is no fetch, it does not wait",
    ),
    "giving up without having waited": (
        lambda bare: bare.stage.polls.give_up(bare.request("fetch_work_item", dict(FETCH))),
        "has never waited",
    ),
    "giving up too early": (_gives_up_too_early, "at 0 us, it is to wait until 5000000 us"),
    "something for the past": (lambda bare: bare.stage.after(-1, print), "due 1 ms in the past"),
    "something on the agenda for the past": (
        lambda bare: (bare.time.advance(9), bare.stage.agenda.put(8, print)),
        "put off until 8 us, but it is already 9 us",
    ),
    "something done too late": (_late, "was due at 1000000 us, it is done at 2000000 us"),
    "a gate behind a gate": (
        lambda bare: Gate(bare.process, bare.process.provider, bare.stage._submit),
        "each call would be two steps",
    ),
}


@pytest.mark.parametrize("state", STAGE)
def test_a_forbidden_state_of_the_stage(bare: Bare, state: str) -> None:
    provoke, message = STAGE[state]
    with pytest.raises(AssertionError, match=message):
        provoke(bare)


def _parked_dead(bare: Bare) -> None:
    request = bare.fetch()
    bare.process.alive = False
    bare.stage.parking.park(request)


def _parked_twice(bare: Bare) -> None:
    request = bare.fetch()
    bare.stage.parking.park(request)
    bare.stage.parking.park(request)


def _woken(bare: Bare, *, dead: bool = False, settled: bool = False, hopeless: bool = False) -> None:
    request, parking = bare.fetch(), bare.stage.parking
    parking.park(request)
    bare.process.alive, request.settled = not dead, settled
    if hopeless:
        parking._wake_one(request.fetch_kind(), [request])
    parking.wake(("work",))


def _missed(bare: Bare) -> None:
    bare.stage.parking._later(bare.time.provider_ms() + 5, ("work",))
    bare.stage.parking.park(bare.fetch())
    bare.stage.parking._looked_ms = bare.time.provider_ms() + 6
    bare.stage.parking.next_time_ms()


PARKING: dict[str, tuple[Callable[[Bare], object], str]] = {
    "a dead process": (_parked_dead, "is parked, but its process is dead"),
    "no deadline": (
        lambda bare: bare.stage.parking.park(bare.request("fetch_work_item", dict(FETCH))),
        "with no time at which it gives up",
    ),
    "what is no fetch": (lambda bare: bare.stage.parking.park(bare.request()), "read is no fetch"),
    "twice": (_parked_twice, "w/fetch_work_item is parked twice"),
    "forgotten alive": (
        lambda bare: bare.stage.parking.remove_process(bare.process),
        "is alive, its fetches must not be forgotten",
    ),
    "woken dead": (lambda bare: _woken(bare, dead=True), "is woken, but its process is dead"),
    "woken with its answer": (lambda bare: _woken(bare, settled=True), "is woken, but it has its answer"),
    "woken without hope": (lambda bare: _woken(bare, hopeless=True), "is woken, but looking is of no use"),
    "a moment that was missed": (_missed, "a moment was missed"),
    "a moment of the past": (
        lambda bare: (bare.stage.parking.pass_time(), bare.stage.parking._later(5, ("work",), ("x",))),
        "ends at 5 ms, it is .* already",
    ),
}


@pytest.mark.parametrize("state", PARKING)
def test_a_forbidden_state_of_parked_fetches(bare: Bare, state: str) -> None:
    provoke, message = PARKING[state]
    with pytest.raises(AssertionError, match=message):
        provoke(bare)


def _spent(bare: Bare) -> None:
    bare.faults.spend("crash")
    bare.faults.spend("crash")


def _scripted_stall(bare: Bare) -> None:
    bare.engine._commit_under("stall", bare.request(), strike())


def _befalls_the_dead(bare: Bare) -> None:
    request = bare.request()
    _crash(bare)
    bare.engine._commit_under("unsent", request, None)


def _befalls_the_scenario(bare: Bare) -> None:
    bare.process.fallible = False
    bare.engine._commit_under("unsent", bare.request(), None)


def _strikes_when_over(bare: Bare) -> None:
    once = strike()
    once.befalls(bare.request())
    once.befalls(bare.request())


def _arrives_twice(bare: Bare) -> None:
    request = bare.request()
    request.slowed = True
    bare.engine._arrive(request)
    bare.engine._arrive(request)


FAULTS: dict[str, tuple[Callable[[Bare], object], str]] = {
    "a budget below zero": (_spent, "a crash struck, but none is left in the budget"),
    "in quiet times while something is enabled": (
        lambda bare: (bare.stage.post(bare.process, print), bare.misfortunes.strike_while_idle()),
        "1 steps are enabled: this is no quiet time",
    ),
    "a call of a dead process": (_befalls_the_dead, "strikes w/read, but its process is dead"),
    "a call of the scenario": (_befalls_the_scenario, "faults do not strike the scenario's own"),
    "a stall by plan": (_scripted_stall, "a stall does not strike a call by plan"),
    "a duplicate of nothing": (
        lambda bare: bare.misfortunes.duplicate(bare.request()),
        "read delivers no completion",
    ),
    "a strike that is over": (_strikes_when_over, "unsent is over after 1 strikes"),
    "a strike that spares more than it struck": (lambda bare: strike().spare(), "has struck nothing"),
    "a strike set twice": (
        lambda bare: [bare.stage.script.set(one) for one in [strike()] * 2],
        "is set twice",
    ),
    "a call that arrives without having been held up": (
        lambda bare: bare.engine._arrive(bare.request()),
        "w/read arrives, but it was not held up",
    ),
    "a slow call that arrives twice": (_arrives_twice, "w/read arrives twice"),
    "a late answer that was not decided": (
        lambda bare: bare.engine._late(bare.request(), None, None),
        "a late answer that had not been decided",
    ),
    "a stall of less than no time": (
        lambda bare: bare.chronicle.fault("stall", "w", -1),
        "a stall of -1 ms",
    ),
}


@pytest.mark.parametrize("state", FAULTS)
def test_a_forbidden_state_of_faults(bare: Bare, state: str) -> None:
    provoke, message = FAULTS[state]
    with pytest.raises(AssertionError, match=message):
        provoke(bare)


def test_only_kinds_of_the_table_strike_in_quiet_times(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    bare.misfortunes._draw = lambda stream, site, arity: 1 if site == "idle" else 0
    monkeypatch.setattr(bare.faults, "kinds_for_idle", lambda: ["unsent"])
    monkeypatch.setattr(bare.faults, "spend", lambda kind: None)
    with pytest.raises(AssertionError, match="a unsent does not strike in quiet times"):
        bare.misfortunes.strike_while_idle()


def _commit(bare: Bare, outcome: Any = "answered", **how: Any) -> None:
    bare.chronicle.commit(bare.process, "read", {}, outcome, **how)


def _after_the_end(bare: Bare) -> None:
    bare.chronicle.end(1, None)
    _commit(bare)


def _out_of_order(bare: Bare) -> None:
    bare.time.advance(5)
    _commit(bare)
    bare.time.now_us = 4
    _commit(bare)


BUSY = ProviderError.transient("read", "busy")

CHRONICLE: dict[str, tuple[Callable[[Bare], object], str]] = {
    "refused with a result": (lambda bare: _commit(bare, "refused", result=1), "read was refused, yet"),
    "unsent with an error": (lambda bare: _commit(bare, "unsent", error=BUSY), "read was unsent, yet"),
    "a result and an error": (
        lambda bare: _commit(bare, result=1, error=BUSY),
        "has both a result and an error",
    ),
    "out of order": (_out_of_order, "read commits at 4 us, after 5 us"),
    "a commit after the end": (_after_the_end, "commits after the end of the run"),
    "two ends": (
        lambda bare: (bare.chronicle.end(1, None), bare.chronicle.end(1, None)),
        "the run ends twice",
    ),
    "a dead process that reports": (
        lambda bare: (_crash(bare), bare.chronicle.local(bare.process, cast(Logged, "x"))),
        "is dead, yet it reports 'x'",
    ),
    "a dead process that was started": (
        lambda bare: (_crash(bare), bare.chronicle.booted(bare.process)),
        "was started, yet it is dead",
    ),
}


@pytest.mark.parametrize("state", CHRONICLE)
def test_a_forbidden_state_of_the_record(bare: Bare, state: str) -> None:
    provoke, message = CHRONICLE[state]
    with pytest.raises(AssertionError, match=message):
        provoke(bare)


def test_a_boot_beyond_those_whose_names_differ(bare: Bare) -> None:
    _crash(bare)
    bare.stage._programs["w"].boot_count = (1 << 16) - 1
    with pytest.raises(AssertionError, match="boot 65536 of w would have another's names"):
        bare.stage.start("w")


def test_a_blocking_call_needs_a_duration_that_is_there(bare: Bare) -> None:
    bare.process._draw = lambda site, arity: 9
    with pytest.raises(AssertionError, match="no durations are known"):
        run_blocking(bare.process, bare.time, lambda: (), print, ())
    with pytest.raises(AssertionError, match="9 is no time for a blocking call, there are 2 delays"):
        run_blocking(bare.process, bare.time, lambda: (1, 2), print, ())


def test_a_run_within_a_run(bare: Bare) -> None:
    with (
        pytest.raises(AssertionError, match="a run within another one"),
        store_loop_running(bare.stage.store_loop),
    ):
        pass
    assert asyncio._get_running_loop() is bare.stage.store_loop

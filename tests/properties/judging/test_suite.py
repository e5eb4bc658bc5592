"""The suite: verdicts that are honest about what was not judged, and rules by id."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.properties.judging.story import Story, Table, item, opened, scheduled, started

from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.store import SessionRecord
from holdfast.core.hosting.options import RuntimeOptions
from holdfast.properties.judging.invariants.delivery.inv_04_plain_fetch_purity import PlainFetchPurity
from holdfast.properties.judging.ledger.facts import Delivered
from holdfast.properties.judging.registry import MONITORS, selected
from holdfast.properties.judging.suite import MonitorSuite
from holdfast.properties.judging.timing import WorkerTiming
from holdfast.properties.judging.verdict import Holds, Unknown, Violated
from holdfast.traces.record import Fault, RunEnd, Watcher

Q = item(3)


def begun(*rules: str) -> Story:
    return Story(*rules).ack(started(), opened(2), scheduled(3), items=[Q], opens=["s"])


def test_a_suite_is_a_watcher() -> None:
    watcher: Watcher = MonitorSuite(Table(), {})
    assert not watcher.violated
    assert watcher.open_until_us() == 0


def test_ids_are_those_of_the_spec_in_its_order() -> None:
    assert list(MONITORS) == sorted(MONITORS)
    assert [f"INV-{n:02}" for n in range(1, 24)] == list(MONITORS)[:23]


def test_an_unknown_rule_is_refused_with_those_near_it() -> None:
    with pytest.raises(ConfigurationError, match=r"'INV-04x'.*INV-04"):
        selected(["INV-04x"])


def test_an_unknown_situation_is_refused_with_those_near_it() -> None:
    with pytest.raises(ConfigurationError, match=r"session\.migrate'.*session\.migrated"):
        MonitorSuite(Table(), {}, situations=["session.migrate"])


def test_only_the_situations_asked_for_are_looked_for() -> None:
    story = Story()
    story.suite = MonitorSuite(story.table, {}, situations=["session.claimed"])
    story.ack(started(), opened(2), scheduled(3), items=[Q], opens=["s"]).deliver("a", Q)
    assert story.suite.situations == {"session.claimed": 2}


def test_a_rule_whose_hook_is_missing_is_unknown() -> None:
    class Rowless:
        def session_records(self) -> list[SessionRecord]:
            return []

    suite = MonitorSuite(Rowless(), {}, ["INV-01", "INV-07"])
    suite.on_end(RunEnd(0, 0, None))
    assert suite.verdicts == [
        Holds("INV-01"),
        Unknown("INV-07", "the store has no inspection hook worker_rows"),
    ]


def test_a_run_that_was_cut_off_shows_nothing_but_what_it_broke() -> None:
    story = begun("INV-03", "INV-04").deliver("b", Q, mode="plain", row=("b", 60_000)).end("100 steps")
    first, second = story.suite.verdicts
    assert first == Unknown("INV-03", "the run was cut off: 100 steps")
    assert isinstance(second, Violated)


def test_a_run_that_goes_on_has_decided_nothing() -> None:
    assert begun("INV-01").suite.verdicts == [Unknown("INV-01", "the run is not over")]


def test_a_monitor_that_raises_is_unknown_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: PlainFetchPurity, fact: Delivered) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(PlainFetchPurity, "delivered", fail)
    story = begun("INV-03", "INV-04").deliver("a", Q).deliver("b", Q, "t2", row="keep", number=2).end()
    first, second = story.suite.verdicts
    assert isinstance(first, Violated)
    assert second == Unknown("INV-04", "the monitor failed: ZeroDivisionError: oh")


def test_what_is_broken_is_told_with_rule_witness_and_place() -> None:
    story = begun("INV-04").at(7).deliver("b", Q, mode="plain", row="keep")
    assert story.suite.violated
    (failure,) = story.suite.failures
    assert (failure.rule, failure.position, failure.time_us) == ("INV-04", 3, 7000), "after three commits"
    assert failure.message == (
        "Plain fetch purity: session=i/s, item=item 1: i/1/3 on s, delivered_to=b/1, now=7"
    )


def test_a_timed_rule_says_nothing_of_a_worker_whose_timing_nobody_gave() -> None:
    story = Story("INV-47")
    story.suite = MonitorSuite(story.table, {}, ["INV-47"])
    story.ack(started(), opened(2), scheduled(3), items=[Q], opens=["s"]).deliver("a", Q)
    story.suite.ledger.worker("a", 1).leases["i", "s"] = 0
    story.ack(closes=["s"]).end()
    assert story.suite.verdicts == [Unknown("INV-47", "the timing of a was not given")]


def test_a_call_that_never_reached_the_store_is_no_fact() -> None:
    story = begun("INV-06").commit("fetch_session_work_item", process="a", outcome="unsent")
    assert not story.suite.violated
    assert story.suite.situations["call.unsent"] == 2


def test_timing_is_that_of_the_options() -> None:
    timing = WorkerTiming.of(
        RuntimeOptions(
            session_lock_duration=timedelta(milliseconds=5), worker_lock_timeout=timedelta(seconds=30)
        )
    )
    assert (timing.session_lock_us, timing.session_renewal_us) == (5000, 2500)
    assert (timing.item_lock_us, timing.item_renewal_us) == (30_000_000, 25_000_000)
    assert timing.idle_us is None


def test_faults_are_booked_by_process_until_their_effect_is_over() -> None:
    book = MonitorSuite(Table(), {}).ledger.book
    book.enter(Fault("stall", "a", 1_000_000, 2000))
    book.enter(Fault("refused", "b", 1_000_000))
    assert book.held_back_us("a", 3_000_000) == 2_000_000
    assert book.held_back_us("a", 3_000_001) == 0
    assert book.held_back_us("b", 0) == 0
    assert book.unreachable("b", 1_000_000)
    assert not book.unreachable("a", 0)
    assert not book.unreachable("b", 1_000_001)

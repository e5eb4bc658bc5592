"""The ledger's own bookkeeping: what it must never do, and what of a store's doings it takes in."""

from __future__ import annotations

import pytest
from tests.properties.judging.story import Story, item, opened, scheduled, started

from holdfast.core.contract.provider import DEFAULT_ONLY
from holdfast.properties.judging.invariants.lost_leases import LostLeases
from holdfast.properties.judging.invariants.obligations import Obligation
from holdfast.properties.judging.invariants.waiting_items import WaitingItems
from holdfast.properties.judging.ledger.items import Item
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.timing import Timings
from holdfast.properties.judging.verdict import Unknown

# --- what our own bookkeeping must never do -----------------------------------------------------------------

WORK = item(3)


def carried() -> tuple[Ledger, Item]:
    """A ledger in which one item waits on one open session."""
    story = Story().ack(started(), opened(2), scheduled(3), items=[WORK], opens=["s"])
    ledger = story.suite.ledger
    return ledger, next(iter(ledger.queue))


def test_an_item_leaves_the_queue_once() -> None:
    ledger, item = carried()
    ledger.remove(item, "ack_work_item")
    with pytest.raises(AssertionError, match=r"i/1/3 on s was taken out by commit 1 \(ack_work_item\)"):
        ledger.remove(item, "management.delete_instance")


def test_an_item_that_has_left_is_not_given_back() -> None:
    ledger, item = carried()
    ledger.remove(item, "ack_work_item")
    with pytest.raises(AssertionError, match=r"item 1: i/1/3 on s is given back after commit 1"):
        ledger.queue.give_back(item, 0, charged=True)


def test_an_incarnation_ends_once() -> None:
    ledger, _ = carried()
    incarnation = ledger.instances["i"].open["s"]
    incarnation.end(5, closed=True)
    with pytest.raises(AssertionError, match="incarnation 1 of i/s ended at commit 5, and again at 6"):
        incarnation.end(6)


def test_what_is_over_was_in_flight_on_its_worker() -> None:
    story = Story().ack(started(), opened(2), scheduled(3), items=[WORK], opens=["s"])
    story.deliver("a", WORK)
    story.suite.ledger.worker("a", 1).attempts.clear()
    with pytest.raises(AssertionError, match=r"item 1 on a/1 \(a\) is over at commit 3, but .* None"):
        story.done("a", WORK)


def test_commits_are_taken_in_once_and_in_order() -> None:
    story = Story().fetch("a").fetch("a")
    story.position = 1
    with pytest.raises(AssertionError, match=r"commit 1 \(fetch_\w+\) is taken in after commit 1"):
        story.fetch("a")


def test_a_run_ends_once() -> None:
    story = Story().end()
    with pytest.raises(AssertionError, match="the run ended at 0 µs, and again at 0"):
        story.end()


@pytest.mark.parametrize(
    ("from_us", "bound_us", "unreachable_us", "told"),
    [
        (11, 5, 5, "an obligation of a since 10 counts faults only from 11"),
        (10, 5, 4, "an obligation of a is due after 5, and with the store out of reach after 4"),
    ],
)
def test_an_obligation_looks_back_and_leaves_time(
    from_us: int, bound_us: int, unreachable_us: int, told: str
) -> None:
    with pytest.raises(AssertionError, match=told):
        Obligation("a", from_us, 10, bound_us, unreachable_us)


# --- what a store can do, and the ledger takes in -----------------------------------------------------------


@pytest.mark.parametrize("half", [("a", None), (None, 60_000)])
def test_inv_02_a_row_with_half_a_lock_is_a_violation_and_no_failure(
    half: tuple[str | None, int | None],
) -> None:
    """Every rule looks at such a row; none of the monitors fails of it."""
    story = Story().ack(started(), opened(2), scheduled(3), items=[WORK], opens=["s"])
    story.deliver("a", WORK, row=half).renew_item("a", WORK).at(1).fetch("b").end()
    assert "INV-02" in story.violated()
    failed = [one for one in story.suite.verdicts if isinstance(one, Unknown) and "failed" in one.reason]
    assert not failed


def test_a_fetch_answered_with_something_else_leaves_the_ledger_unsure() -> None:
    story = Story("INV-04", "INV-19")
    story.commit("fetch_work_item", "an item", lock_timeout=1, poll_timeout=0, tag_filter=DEFAULT_ONLY).end()
    for verdict in story.suite.verdicts:
        assert isinstance(verdict, Unknown) and "was answered with 'an item'" in verdict.reason


@pytest.mark.parametrize("shared", [LostLeases, WaitingItems])
def test_what_rules_share_is_no_rule(shared: type) -> None:
    with pytest.raises(TypeError, match="abstract"):
        shared(Ledger(object()), Timings(None, {}))

"""Happens-before: what can have influenced what."""

from __future__ import annotations

from collections.abc import Sequence

import networkx
import pytest

from holdfast.traces.order import causal_past, happens_before
from holdfast.traces.steps import StepRecord


def numbered(*members: dict[str, object]) -> Sequence[StepRecord]:
    """Commits by default; each dict overrides."""
    return [
        StepRecord(
            **{  # type: ignore[arg-type]
                "n": n,
                "t_us": 0,
                "kind": "commit",
                "boot": 1,
                "operation": "ack_work_item",
                "outcome": "answered",
                **given,
            }
        )
        for n, given in enumerate(members)
    ]


def test_program_order_of_a_process_and_nothing_between_strangers() -> None:
    steps = numbered(
        {"process": "a", "rows": ("instance i",)},
        {"process": "b", "rows": ("instance j",)},
        {"process": "a", "rows": ("instance k",)},
    )
    assert causal_past(steps, 2) == {0, 2}


def test_commits_on_the_same_row_are_ordered_and_reads_commute() -> None:
    steps = numbered(
        {"process": "a", "rows": ("session i/s",)},
        {"process": "b", "operation": "read", "rows": ("session i/s",)},
        {"process": "c", "operation": "read", "rows": ("session i/s",)},
        {"process": "d", "rows": ("session i/s",)},
    )
    assert causal_past(steps, 2) == {0, 2}
    assert causal_past(steps, 3) == {0, 1, 2, 3}


@pytest.mark.parametrize("given", [{"outcome": "refused"}, {"outcome": "unsent"}, {"error": "permanent"}])
def test_what_changed_nothing_influences_nobody(given: dict[str, object]) -> None:
    steps = numbered(
        {"process": "a", "operation": "renew_session_lock", "rows": ("session i/s",), **given},
        {"process": "b", "operation": "read", "rows": ("session i/s",)},
    )
    assert causal_past(steps, 1) == {1}


def test_a_token_comes_after_the_fetch_that_issued_it() -> None:
    steps = numbered(
        {"process": "a", "operation": "fetch_work_item", "issued": "L1"},
        {"process": "b", "arguments": {"token": "L1"}},
    )
    assert causal_past(steps, 1) == {0, 1}


def test_a_reboot_comes_after_the_crash_and_knows_nothing_else_of_the_boot_before() -> None:
    steps = numbered(
        {"process": "a", "rows": ("instance i",)},
        {"process": "a", "kind": "fault", "operation": "crash", "outcome": None},
        {"process": "a", "kind": "boot", "operation": "boot", "outcome": None, "boot": 2},
        {"process": "a", "boot": 2},
    )
    assert causal_past(steps, 3) == {0, 1, 2, 3}


def test_a_jump_of_the_stores_clock_reaches_every_later_commit() -> None:
    steps = numbered(
        {"process": "a"},
        {"process": None, "kind": "fault", "operation": "provider_clock", "outcome": None, "boot": 0},
        {"process": "b"},
    )
    assert causal_past(steps, 2) == {1, 2}


def test_the_order_has_no_cycles_and_leads_forward() -> None:
    steps = numbered(*({"process": "ab"[n % 2], "rows": ("instance i",)} for n in range(20)))
    graph = happens_before(steps)
    assert networkx.is_directed_acyclic_graph(graph)
    assert all(earlier < later for earlier, later in graph.edges)


def test_a_place_outside_the_run_is_refused() -> None:
    with pytest.raises(ValueError, match="no step 5"):
        causal_past(numbered({"process": "a"}), 5)

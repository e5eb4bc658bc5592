"""The words of coverage, case by case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from holdfast.reports.coverage import Coverage, Spec, coverage, decode_coverage, encode_coverage
from holdfast.reports.evidence import (
    EVERY_PROVIDER,
    SCENARIO_RULE,
    Breach,
    CheckEvidence,
    ScenarioInfo,
    ScheduleResult,
    Tally,
)
from holdfast.reports.kills import Kill, RowKill
from holdfast.reports.words import strongest, verdict, weakest

CRASHES = ScenarioInfo(
    name="owner_crashes",
    title="The owner crashes and another worker takes over.",
    covers=("5.1",),
    workers=2,
    faults={"crash": 1},
    situations=("session.taken_over",),
    level="multi-runtime",
)


def a_run(provider: str = "memory", **members: Any) -> ScheduleResult:
    """A run of `owner_crashes` that is evidence for row 5.1, but for the members given."""
    evident = {
        "scenario": "owner_crashes",
        "provider": provider,
        "schedule": 0,
        "fingerprint": "f0",
        "situations": ("session.taken_over",),
        "asserted": ("5.1",),
        "held": ("INV-03",),
    }
    return ScheduleResult(**{**evident, **members})


Judge = Callable[..., Coverage]


@pytest.fixture
def judge(spec: Spec) -> Judge:
    """Coverage of the runs, checks and kills given, on the memory provider unless said otherwise."""

    def made(*happenings: object, providers: tuple[str, ...] = ("memory",), known: bool = True) -> Coverage:
        tally = Tally("code", providers)
        kills: list[Kill] = []
        if known:
            tally.know(CRASHES)
        for happening in happenings:
            match happening:
                case ScheduleResult():
                    tally.add(happening)
                case CheckEvidence():
                    tally.check(happening)
                case Kill():
                    kills.append(happening)
                case ScenarioInfo():
                    tally.know(happening)
        return coverage(replace(tally.evidence(), kills=tuple(kills)), spec)

    return made


def kill(rule: str | None = "INV-03", row: str = "5.1", **members: Any) -> Kill:
    """A defect that makes row 5.1 fail, but for what is given."""
    caught = {
        "defect": "claim_without_winning",
        "provider": "memory",
        "scenario": "owner_crashes",
        "meant": "INV-03",
        "caught_by": rule,
        "rows": {row: None if rule is None else RowKill(rule=rule, where="owner_crashes", schedules=9)},
        "fingerprint": "code",
    }
    return Kill(**{**caught, **members})


@pytest.mark.parametrize(
    ("happenings", "status", "why"),
    [
        ([], "missing", "owner_crashes covers it but has not run"),
        ([a_run()], "exercised", "no planted defect has been hunted"),
        ([a_run(asserted=())], "unreached", "its oracle was never asserted in 1 schedules"),
        ([a_run(situations=())], "unreached", "session.taken_over never occurred in 1 schedules"),
        (
            [a_run(situations=()), a_run(asserted=(), fingerprint="f1")],
            "unreached",
            "its oracle and session.taken_over never occurred together in 2 schedules",
        ),
        ([a_run(cut_off="9 steps")], "unknown", "all 1 runs of owner_crashes were cut off (9 steps)"),
        ([a_run(error="boom")], "unknown", "owner_crashes failed outside every rule: boom"),
        ([a_run(cut_off="9 steps"), a_run(fingerprint="f1")], "exercised", "no planted defect"),
        ([a_run(breaches=(Breach(rule="5.1", message="no", schedule=3),))], "violated", "owner_crashes: no"),
        ([a_run(breaches=(Breach(rule="INV-03", message="no", schedule=3),))], "violated", "owner_crashes"),
        (
            [a_run(breaches=(Breach(rule=SCENARIO_RULE, message="no", schedule=3),))],
            "violated",
            "owner_crashes",
        ),
        (
            [a_run(cut_off="9 steps", breaches=(Breach(rule="5.1", message="no", schedule=3),))],
            "violated",
            "owner_crashes",
        ),
        ([a_run(breaches=(Breach(rule="INV-07", message="not its rule", schedule=3),))], "exercised", ""),
        ([a_run(), kill()], "verified", ""),
        ([a_run(), kill("5.1")], "verified", ""),
        ([a_run(), kill("INV-99")], "exercised", "it held under claim_without_winning"),
        ([a_run(), kill(fingerprint="older code")], "exercised", "made with other code"),
        ([a_run(), kill(None)], "exercised", "it held under claim_without_winning"),
        ([a_run(), kill(row="5.2")], "exercised", "no planted defect is aimed at it"),
        ([a_run(), kill(provider="sqlite")], "exercised", "no planted defect was hunted on this provider"),
        ([a_run(situations=()), kill()], "unreached", "session.taken_over"),
    ],
)
def test_the_word_of_a_row(judge: Judge, happenings: list[object], status: str, why: str) -> None:
    row = judge(*happenings).rows[0]
    assert row.id == "5.1"
    assert row.status == status
    assert why in row.why
    assert bool(row.why) == (status != "verified")


def test_a_row_without_any_check_is_shown_as_missing(judge: Judge) -> None:
    row = judge(a_run()).rows[2]
    assert (row.id, row.status) == ("7.1", "missing")
    assert row.why == "no scenario or conformance check covers it"


def test_the_weakest_provider_decides_and_is_named(judge: Judge) -> None:
    row = judge(a_run("memory"), a_run("sqlite", situations=()), providers=("memory", "sqlite")).rows[0]
    assert row.status == "unreached"
    assert row.providers["memory"].status == "exercised"
    assert row.why.endswith("(sqlite)")
    assert row.schedules == 0
    assert row.situations == {"session.taken_over": 0}


def test_only_distinct_schedules_count(judge: Judge) -> None:
    runs = [a_run(schedule=number, fingerprint=f"f{number % 3}") for number in range(9)]
    made = judge(*runs)
    assert made.rows[0].schedules == 3
    assert made.rows[0].checks[0].providers == {"memory": "3 distinct of 9 runs"}
    assert made.summary.providers["memory"].schedules == 3
    assert made.summary.providers["memory"].runs == 9


@pytest.mark.parametrize(
    ("outcome", "status"), [("held", "exercised"), ("failed", "violated"), ("skipped", "unknown")]
)
def test_a_conformance_check_counts_for_the_row_it_names(judge: Judge, outcome: Any, status: str) -> None:
    made = judge(CheckEvidence(id="PVC-1", provider="memory", outcome=outcome, reason="because"))
    assert made.rows[1].status == status
    assert bool(made.summary.violations) == (outcome == "failed")
    assert made.clauses[1].status == status


def test_what_only_should_hold_is_no_violation(judge: Judge) -> None:
    made = judge(CheckEvidence(id="PVC-2", provider="memory", outcome="failed"))
    assert not made.summary.violations
    assert made.clauses[1].status == "unknown"


def test_a_unit_scenario_counts_for_every_provider(judge: Judge) -> None:
    unit = ScenarioInfo(name="validates", title="", covers=("7.1",), workers=0, level="unit")
    run = ScheduleResult(
        scenario="validates", provider=EVERY_PROVIDER, schedule=0, fingerprint="", asserted=("7.1",)
    )
    made = judge(unit, run, providers=("memory", "sqlite"))
    assert made.rows[2].status == "exercised"
    assert made.rows[2].schedules == 1


@pytest.mark.parametrize(
    ("happenings", "status"),
    [
        ([], "missing"),
        ([a_run()], "exercised"),
        ([a_run(asserted=())], "unreached"),
        ([a_run(situations=())], "unreached"),
        ([a_run(held=(), unknown=("INV-03",))], "unknown"),
        ([a_run(held=())], "missing"),
        ([a_run(breaches=(Breach(rule="INV-03", message="no", schedule=3),))], "violated"),
        ([a_run(), kill()], "verified"),
        ([a_run(), kill("5.1")], "exercised"),
    ],
)
def test_the_word_of_an_invariant(judge: Judge, happenings: list[object], status: str) -> None:
    """Holding where nothing interesting happened is no evidence."""
    (invariant,) = judge(*happenings).invariants
    assert invariant.status == status


def test_a_clause_has_the_best_word_of_what_cites_it_unless_that_is_broken(judge: Judge) -> None:
    assert judge(a_run()).clauses[0].status == "exercised"
    assert judge(a_run(), kill()).clauses[0].status == "verified"
    broken = CheckEvidence(id="PVC-1", provider="memory", outcome="failed")
    assert judge(a_run(), broken).clauses[0].status == "violated"


def test_the_shape_of_the_file(judge: Judge) -> None:
    """Design, section 4: these names are relied on from outside."""
    content = msgspec.json.decode(encode_coverage(judge(a_run(), kill())))
    assert list(content) == ["rows", "clauses", "invariants", "summary"]
    assert {"id", "title", "status", "providers", "schedules", "situations", "defects", "checks"} <= content[
        "rows"
    ][0].keys()
    assert content["rows"][0]["defects"][0]["counts"] is True
    assert [section["title"] for section in content["summary"]["sections"]] == ["Migration", "Nothing yet"]
    assert content["summary"]["sections"][1]["rows"]["missing"] == 1


def test_the_file_is_read_again(judge: Judge) -> None:
    made = judge(a_run(), kill())
    assert encode_coverage(decode_coverage(encode_coverage(made))) == encode_coverage(made)
    with pytest.raises(ValueError, match=r"not a coverage\.json"):
        decode_coverage(b"{}")


def test_verdicts_never_say_just_passed() -> None:
    """Design idea 10."""
    assert verdict(violations=0, schedules=300) == "not found (300 schedules, residual risk 1 %)"
    assert verdict(violations=0, schedules=1, unknown=2) == (
        "not found (1 schedule, residual risk 100 %, 2 runs unknown)"
    )
    assert verdict(violations=0, schedules=0) == "unknown (no schedule counts)"
    assert verdict(violations=1, schedules=300) == "violated (1 rule)"


def test_how_words_combine() -> None:
    assert weakest(["verified", "missing"]) == "missing"
    assert weakest(["missing", "violated"]) == "violated"
    assert weakest([]) == "missing"
    assert strongest(["missing", "verified", "unknown"]) == "verified"
    assert strongest(["verified", "violated"]) == "violated"

"""Evidence adds up to the same in any order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.reports.evidence import (
    Breach,
    CheckEvidence,
    Evidence,
    ScheduleResult,
    Tally,
    merged,
)
from holdfast.reports.evidence_file import decode_evidence, encode_evidence

names = st.lists(st.sampled_from("abc"), max_size=3).map(tuple)
breaches = st.builds(
    Breach,
    rule=st.sampled_from(["INV-03", "5.1"]),
    message=st.sampled_from(["one", "two"]),
    schedule=st.integers(0, 5),
    trace=st.none() | st.just("t"),
)
results = st.builds(
    ScheduleResult,
    scenario=st.sampled_from(["s1", "s2"]),
    provider=st.sampled_from(["memory", "sqlite"]),
    schedule=st.integers(0, 20),
    fingerprint=st.sampled_from(["f1", "f2", "f3"]),
    situations=names,
    asserted=names,
    held=names,
    unknown=names,
    breaches=st.lists(breaches, max_size=2).map(tuple),
    faults=st.dictionaries(st.sampled_from(["crash", "stall"]), st.integers(1, 3)),
    steps=st.integers(0, 9),
    virtual_us=st.integers(0, 9),
    cut_off=st.none() | st.sampled_from(["steps", "time"]),
    error=st.none() | st.sampled_from(["boom", "bang"]),
)
checks = st.builds(
    CheckEvidence,
    id=st.sampled_from(["PVC-1", "PVC-2"]),
    provider=st.just("memory"),
    outcome=st.sampled_from(["held", "failed", "skipped"]),
    reason=st.sampled_from(["", "x"]),
)
happenings = st.lists(results | checks, max_size=8)


def tallied(*parts: ScheduleResult | CheckEvidence) -> Evidence:
    tally = Tally("code", ["sqlite", "memory"])
    for part in parts:
        match part:
            case ScheduleResult():
                tally.add(part)
            case CheckEvidence():
                tally.check(part)
    return tally.evidence()


@given(happenings, st.randoms(use_true_random=False), st.integers(0, 8))
def test_evidence_is_the_same_however_it_was_dealt_out(
    made: list[ScheduleResult | CheckEvidence], random: object, cut: int
) -> None:
    """Done when 3: the same for every --jobs."""
    shuffled = list(made)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    whole = encode_evidence(tallied(*made))
    assert encode_evidence(tallied(*shuffled)) == whole
    one, other = tallied(*shuffled[:cut]), tallied(*shuffled[cut:])
    assert encode_evidence(merged(one, other)) == whole
    assert encode_evidence(merged(other, one)) == whole


@given(happenings)
def test_evidence_is_read_again(made: list[ScheduleResult | CheckEvidence]) -> None:
    evidence = tallied(*made)
    assert decode_evidence(encode_evidence(evidence)) == evidence


def test_runs_with_the_same_commits_are_one_schedule_and_a_doubt_stays() -> None:
    run = ScheduleResult(scenario="s", provider="memory", schedule=0, fingerprint="f", held=("INV-03",))
    doubtful = ScheduleResult(
        scenario="s", provider="memory", schedule=1, fingerprint="f", unknown=("INV-03",)
    )
    (summed,) = tallied(run, doubtful).runs
    assert summed.run_count == 2
    assert len(summed.schedules) == 1
    assert summed.held() == {}
    assert summed.unknown() == {"INV-03": 1}


def test_the_earliest_breach_of_a_rule_is_kept_and_all_are_counted() -> None:
    runs = [
        ScheduleResult(
            scenario="s",
            provider="memory",
            schedule=number,
            fingerprint=f"f{number}",
            breaches=(Breach(rule="INV-03", message=f"in {number}", schedule=number),),
        )
        for number in (7, 3, 5)
    ]
    (summed,) = tallied(*runs).runs
    assert [breach.schedule for breach in summed.breaches] == [3]
    assert summed.broken == {"INV-03": 3}


def test_evidence_of_different_code_is_not_merged() -> None:
    with pytest.raises(ValueError, match="different code"):
        merged(Evidence(fingerprint="a"), Evidence(fingerprint="b"))
    with pytest.raises(ValueError, match="no evidence"):
        merged()
    with pytest.raises(ValueError, match="not the evidence"):
        decode_evidence(b"[]")

"""The ratchet: what counts as lost, and its file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.reports.ratchet import RatchetEntry, decode_state, encode_state, lost
from holdfast.reports.words import STATUSES

BEFORE = RatchetEntry(
    providers={"memory": "verified", "sqlite": "exercised"},
    checks=("owner_crashes",),
    situations=("session.migrated",),
    defects=("claims_of_taken_sessions",),
)

names = st.lists(st.sampled_from(["a", "b", "c"]), unique=True).map(lambda found: tuple(sorted(found)))
states = st.dictionaries(
    st.sampled_from(["1.1", "1.2", "INV-01"]),
    st.builds(
        RatchetEntry,
        providers=st.dictionaries(st.sampled_from(["memory", "sqlite"]), st.sampled_from(STATUSES)),
        checks=names,
        situations=names,
        defects=names,
    ),
)


@pytest.mark.parametrize(
    ("after", "says"),
    [
        (
            {"providers": {"memory": "exercised", "sqlite": "exercised"}},
            "5.1 was verified on memory and is exercised",
        ),
        (
            {"providers": {"memory": "violated", "sqlite": "exercised"}},
            "5.1 was verified on memory and is violated",
        ),
        ({"checks": ()}, "5.1 has lost the check owner_crashes"),
        ({"situations": ()}, "5.1 has lost the situation session.migrated"),
        ({"defects": ()}, "5.1 has lost the killed defect claims_of_taken_sessions"),
    ],
)
def test_less_evidence_is_named(after: dict[str, object], says: str) -> None:
    now = {
        "providers": BEFORE.providers,
        "checks": BEFORE.checks,
        "situations": BEFORE.situations,
        "defects": BEFORE.defects,
        **after,
    }
    assert lost({"5.1": BEFORE}, {"5.1": RatchetEntry(**now)}) == [says]  # type: ignore[arg-type]


def test_more_evidence_and_a_provider_that_was_not_checked_are_no_loss() -> None:
    more = RatchetEntry(
        providers={"memory": "verified"},
        checks=("another", "owner_crashes"),
        situations=("session.lost", "session.migrated"),
        defects=("another", "claims_of_taken_sessions"),
    )
    assert lost({"5.1": BEFORE}, {"5.1": more, "5.2": BEFORE}) == []
    assert lost({"5.1": BEFORE}, {}) == ["5.1 is gone from the specification"]


@given(states)
def test_a_state_is_read_again_and_has_lost_nothing_to_itself(state: dict[str, RatchetEntry]) -> None:
    assert decode_state(encode_state(state)) == state
    assert lost(state, state) == []


def test_what_is_no_state_is_refused() -> None:
    with pytest.raises(ValueError, match="not a recorded state"):
        decode_state(b"[1]")

"""The text of a tape."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.contract.errors import ConfigurationError
from holdfast.traces.choice import Tape
from holdfast.traces.text import tape_from_text, tape_to_text

_ANSWERS = st.lists(st.integers(0, 9_999_999), max_size=40)


@given(st.builds(Tape, _ANSWERS, _ANSWERS, _ANSWERS))
def test_a_tape_survives_its_text(tape: Tape) -> None:
    text = tape_to_text(tape)
    assert tape_from_text(text) == tape.trimmed()
    assert all(sign.isalnum() or sign in "/=," for sign in text), "a shell takes it without quotes"


def test_the_plain_run_is_the_version_alone() -> None:
    assert tape_to_text(Tape([0, 0], [0])) == "1"
    assert tape_to_text(Tape([0, 2], [], [1])) == "1/s1=2/d0=1"


@pytest.mark.parametrize("text", ["", "2/s1=1", "1/", "1/x1=1", "1/s", "1/s1", "1/s5=1,2=1", "1/s9999999=1"])
def test_what_is_no_tape_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="tape text"):
        tape_from_text(text)

"""The pytest plugin: replays the tape in `HOLDFAST_TAPE` in the tests made by `holdfast.testing.simulated`.

pytest loads it in every run wherever Holdfast is installed, so it imports nothing else of Holdfast until a
tape is given. Tests are written with `holdfast.testing`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from holdfast.traces.choice import Tape

VARIABLE: Final = "HOLDFAST_TAPE"
"""Environment variable with the text of a tape (`holdfast.traces.text`)."""


def tape_given() -> Tape | None:
    """The tape to replay, None to explore. Raises ConfigurationError for a text that is not a tape."""
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    from holdfast.traces.text import tape_from_text

    return tape_from_text(text)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a damaged tape before any test runs."""
    if not os.environ.get(VARIABLE):
        return
    from holdfast.core.contract.errors import ConfigurationError

    try:
        tape_given()
    except ConfigurationError as error:
        raise pytest.UsageError(f"{VARIABLE}: {error}") from error


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say that simulated tests replay."""
    text = os.environ.get(VARIABLE)
    return f"holdfast: replaying {text}" if text else None

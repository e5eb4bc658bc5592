"""What exceptions of an author's code become when they are stored (RT-4.71, RT-6.9)."""

from __future__ import annotations

import pytest

from holdfast.core.contract.failures import error_text


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no luck"), "no luck"),
        (ValueError(), "ValueError"),
        (Mute(), "Mute"),
        (ValueError("half \ud83d"), "half ?"),
    ],
)
def test_the_text_of_any_exception_can_be_stored(error: Exception, text: str) -> None:
    assert error_text(error) == text
    error_text(error).encode()

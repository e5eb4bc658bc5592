"""What exceptions and values of an author's code are shown as (RT-4.71, RT-6.9)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from holdfast.core.contract.errors import ActivityError
from holdfast.core.contract.user_texts import (
    ERROR_CHARS_MAX,
    error_text,
    is_interrupt,
    shown,
    traceback_text,
)


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Quitter(Exception):
    """Ends the process when it is asked what it is."""

    def __str__(self) -> str:
        raise SystemExit(3)


NOT_TEXT: Any = 5


class NoText(Exception):
    """Its text is none."""

    def __str__(self) -> str:
        return NOT_TEXT


class Deep(Exception):
    """Its text never ends."""

    def __str__(self) -> str:
        return str(self)


class TwoFaced(Exception):
    """Its class says that it is something else, and will not say what."""

    @property
    def __class__(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no class")


class Nameless(type):
    """A class of classes that have no name."""

    @property
    def __name__(cls) -> NoReturn:
        raise RuntimeError("no name")

    def __getattribute__(cls, name: str) -> NoReturn:
        raise RuntimeError(f"no {name}")


class Anonymous(Exception, metaclass=Nameless):
    """Has a name all the same."""


class Words(str):
    """A text with ways of its own."""

    def encode(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError("no bytes")

    def replace(self, *args: Any) -> NoReturn:
        raise RuntimeError("no replacement")


class Wordy(Exception):
    """Its text is of a class of its own."""

    def __str__(self) -> str:
        return Words("many")


class OwnError(ActivityError):
    """An application's own activity error."""


GROUP = ExceptionGroup("several", [ValueError("a"), ExceptionGroup("more", [KeyError("k"), Mute()])])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ValueError("no luck"), "ValueError: no luck"),
        (ValueError, "ValueError"),
        (lambda: KeyError("k"), "KeyError: 'k'"),
        (lambda: SystemExit(3), "SystemExit: 3"),
        (lambda: StopIteration("v"), "StopIteration: v"),
        (asyncio.CancelledError, "CancelledError"),
        (Mute, "Mute"),
        (Quitter, "Quitter"),
        (NoText, "NoText"),
        (Deep, "Deep"),
        (lambda: TwoFaced("x"), "TwoFaced: x"),
        (lambda: Anonymous("x"), "Anonymous: x"),
        (Wordy, "Wordy: many"),
        (lambda: ActivityError("declined"), "declined"),
        (lambda: OwnError("declined"), "declined"),
        (OwnError, "OwnError"),
        (lambda: ValueError("half \ud83d"), "ValueError: half ?"),
        (lambda: FileNotFoundError("caf\udce9.txt"), "FileNotFoundError: caf?.txt"),
        (lambda: ValueError("cut\0off"), "ValueError: cut?off"),
        (lambda: GROUP, "ExceptionGroup: several (2 sub-exceptions): ValueError: a; KeyError: 'k'; Mute"),
    ],
)
def test_rt_6_9_every_exception_has_a_text_that_names_its_class_and_can_be_stored(
    make: Callable[[], BaseException], text: str
) -> None:
    """RT-6.9, RT-4.71."""
    error = make()
    assert error_text(error) == text
    error_text(error).encode()
    assert traceback_text(error)


def test_an_enormous_text_is_cut_and_says_so() -> None:
    text = error_text(ValueError("x" * 5_000_000))
    assert len(text) < ERROR_CHARS_MAX + 40
    assert text.endswith("… (5000012 characters)")


def test_a_group_names_ten_of_its_exceptions_and_counts_the_others() -> None:
    text = error_text(ExceptionGroup("many", [ValueError(str(number)) for number in range(30)]))
    assert text.endswith("ValueError: 9; and 20 more")


def test_an_uncaught_failure_of_an_operation_says_which() -> None:
    error = ActivityError("ValueError: no funds")
    error.source = "Activity 'Charge' call"
    assert str(error) == "ValueError: no funds"
    assert error_text(error) == "Activity 'Charge' call failed: ValueError: no funds"


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_the_traceback_leads_to_the_line_that_raised() -> None:
    text = traceback_text(raised(ValueError("here")))
    assert "raise error" in text
    assert text.rstrip().endswith("ValueError: here")
    assert "no words" not in traceback_text(raised(Mute()))
    assert "in raised" in traceback_text(raised(Anonymous("x"))), "also of a class without a name"


def test_only_an_interrupt_that_no_statement_raised_is_one() -> None:
    """What the code raises itself is a failure of the code, whatever its class."""
    assert not is_interrupt(raised(KeyboardInterrupt()))
    assert not is_interrupt(raised(SystemExit()))
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        while True:
            signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt as error:
        assert is_interrupt(error)
    finally:
        signal.signal(signal.SIGINT, previous)


def test_values_are_named_alike_in_every_process() -> None:
    """No addresses, no order of sets, no end of lines, however the value shows itself."""

    class Rude:
        def __repr__(self) -> str:
            raise ValueError("no")

    assert shown(object()) == "<object object>"
    assert shown({"b", "a"}) == "a set"
    assert shown(Rude()) == "an instance of Rude without a text"
    assert shown("x\ud800") == "'x\\ud800'"
    assert len(shown("x" * 1000)) == 200

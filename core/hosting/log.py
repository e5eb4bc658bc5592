"""Structured records: how the runtime writes them, and an observer that passes them to a logging sink."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from holdfast.core.contract.observe import LocalEvent, Logged, LogLevel, Observer

LEVELS: Final[Mapping[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
"""The levels with the numbers that the standard `logging` module has for them."""

FAILED_ASSERTION: Final = "a failed assertion of the durable runtime"
"""The event name of its record, and the message for the loop's exception handler."""

Sink = Callable[[int, str, Mapping[str, object]], None]
"""Takes a numeric level, an event name and its fields; for instance a `logging.Logger` behind a lambda."""


class Log:
    """Writes records with some constant fields to the observation port; builds none if nobody listens."""

    __slots__ = ("_fields", "_observer")

    def __init__(self, observer: Observer | None, **fields: object) -> None:
        self._observer = observer
        self._fields = fields

    @property
    def heard(self) -> bool:
        """Whether anybody listens; asked before costly fields are built."""
        return self._observer is not None

    def debug(self, event: str, **fields: object) -> None:
        """Details for finding a fault."""
        self._write(event, "debug", fields)

    def info(self, event: str, **fields: object) -> None:
        """What normally happens."""
        self._write(event, "info", fields)

    def warning(self, event: str, **fields: object) -> None:
        """What an operator should look at."""
        self._write(event, "warning", fields)

    def error(self, event: str, **fields: object) -> None:
        """What somebody must act on."""
        self._write(event, "error", fields)

    def failed_assertion(self, error: AssertionError, **fields: object) -> None:
        """Log a failed assertion of our own code; whoever caught it carries on.

        The loop's exception handler is told too: it shows the traceback, and there may be no observer.
        """
        self.error(FAILED_ASSERTION, **fields, error=str(error))
        asyncio.get_running_loop().call_exception_handler({"message": FAILED_ASSERTION, "exception": error})

    def write(self, record: Logged) -> None:
        if self._observer is not None:
            self._observer.notify(record)

    def _write(self, event: str, level: LogLevel, fields: dict[str, object]) -> None:
        if self._observer is not None:
            twice = self._fields.keys() & fields.keys()
            assert not twice, f"{event!r} is told with two values of {sorted(twice)}"
            self._observer.notify(Logged(event, level, self._fields | fields))


class StructuredLog:
    """An observer that passes records from a level upwards to a sink, and ignores all other events."""

    def __init__(self, sink: Sink, *, level: LogLevel = "info") -> None:
        self._sink = sink
        self._threshold = LEVELS[level]

    def notify(self, event: LocalEvent) -> None:
        """Hand a record on; a sink that fails must not disturb the runtime (RT-23.12)."""
        if not isinstance(event, Logged) or LEVELS[event.level] < self._threshold:
            return
        try:
            self._sink(LEVELS[event.level], event.event, event.fields)
        except Exception:
            return


class Tee:
    """One observer made of several, told in order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def notify(self, event: LocalEvent) -> None:
        for observer in self._observers:
            observer.notify(event)


def tee(*observers: Observer | None) -> Observer | None:
    """The given observers as one, or None if there are none."""
    present = [observer for observer in observers if observer is not None]
    if len(present) < 2:
        return present[0] if present else None
    return Tee(*present)

"""Structured records: how the runtime writes them, and an observer that passes them to a logging sink."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from holdfast.core.contract.observe import LocalEvent, Logged, LogLevel, Observer
from holdfast.core.contract.user_texts import error_text, traceback_text
from holdfast.core.hosting.standard_logging import LEVELS, TRACEBACK, USER_TRACE, logger_of, send

FAILED_ASSERTION: Final = "a failed assertion of the durable runtime"
"""The event name of its record, and the message for the loop's exception handler."""

Sink = Callable[[int, str, Mapping[str, object]], None]
"""Takes a numeric level, an event name and its fields; for instance a `logging.Logger` behind a lambda."""


class Log:
    """Writes records with some constant fields to `logging` and to the observation port.

    `target` is where they come from (RT-23.1); their logger is `holdfast.<target>`. An observer that takes
    the records gets them alone (`Observer`).
    """

    __slots__ = ("_fields", "_logger", "_observer")

    def __init__(self, observer: Observer | None, target: str = "runtime", **fields: object) -> None:
        self._observer = observer
        self._fields = fields
        self._logger = None if takes_records(observer) else logger_of(target)

    def hears(self, level: LogLevel) -> bool:
        """Whether anybody listens at that level; asked before costly fields are built."""
        if self._observer is not None:
            return True
        return self._logger is not None and self._logger.isEnabledFor(LEVELS[level])

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

        The loop's exception handler is told too: an embedding program may have its own.
        """
        self._write(FAILED_ASSERTION, "error", {**fields, "error": str(error)}, error)
        asyncio.get_running_loop().call_exception_handler({"message": FAILED_ASSERTION, "exception": error})

    def failure(self, event: str, error: BaseException, level: LogLevel = "error", **fields: object) -> None:
        """A record about an exception, with its traceback."""
        if self.hears(level):
            said = {"error": error_text(error), TRACEBACK: traceback_text(error)}
            self._write(event, level, fields | said, error)

    def write(self, record: Logged) -> None:
        """One that the engine has made; a trace of an orchestration has a target of its own (RT-23.1)."""
        assert record.event, f"a record without an event: {record}"
        if self._observer is not None:
            self._observer.notify(record)
        if self._logger is not None:
            send(logger_of("orchestration") if record.event == USER_TRACE else self._logger, record)

    def _write(
        self, event: str, level: LogLevel, fields: dict[str, object], exception: BaseException | None = None
    ) -> None:
        if not self.hears(level):
            return
        twice = self._fields.keys() & fields.keys()
        assert not twice, f"{event!r} is told with two values of {sorted(twice)}"
        self.write(Logged(event, level, self._fields | fields, exception))


def takes_records(observer: Observer | None) -> bool:
    """Whether it gets the log records instead of `logging`: they are part of what it records, or shows."""
    return bool(getattr(observer, "takes_records", False))


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
        self.takes_records = any(takes_records(observer) for observer in observers)

    def notify(self, event: LocalEvent) -> None:
        for observer in self._observers:
            observer.notify(event)


def tee(*observers: Observer | None) -> Observer | None:
    """The given observers as one, or None if there are none."""
    present = [observer for observer in observers if observer is not None]
    if len(present) < 2:
        return present[0] if present else None
    return Tee(*present)

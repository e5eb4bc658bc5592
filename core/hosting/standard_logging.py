"""The `logging` module as the place where records go: names, texts, and a set-up for programs without one.

The targets of RT-23.1 are loggers: `duroxide::runtime::worker` is `holdfast.runtime.worker`. Their levels and
handlers belong to the program. One that has configured none gets the default filter of RT-23.2 and a handler
on the logger `holdfast`, never on the root logger.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Final

from holdfast.core.contract.observe import Logged
from holdfast.core.contract.user_texts import is_interrupt, traceback_of
from holdfast.core.hosting.options import LOG_LEVELS, ObservabilityOptions

ROOT: Final = "holdfast"
USER_TRACE: Final = "orchestration.trace"
ACTIVITY_TRACE: Final = "activity.trace"
"""The events of what an author's code has written itself; what it says is the field `message`."""

TRACEBACK: Final = "traceback"
"""The field with the traceback of an author's code; formatters of `logging` put it below the line."""

ENVIRONMENT: Final = "HOLDFAST_LOG"
"""The environment variable of the filter that overrides levels: `debug`, or `info,runtime.worker=debug`."""

_USER_TARGETS: Final = ("orchestration", "activity")
_TARGETS: Final = frozenset(
    {*_USER_TARGETS, "runtime", "runtime.worker", "runtime.dispatchers.orchestration", "runtime.registry"}
)
"""Where the records of this runtime come from (RT-23.1); providers have `holdfast.providers.<name>`."""

LEVELS: Final[Mapping[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
"""The levels with the numbers that the standard `logging` module has for them."""


@cache
def logger_of(target: str) -> logging.Logger:
    """The logger of a target."""
    assert target in _TARGETS, f"{target!r} is no target of records, known are {sorted(_TARGETS)}"
    return logging.getLogger(f"{ROOT}.{target}")


class Text:
    """What a record says on one line: the event, then its fields. Made when it is asked for."""

    __slots__ = ("_event", "_fields")

    def __init__(self, event: str, fields: Mapping[str, object]) -> None:
        self._event = event
        self._fields = fields

    def __str__(self) -> str:
        fields = (f"{key}={_shown(value)}" for key, value in self._fields.items() if value not in (None, ""))
        return " ".join((_escaped(self._event), *fields))


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if text and text.isprintable() and not set(text) & set(" =\"'") else repr(text)


def _escaped(text: str) -> str:
    """Without what would begin another line, or be taken by a terminal for a command."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def send(logger: logging.Logger, record: Logged) -> None:
    """Hand a record to a logger; whatever its handlers do, the runtime goes on (RT-23.12).

    The log record has the message of `Text`, and `event` and `fields` as attributes for other formatters.
    """
    number = LEVELS[record.level]
    if not logger.isEnabledFor(number):
        return
    assert logger.name.startswith(f"{ROOT}."), f"{record.event!r} is sent to the logger {logger.name}"
    event, fields = record.event, dict(record.fields)
    if event in (USER_TRACE, ACTIVITY_TRACE):
        event = str(fields.pop("message"))
    below = fields.pop(TRACEBACK, None)
    error = record.exception
    raised = None if error is None else (type(error), error, traceback_of(error))
    try:
        extra = {"event": event, "fields": fields}
        made = logger.makeRecord(
            logger.name, number, __file__, 0, Text(event, fields), (), raised, extra=extra
        )
        made.exc_text = _safe(str(below)) if below else None
        logger.handle(made)
    except BaseException as failure:  # a handler may look at an exception that raises whatever it likes
        if is_interrupt(failure):
            raise


def _safe(text: str) -> str:
    """Several lines without control sequences."""
    return "\n".join(_escaped(line) for line in text.rstrip("\n").split("\n"))


def _below(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The traceback of a record, empty if it has none."""
    if record.exc_text:
        return record.exc_text
    return _safe(formatter.formatException(record.exc_info)) if record.exc_info else ""


class OwnHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error, until the program configures the root logger: then that is enough."""

    def __init__(self, options: ObservabilityOptions) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(_formatter(options))

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers:
            super().emit(record)


class JsonLines(logging.Formatter):
    """One JSON object a line, ASCII, whatever the fields hold."""

    def __init__(self, service: Mapping[str, str]) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        written: dict[str, object] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "target": record.name,
            "message": getattr(record, "event", None) or record.getMessage(),
            **self._service,
        }
        fields: Mapping[str, object] = getattr(record, "fields", {})
        written.update({name: value for name, value in fields.items() if value is not None})
        if below := _below(self, record):
            written[TRACEBACK] = below
        return json.dumps(written, default=repr)


class TextLines(logging.Formatter):
    """Text for people: one line a record, and the traceback below it."""

    def __init__(self, *, compact: bool) -> None:
        super().__init__()
        self._compact = compact

    def format(self, record: logging.LogRecord) -> str:
        time = _timestamp(self, record, "%H:%M:%S" if self._compact else "%Y-%m-%d %H:%M:%S")
        if self._compact:
            head = f"{time} {record.levelname[0]} {record.name.removeprefix(ROOT + '.')}"
        else:
            head = f"{time} {record.levelname:7} {record.name}:"
        return "\n".join(filter(None, (f"{head} {record.getMessage()}", _below(self, record))))


def _timestamp(formatter: logging.Formatter, record: logging.LogRecord, form: str) -> str:
    return f"{formatter.formatTime(record, form)}.{int(record.msecs):03}"


def _formatter(options: ObservabilityOptions) -> logging.Formatter:
    if options.log_format == "Json":
        service = {"service_name": options.service_name, "service_version": options.service_version}
        return JsonLines({name: value for name, value in service.items() if value is not None})
    return TextLines(compact=options.log_format == "Compact")


def set_up(options: ObservabilityOptions) -> Iterator[str]:
    """Levels, and a handler if the program has none; tells what of the options has no effect.

    A later call in one process, by another runtime, replaces what an earlier one has set up (RT-23.2).
    """
    ours = logging.getLogger(ROOT)
    mine = [handler for handler in ours.handlers if isinstance(handler, OwnHandler)]
    assert len(mine) <= 1, f"{len(mine)} handlers of ours write each record: {mine}"
    if logging.getLogger().handlers or len(ours.handlers) > len(mine):
        if options.log_format != ObservabilityOptions().log_format:
            yield (
                f"observability.log_format {options.log_format}: the program has configured `logging`, "
                "and its handlers decide"
            )
    elif mine:
        mine[0].setFormatter(_formatter(options))
    else:
        ours.addHandler(OwnHandler(options))
        if _is_free(ours):
            _set_level(ours, logging.WARNING)
    if options.log_format != "Json":
        for name in ("service_name", "service_version"):
            if getattr(options, name) != getattr(ObservabilityOptions(), name):
                yield f"observability.{name} {getattr(options, name)!r}: only the log_format Json names it"
    level = LOG_LEVELS[options.log_level]
    for target in _USER_TARGETS:
        logger = logger_of(target)
        if _is_free(logger):
            _set_level(logger, level)
        elif logger.level != level and options.log_level != ObservabilityOptions().log_level:
            yield (
                f"observability.log_level {options.log_level}: the level of the logger {logger.name} "
                f"is {logging.getLevelName(logger.level)} already"
            )
    yield from _filter(os.environ.get(ENVIRONMENT, ""))


def _filter(text: str) -> Iterator[str]:
    for part in filter(None, (part.strip() for part in text.split(","))):
        target, _, level = part.rpartition("=")
        if level.lower() not in LOG_LEVELS:
            yield f"{ENVIRONMENT} {part!r}: {level!r} is no level, known are {', '.join(LOG_LEVELS)}"
            continue
        name = target.strip().removeprefix(ROOT).removeprefix(".")
        logger_names = [name] if name else ["", *_USER_TARGETS]
        for name in logger_names:
            _set_level(logging.getLogger(f"{ROOT}.{name}".removesuffix(".")), LOG_LEVELS[level.lower()])


_levels_set: Final[dict[str, int]] = {}
"""The levels that `set_up` has given to loggers, so as to tell them from those that the program has set."""


def _is_free(logger: logging.Logger) -> bool:
    return logger.level in (logging.NOTSET, _levels_set.get(logger.name))


def _set_level(logger: logging.Logger, level: int) -> None:
    assert logger.name.split(".")[0] == ROOT, f"the level of the logger {logger.name} is the program's to set"
    _levels_set[logger.name] = level
    logger.setLevel(level)

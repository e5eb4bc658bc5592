"""What exceptions and values of an author's code are shown as: in a stored failure, in a log, in our errors.

Nothing here trusts them: a class, a text or an attribute may raise, return nonsense, or hold what cannot be
stored. Whatever it is, the attempt or the turn it belongs to fails with a text (RT-6.9, RT-4.71).
"""

from __future__ import annotations

import opcode
import re
import traceback
from collections.abc import Iterator
from types import CodeType, TracebackType
from typing import Any, Final

from holdfast.core.contract.errors import ActivityError, SessionIdError

ERROR_CHARS_MAX: Final = 65_536
"""Longest stored text of an exception; what is longer is cut, and says so."""

GROUP_MEMBERS_MAX: Final = 10
"""How many exceptions of a group are named in its text."""

SHOWN_CHARS_MAX: Final = 200
"""Longest form in which an error message names a value."""

_ADDRESS: Final = re.compile(" at 0x[0-9A-Fa-f]+")
_FRAMES_MAX: Final = 64
_RAISE: Final = opcode.opmap["RAISE_VARARGS"]


def error_text(error: BaseException) -> str:
    """The text under which an exception is stored: its class and its message.

    An `ActivityError` is the application's own word for a failure and is stored as it is; one that came out
    of a scheduled operation says which (`source`). So is a `SessionIdError`, whose message SS-3.7 and SS-3.8
    fix. Lone surrogates and NULs are replaced.
    """
    kind = type(error)
    said = _said(error)
    if issubclass(kind, (ActivityError, SessionIdError)):
        text = said or class_name(kind)
        if type(error) is ActivityError and error.source:
            before = f"{error.source} failed: "  # the reference writes it into the failure itself
            text = text if text.startswith(before) else before + text
    else:
        text = f"{class_name(kind)}: {said}" if said else class_name(kind)
    if issubclass(kind, BaseExceptionGroup):
        text = f"{text}: {'; '.join(_members(error))}"
    assert text, f"an exception of class {class_name(kind)} has no text at all"
    return storable(text)


def class_name(kind: type) -> str:
    """The name a class was made with, whatever its metaclass says."""
    name: str = type.__dict__["__name__"].__get__(kind)
    assert type(name) is str, "Python itself keeps the names of classes"
    return name


def storable(text: str) -> str:
    """A text as any store can keep it: without lone surrogates and NULs, and not endless."""
    if len(text) > ERROR_CHARS_MAX:
        text = f"{text[:ERROR_CHARS_MAX]}… ({len(text)} characters)"
    return text.replace("\0", "?").encode(errors="replace").decode()


def shown(value: object) -> str:
    """A value as our error messages name it: in one line, bounded, and the same in every process.

    That leaves out addresses, and the members of a set, whose order is that of the hash seed.
    """
    kind = type(value)
    if issubclass(kind, (set, frozenset)):
        return f"a {class_name(kind)}"
    try:
        text = str.__str__(repr(value))
    except BaseException as error:
        if is_interrupt(error):
            raise
        text = f"an instance of {class_name(kind)} without a text"
    text = _ADDRESS.sub("", text[: 10 * SHOWN_CHARS_MAX])
    if len(text) > SHOWN_CHARS_MAX:
        text = text[: SHOWN_CHARS_MAX - 1] + "…"
    assert len(text) <= SHOWN_CHARS_MAX, f"{len(text)} characters for a {class_name(kind)}"
    return storable(text)


def excerpt(text: str, length_max: int = 80) -> str:
    """The beginning of a text that may be long."""
    assert length_max > 0, f"an excerpt of {length_max} characters"
    return text if len(text) <= length_max else text[:length_max] + "…"


def first_difference(one: str, other: str) -> int:
    """Where two texts part: the place of the first character that differs, or the end of the shorter one."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def told(message: object) -> str:
    """A message of an author's code for the log; what is no text is shown as one."""
    return storable(str.__str__(message)) if issubclass(type(message), str) else shown(message)


def traceback_text(error: BaseException) -> str:
    """The traceback of an exception for a log record, from the author's first frame on.

    It is for readers and is never stored: it holds paths and line numbers of one machine.
    """
    place = traceback_of(error)
    while place is not None and place.tb_next is not None and is_ours(place):
        place = place.tb_next
    try:
        lines = traceback.format_exception(type(error), error, place, limit=-_FRAMES_MAX)
        return storable("".join(lines))
    except BaseException as unshown:
        if is_interrupt(unshown):
            raise
        return storable("".join([*traceback.format_tb(place, limit=-_FRAMES_MAX), error_text(error)]))


def traceback_of(error: BaseException) -> TracebackType | None:
    """Its traceback, past what its class may say about that."""
    place: TracebackType | None = _attribute(error, "__traceback__")
    return place


def innermost(place: TracebackType | None) -> TracebackType | None:
    """The end of a traceback: where the exception was raised."""
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place


def is_ours(place: TracebackType) -> bool:
    """Whether the code there is the runtime's."""
    module = place.tb_frame.f_globals.get("__name__")
    return isinstance(module, str) and module.startswith("holdfast.core.")


def line_of(code: CodeType, line: int) -> str:
    """A line of code as our texts name it: the same wherever it is installed."""
    return f"{code.co_filename.rsplit('/', 1)[-1]}:{line} in {code.co_qualname}"


def is_interrupt(error: BaseException) -> bool:
    """Whether this is the interrupt of a terminal and ends the process, and not an exception of the code.

    Python raises that one between two instructions of whatever runs, asyncio's runner in a function of its
    own; a `raise` statement anywhere else is the code's.
    """
    if not issubclass(type(error), KeyboardInterrupt):
        return False
    place = innermost(traceback_of(error))
    if place is None:
        return False
    code: CodeType = place.tb_frame.f_code
    is_raised = place.tb_lasti >= 0 and code.co_code[place.tb_lasti] == _RAISE
    return not is_raised or place.tb_frame.f_globals.get("__name__") == "asyncio.runners"


def _said(error: BaseException) -> str:
    """What the exception says of itself; nothing if it cannot."""
    try:
        return str.__str__(str(error))  # `__str__` may return an instance of a subclass, with ways of its own
    except BaseException as unsaid:
        if is_interrupt(unsaid):
            raise
        return ""


def _members(group: BaseException) -> Iterator[str]:
    """The texts of the exceptions in a group and in the groups in it, as far as they are few."""
    waiting = list(_attribute(group, "exceptions", BaseExceptionGroup))
    named = 0
    while waiting and named < GROUP_MEMBERS_MAX:
        error = waiting.pop(0)
        if issubclass(type(error), BaseExceptionGroup):
            waiting[:0] = _attribute(error, "exceptions", BaseExceptionGroup)
        else:
            named += 1
            yield error_text(error)
    if waiting:
        yield f"and {len(waiting)} more"


def _attribute(error: BaseException, name: str, owner: type = BaseException) -> Any:
    """A built-in attribute, past what the exception's class may have put before it."""
    assert name in owner.__dict__, f"{owner.__name__} has no attribute {name!r} of its own"
    return owner.__dict__[name].__get__(error)

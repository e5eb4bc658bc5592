"""Suspects: names in registered code that ask the machine and that no guard can intercept.

`datetime.now` cannot be replaced, nor can a name imported before the guards were installed (`from time import
time`). So the compiled code of orchestrations and activities is searched for such names, and for what they
keep at module level (`module_state`). A finding is a hint, and finding nothing proves nothing: the proof is
running twice (`exploring.determinism`).
"""

from __future__ import annotations

import dis
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Final, NamedTuple

from holdfast.core.program.registry import Registry
from holdfast.sim.loop.guards import GUARDED
from holdfast.sim.toolkit.module_state import writes

_SUSPECT_ATTRIBUTES: Final[dict[str, frozenset[str]]] = {
    "datetime": frozenset({"now", "utcnow", "today"}),
    "date": frozenset({"today"}),
    "time": frozenset({"localtime", "gmtime", "ctime", "process_time", "thread_time"}),
    "random": frozenset({"Random", "SystemRandom"}),
    "os": frozenset({"getpid", "getrandom"}),
    "secrets": frozenset({"token_hex", "token_bytes", "token_urlsafe", "randbelow", "randbits", "choice"}),
}
"""Names, and those of their attributes that ask the machine but are not guarded."""

_GUARDED_ATTRIBUTES: Final = frozenset(guard.shown.removesuffix("()") for guard in GUARDED)
_GUARDED_FUNCTIONS: Final = {
    id(getattr(guard.owner, guard.attribute)): guard.shown.removesuffix("()") for guard in GUARDED
}
"""The functions themselves, before any guard replaced them: what `from time import time` binds."""


class Suspect(NamedTuple):
    """A name in registered code that probably leaves the simulation.

    It asks the machine, or, if it is `kept`, it is written to and outlives the run, in a module's globals.
    """

    function: str
    name: str
    file: str
    line: int
    kept: bool = False

    def __str__(self) -> str:
        """What is to be looked at, and where."""
        does = "writes to" if self.kept else "asks"
        return f"{self.function} ({self.file}:{self.line}) {does} {self.name}"


def scan_registry(registry: Registry) -> list[Suspect]:
    """Suspects in all orchestrations and activities of a registry, by name."""
    found: list[Suspect] = []
    for name in registry.orchestration_names():
        for version in registry.orchestration_versions(name):
            resolved = registry.resolve_orchestration(name, version)
            if resolved is not None:
                found += scan(resolved.handler)
    for name in registry.activity_names():
        found += scan(registry.resolve_activity(name))
    return found


def scan(function: object) -> tuple[Suspect, ...]:
    """Names in this function, and in functions nested in it, that ask the machine or are kept."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return ()
    found = _SCANNED.get(code)
    if found is None:
        names = getattr(function, "__globals__", {})
        found = _SCANNED[code] = tuple(dict.fromkeys(_suspects(code, names)))
    return found


_SCANNED: dict[CodeType, tuple[Suspect, ...]] = {}
"""Every code object is searched once: each boot makes a new registry from the same code."""


def _suspects(code: CodeType, names: Mapping[str, object]) -> Iterator[Suspect]:
    pending = [code]
    while pending:
        current = pending.pop()
        for name in _suspect_names(current, names):
            yield Suspect(current.co_qualname, name, current.co_filename, current.co_firstlineno)
        pending += [constant for constant in current.co_consts if isinstance(constant, CodeType)]
    for place, name in writes(code, names):
        yield Suspect(place.co_qualname, name, place.co_filename, place.co_firstlineno, kept=True)


def _suspect_names(code: CodeType, names: Mapping[str, object]) -> Iterator[str]:
    owner = ""
    for instruction in dis.get_instructions(code):
        loaded = instruction.argval if isinstance(instruction.argval, str) else ""
        if instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            shown = f"{owner}.{loaded}"
            if shown in _GUARDED_ATTRIBUTES or loaded in _SUSPECT_ATTRIBUTES.get(owner, ()):
                yield shown
        elif instruction.opname == "LOAD_GLOBAL" and (asked := _GUARDED_FUNCTIONS.get(id(names.get(loaded)))):
            yield asked
        owner = loaded

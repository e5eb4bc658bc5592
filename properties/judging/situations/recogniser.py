"""Recogniser: looks for every situation of the table along one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.store import no_hook
from holdfast.properties.judging.ledger.facts import Delivered, Fact
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.situations.scene import Scene, Situation
from holdfast.properties.judging.situations.table import SITUATIONS
from holdfast.traces.record import Commit, Fault, Local

_Lines = list[tuple[str, Situation]]


def situations_named(names: Iterable[str]) -> dict[str, Situation]:
    """These lines of the table. Raises ConfigurationError for an unknown name, naming similar ones."""
    chosen = {}
    for name in names:
        if name not in SITUATIONS:
            near = ", ".join(get_close_matches(name, SITUATIONS)) or "none, see situations/table.py"
            raise ConfigurationError(f"no situation {name!r}; near it: {near}")
        chosen[name] = SITUATIONS[name]
    return chosen


def _by_kind(situations: Mapping[str, Situation]) -> dict[type, _Lines]:
    lines: dict[type, _Lines] = {}
    for name, situation in situations.items():
        for kind in situation.kinds:
            lines.setdefault(kind, []).append((name, situation))
    return lines


_BY_KIND: Final = _by_kind(SITUATIONS)


class Recogniser:
    """`seen` maps a situation to the position of the commit at which it was first there.

    What has been seen is not looked for again. A recogniser that raises has not recognised anything; `failed`
    has what it raised, and `blind` why not everything asked for can be recognised.
    """

    def __init__(self, ledger: Ledger, names: Iterable[str] | None = None) -> None:
        self.seen: dict[str, int] = {}
        self.failed: dict[str, str] = {}
        self._scene = Scene(ledger)
        self._sought = dict(_BY_KIND) if names is None else _by_kind(situations_named(names))
        self.blind: str | None = None
        if "session_records" in ledger.rows.missing and any(
            situation.needs_rows for lines in self._sought.values() for _, situation in lines
        ):
            self.blind = no_hook("session_records")

    def fact(self, fact: Fact) -> None:
        """A commit meant this."""
        kind = type(fact)
        if kind in self._sought:
            self._look(kind, fact)
        if type(fact) is Delivered:
            self._scene.note(fact)

    def local(self, local: Local) -> None:
        """A process reported something."""
        kind = type(local.event)
        if kind in self._sought:
            self._look(kind, local)

    def fault(self, fault: Fault) -> None:
        """A fault strikes; the ledger has not taken it in yet."""
        if Fault in self._sought:
            self._look(Fault, fault)

    def outcome(self, commit: Commit) -> None:
        """A call had another outcome than being answered."""
        if Commit in self._sought:
            self._look(Commit, commit)

    def _look(self, kind: type, what: object) -> None:
        scene, found = self._scene, False
        for name, situation in self._sought[kind]:
            try:
                if name in self.seen or situation.there(scene, what):
                    self.seen.setdefault(name, scene.ledger.position)
                    found = True
            except Exception as error:
                self.failed.setdefault(name, f"{type(error).__name__}: {error}")
                found = True
        if found:
            left = [
                line for line in self._sought[kind] if line[0] not in self.seen and line[0] not in self.failed
            ]
            if left:
                self._sought[kind] = left
            else:
                del self._sought[kind]

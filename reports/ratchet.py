"""The ratchet: the evidence that rows had when it was recorded, and what has been lost since.

A row may gain evidence silently; it loses some when its word is weaker on a provider, or when a check, a
situation or a planted defect that spoke for it no longer does. Counts are not part of it: they vary with the
number of schedules. The file has one line per row, so that a change to it can be reviewed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from holdfast.reports.coverage import Coverage, InvariantCoverage, RowCoverage
from holdfast.reports.words import STATUSES, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class RatchetEntry:
    """The evidence for a row or an invariant: the word on each provider, and names of what spoke for it."""

    providers: Mapping[str, Status]
    checks: tuple[str, ...] = ()
    situations: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()


def state_of(made: Coverage) -> dict[str, RatchetEntry]:
    """The state to record: rows and invariants by id, in the order of the specification."""
    lines: list[RowCoverage | InvariantCoverage] = [*made.rows, *made.invariants]
    return {line.id: _state(line) for line in lines}


def lost(recorded: Mapping[str, RatchetEntry], now: Mapping[str, RatchetEntry]) -> list[str]:
    """What has been lost, a sentence each, in recorded order; a provider not checked is not a loss."""
    found: list[str] = []
    for name, before in recorded.items():
        after = now.get(name)
        if after is None:
            found.append(f"{name} is gone from the specification")
            continue
        for provider, word in before.providers.items():
            present = after.providers.get(provider, word)
            if STATUSES.index(present) < STATUSES.index(word):
                found.append(f"{name} was {word} on {provider} and is {present}")
        found += _gone(name, "check", before.checks, after.checks)
        found += _gone(name, "situation", before.situations, after.situations)
        found += _gone(name, "killed defect", before.defects, after.defects)
    return found


def encode_state(state: Mapping[str, RatchetEntry]) -> bytes:
    """The file: JSON, one line per row."""
    lines = [
        msgspec.json.encode(name) + b":" + msgspec.json.encode(one, order="deterministic")
        for name, one in state.items()
    ]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def decode_state(content: bytes) -> dict[str, RatchetEntry]:
    """The state in a file. Raises ValueError if it is not that."""
    try:
        return msgspec.json.decode(content, type=dict[str, RatchetEntry])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"this is not a recorded state of coverage: {error}") from None


def _state(line: RowCoverage | InvariantCoverage) -> RatchetEntry:
    providers = {name: judged.status for name, judged in line.providers.items()}
    defects = tuple(sorted({one.name for one in line.defects if one.counts}))
    if isinstance(line, InvariantCoverage):
        return RatchetEntry(providers=providers, defects=defects)
    return RatchetEntry(
        providers=providers,
        checks=tuple(sorted(check.name for check in line.checks)),
        situations=tuple(name for name, count in line.situations.items() if count),
        defects=defects,
    )


def _gone(name: str, what: str, before: Iterable[str], after: Iterable[str]) -> list[str]:
    left = frozenset(after)
    return [f"{name} has lost the {what} {one}" for one in before if one not in left]

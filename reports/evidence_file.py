"""Evidence as a file: JSON that is equal for equal evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from holdfast.reports.evidence import Evidence, ScheduleFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """Evidence as it is written: most schedules of a scenario show the same, so facts are written once.

    For each run, `facts` has the distinct facts, `schedules` the place among them by fingerprint.
    """

    evidence: Evidence
    facts: tuple[tuple[ScheduleFacts, ...], ...]
    schedules: tuple[Mapping[str, int], ...]


def encode_evidence(evidence: Evidence) -> bytes:
    """Its JSON, equal for equal evidence."""
    facts = tuple(tuple(dict.fromkeys(run.schedules.values())) for run in evidence.runs)
    places = [{fact: place for place, fact in enumerate(found)} for found in facts]
    stored = _Stored(
        evidence=replace(evidence, runs=tuple(replace(run, schedules={}) for run in evidence.runs)),
        facts=facts,
        schedules=tuple(
            {fingerprint: place[fact] for fingerprint, fact in run.schedules.items()}
            for run, place in zip(evidence.runs, places, strict=True)
        ),
    )
    return msgspec.json.encode(stored, order="sorted")


def decode_evidence(content: bytes) -> Evidence:
    """Evidence from its JSON. Raises ValueError if it is not that."""
    try:
        stored = msgspec.json.decode(content, type=_Stored)
        runs = tuple(
            replace(run, schedules={name: facts[place] for name, place in schedules.items()})
            for run, facts, schedules in zip(
                stored.evidence.runs, stored.facts, stored.schedules, strict=True
            )
        )
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, IndexError) as error:
        raise ValueError(f"this is not the evidence of a campaign: {error}") from None
    return replace(stored.evidence, runs=runs)

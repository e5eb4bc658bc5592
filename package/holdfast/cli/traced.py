"""A trace file, read and checked against what is installed, ready to run again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from holdfast.campaign.blocks import subject_of
from holdfast.campaign.providers import BUILT_IN, find_provider
from holdfast.campaign.recording import fingerprints
from holdfast.campaign.single import Subject
from holdfast.core.contract.errors import ConfigurationError
from holdfast.sim import FaultBudget
from holdfast.traces.file import Trace, read_trace


@dataclass(frozen=True, slots=True)
class Traced:
    """A trace, what runs it again, and whether the code is the one that made it."""

    trace: Trace
    subject: Subject
    same_code: bool


def load(file: Path, provider: str | None, module: str | None) -> Traced:
    """Read a trace. It never causes an import: names outside Holdfast have to be given again."""
    trace = read_trace(file)
    header = trace.header
    name = provider or header.provider
    if provider is None and name not in BUILT_IN:
        raise ConfigurationError(
            f"{file} was made on provider {name!r}, which is not part of Holdfast; give it again with"
            f" --provider {name}"
        )
    subject = subject_of(header.scenario, find_provider(name), header.defect, module)
    subject = replace(subject, budget=_budget(file, header.budgets))
    if not subject.scenario.explored:
        raise ConfigurationError(f"scenario {header.scenario!r} has no schedules; run `holdfast check` on it")
    return Traced(
        trace, subject, header.fingerprints == fingerprints() and provider in (None, header.provider)
    )


def _budget(file: Path, counts: Mapping[str, int]) -> FaultBudget:
    """The faults that could strike in the recorded run: the tape answers a draw for each."""
    try:
        return FaultBudget(**counts)
    except TypeError:
        raise ConfigurationError(
            f"{file} has a budget for faults that are unknown here: {dict(counts)}"
        ) from None

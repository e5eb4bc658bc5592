"""All single faults over the conversation scenarios hold, on both providers; so do pairs, drawn."""

from __future__ import annotations

import pytest

from holdfast.campaign.blocks import subject_of
from holdfast.campaign.providers import find_provider
from holdfast.campaign.single import Subject
from holdfast.campaign.sweep import Plan, SweepPart, Swept, boundaries_of, pairs, singles

CONVERSATIONS = (
    "whole_conversation_of_one_worker",
    "whole_conversation_of_two_workers",
    "conversation_left_open",
)
PAIRS = 100


@pytest.mark.parametrize("provider", ["memory", "sqlite"])
@pytest.mark.parametrize("scenario", CONVERSATIONS)
def test_every_single_fault_at_every_commit_boundary_holds(scenario: str, provider: str) -> None:
    """SS-24.9, SS-9.1: none is left out, and what strikes is survived; so are pairs."""
    subject = subject_of(scenario, find_provider(provider))
    plans = singles(subject.scenario, boundaries_of(subject))
    assert len(plans) == 7 * boundaries_of(subject)
    single = _swept(subject, plans)
    assert single.struck > len(plans) / 2, "few faults found a call to strike"
    assert (single.held, single.findings) == (single.struck, [])
    chosen, possible = pairs(subject.scenario, single, PAIRS, seed=1)
    assert possible > len(chosen) == PAIRS
    assert len(set(chosen)) == PAIRS, "no pair is drawn twice"
    double = _swept(subject, chosen)
    assert (double.held, double.findings) == (double.struck, [])


def _swept(subject: Subject, plans: list[Plan]) -> Swept:
    return SweepPart(scenario=subject.scenario.name, provider=subject.provider.name, plans=tuple(plans)).run()

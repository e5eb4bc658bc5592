"""Traces of what was found: each holds now; where the old behaviour can be planted, it breaks its rule."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.campaign.recording import replayed
from holdfast.cli.traced import load

FOLDER = Path(__file__).parent / "findings"
TRACES = sorted(FOLDER.glob("*.trace.jsonl"))


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name.partition(".")[0])
def test_what_was_found_is_mended_and_would_be_found_again(path: Path) -> None:
    traced = load(path, None, None)
    header = traced.trace.header
    assert header.violation is not None
    if header.defect is not None:
        found = replayed(traced.subject, traced.trace.tape, strict=False).run
        assert header.violation.rule in {failure.rule for failure in found.failures}
    mended = replace(traced.subject, planting=nullcontext)
    run = replayed(mended, traced.trace.tape, strict=False).run
    assert run.counts and not run.failures


def test_there_are_traces() -> None:
    assert TRACES

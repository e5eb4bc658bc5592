"""`holdfast shrink`: a simpler run that breaks the same rule."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from holdfast.campaign.recording import replayed, shorter_trace
from holdfast.cli.ending import Exit
from holdfast.cli.saying import say
from holdfast.cli.terminal import progress
from holdfast.cli.traced import load
from holdfast.core.contract.errors import ConfigurationError
from holdfast.traces.choice import Tape
from holdfast.traces.file import SUFFIX, write_trace
from holdfast.traces.shrink import shrink


@click.command(name="shrink")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Where to write it; default FILE with `.min`.")
@click.option("--attempts", type=click.IntRange(1, 1_000_000), default=2_000, show_default=True)
@click.option("--provider", metavar="NAME", help="Run on this provider instead; needed for module:factory.")
@click.option("--scenario", "module", metavar="MODULE", help="The module that registers the scenario.")
def command(file: Path, out: Path | None, attempts: int, provider: str | None, module: str | None) -> None:
    """Search for a simpler run than the trace FILE that breaks the same rule, and write its trace."""
    traced = load(file, provider, module)
    violation = traced.trace.header.violation
    if violation is None:
        raise ConfigurationError(f"{file} violates nothing, so there is nothing to shrink")
    rule = violation.rule
    runs = 0
    with progress() as advance:

        def still_fails(tape: Tape) -> int | None:
            nonlocal runs
            runs += 1
            advance(f"shrinking {rule}", runs, attempts)
            run = replayed(traced.subject, tape, strict=False).run
            return run.steps if any(failure.rule == rule for failure in run.failures) else None

        try:
            found = shrink(traced.trace.tape, still_fails, attempts_max=attempts)
        except ValueError:
            say(f"no longer violated: {rule}; the code has changed since the trace was made", err=True)
            sys.exit(Exit.NOTHING_FOUND)
    if found.tape == traced.trace.tape:
        say(f"{rule}: nothing can be left out; the trace is already the simplest")
        say(f"replay: holdfast replay {file}")
        sys.exit(Exit.VIOLATION)
    made = shorter_trace(traced.subject, traced.trace, found.tape)
    path = out or file.with_name(file.name.removesuffix(SUFFIX) + ".min" + SUFFIX)
    write_trace(path, made)
    before, after = len(list(traced.trace.tape.deviations())), len(list(found.tape.deviations()))
    say(
        f"{rule}: from {len(traced.trace.steps)} steps to {len(made.steps)}, {before} deviations to {after},"
        f" in {found.attempts} runs"
    )
    say(f"replay: holdfast replay {path}")
    sys.exit(Exit.VIOLATION)

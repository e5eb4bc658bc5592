"""`holdfast show`: a trace as a timeline in the terminal."""

from __future__ import annotations

from pathlib import Path

import click

from holdfast.cli.terminal import console
from holdfast.core.contract.errors import ConfigurationError
from holdfast.reports.terminal_timeline import print_timeline
from holdfast.reports.timeline import timeline
from holdfast.traces.file import read_trace


@click.command(name="show")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--cause", "only_cause", is_flag=True, help="Only what could have led to the violation.")
@click.option("--all", "everything", is_flag=True, help="Also the uneventful steps.")
def command(file: Path, only_cause: bool, everything: bool) -> None:
    """Show the trace FILE: one lane per process, virtual time, faults, and the broken rule."""
    trace = read_trace(file)
    violation = trace.header.violation
    cause = None
    if violation is not None and violation.step is not None and trace.steps:
        from holdfast.traces.order import causal_past

        cause = causal_past(trace.steps, violation.step)
    elif only_cause:
        raise ConfigurationError(f"{file} violates nothing, so there is no cause to show; leave --cause out")
    made = timeline(
        trace,
        cause=cause,
        only_cause=only_cause,
        everything=everything,
        replay=f"holdfast replay {file}",
    )
    print_timeline(console(), trace, made)

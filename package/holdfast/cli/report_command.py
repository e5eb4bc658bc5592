"""`holdfast report`: write the report of an earlier check anew."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from holdfast.cli.ending import Exit
from holdfast.cli.output import TRACES, read_results, write_report
from holdfast.cli.terminal import console
from holdfast.reports.coverage import encode_coverage
from holdfast.reports.terminal import print_summary


@click.command(name="report")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("holdfast-report"))
@click.option("--json", "as_json", is_flag=True, help="Print coverage.json instead of the summary.")
def command(folder: Path, as_json: bool) -> None:
    """Write coverage.json, index.html and the picture in FOLDER from the evidence of a check, and sum up."""
    evidence, traces = read_results(folder)
    made = write_report(folder, evidence, traces)
    if as_json:
        click.echo(encode_coverage(made).decode(), nl=False)
    else:
        print_summary(console(), made, trace_folder=str(folder / TRACES))
        click.echo(f"report: {folder / 'index.html'}")
    sys.exit(Exit.VIOLATION if made.summary.violations else Exit.NOTHING_FOUND)

"""The summary of a campaign in the terminal, by section of the specification.

Sections without any check are shown as missing, not hidden. Broken rules come first, each with the line to
copy that runs it again. Colour and width are the console's.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from holdfast.reports.coverage import Coverage
from holdfast.reports.shown import Shown
from holdfast.reports.summary import BreachLine, Summary
from holdfast.reports.timeline import duration
from holdfast.reports.words import STATUSES, Status

STYLES: Final[dict[Status, str]] = {
    "verified": "bold green",
    "exercised": "green",
    "unreached": "yellow",
    "unknown": "yellow",
    "missing": "dim",
    "violated": "bold red",
}
_ALWAYS_SHOWN: Final = ("exercised", "verified", "missing")
"""Columns of the table that are there even if empty; the others need a count."""
_UNKNOWN_SHOWN_MAX: Final = 5


def print_summary(console: Console, made: Coverage, *, trace_folder: str = "") -> None:
    """Print the violations, the table by section, and the verdict.

    `trace_folder` is where the traces were written, as the reader would type it.
    """
    for line in made.summary.violations:
        console.print(_violation(line))
        if line.trace is not None:
            replay = replay_line(line.trace, trace_folder, line.provider, made.summary.module)
            console.print(Shown(f"  {replay}"), soft_wrap=True)
        console.print()
    console.print(_sections(made, console.width))
    console.print()
    for text in _totals(made.summary):
        console.print(text)


def replay_line(trace: str, folder: str = "", provider: str = "", module: str | None = None) -> str:
    """The line to copy that runs a trace again; a trace causes no import, so it names modules to import."""
    words = ["holdfast", "replay", f"{folder.rstrip('/')}/{trace}" if folder else trace]
    if ":" in provider:
        words += ["--provider", provider]
    if module is not None:
        words += ["--scenario", module]
    return f"replay: {shlex.join(words)}"


def _violation(line: BreachLine) -> RenderableType:
    heading = Shown.assemble(("violated ", "bold red"), (line.rule, "bold"), f"  {line.title}")
    where = f"{line.scenario} on {line.provider}, schedule {line.schedule}"
    if line.runs > 1:
        where += f", and in {line.runs - 1} more"
    return Group(
        heading,
        Padding(Shown(line.message), (0, 0, 0, 2)),
        Padding(Shown(where, "dim"), (0, 0, 0, 2)),
    )


def _sections(made: Coverage, width: int) -> Table:
    groups = [
        ("all rows", made.summary.rows),
        ("clauses", made.summary.clauses),
        ("invariants", made.summary.invariants),
    ]
    columns = [
        status
        for status in reversed(STATUSES)
        if status in _ALWAYS_SHOWN or any(counts[status] for _, counts in groups)
    ]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("", justify="right", no_wrap=True, style="dim", min_width=2)
    numbers = ("rows", *columns)
    left = width - len("34 ") - sum(len(name) + 1 for name in numbers) - 1
    table.add_column("section", width=min(max(left, 12), 60), no_wrap=True, overflow="ellipsis")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for section in made.summary.sections:
        nothing = section.rows["missing"] == sum(section.rows.values())
        title = Shown(section.title, style="dim" if nothing else "")
        table.add_row(str(section.id), title, *_cells(section.rows, columns))
    for group, counts in groups:
        table.add_row("", Shown(group, style="bold"), *_cells(counts, columns))
    return table


def _cells(counts: Mapping[Status, int], columns: Sequence[Status]) -> list[Text]:
    return [
        Shown(str(sum(counts.values()))),
        *(
            Shown(str(counts[status]), style=STYLES[status]) if counts[status] else Shown("·", style="dim")
            for status in columns
        ),
    ]


def _totals(summary: Summary) -> list[Text]:
    lines = []
    for name, total in summary.providers.items():
        faults = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in total.faults.items())
        lines.append(
            Shown.assemble(
                (f"{'no provider' if name == '*' else name}: ", "bold"),
                f"{total.schedules} distinct schedules of {total.runs} runs, {total.steps} steps, "
                f"{duration(total.virtual_us)} of virtual time",
                f"; faults: {faults}" if faults else "",
            )
        )
    checks = summary.checks
    if any(checks.values()):
        told = ", ".join(f"{count} {outcome}" for outcome, count in checks.items() if count)
        lines.append(Shown.assemble(("conformance checks: ", "bold"), told))
    for reason in summary.unknown[:_UNKNOWN_SHOWN_MAX]:
        lines.append(Shown.assemble(("unknown ", "yellow"), reason))
    if len(summary.unknown) > _UNKNOWN_SHOWN_MAX:
        lines.append(
            Shown(f"... and {len(summary.unknown) - _UNKNOWN_SHOWN_MAX} more unknown", style="yellow")
        )
    if summary.defect is not None:
        lines.append(Shown(f"with the planted defect {summary.defect}", style="yellow"))
    if summary.interrupted:
        lines.append(Shown("interrupted: this is what was found by then", style="yellow"))
    broken = bool(summary.violations)
    lines.append(Shown.assemble(("verdict: ", "bold"), (summary.verdict, "bold red" if broken else "bold")))
    return lines

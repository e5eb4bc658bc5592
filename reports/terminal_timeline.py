"""The readable timeline of `holdfast show`: lanes, virtual time, faults, the broken rule and why.

time      scenario  a    b    #   what happens
0 s       ●              ·    5   enqueue message · StartOrchestration for i
          │    ●         ·    7   fetch turn ...
          │    ✕         ·   30   crashes
+60 s     │         ●        41   fetch item ...          ◀ INV-03
"""

from __future__ import annotations

from typing import Final

import msgspec
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from holdfast.properties.spec import clauses as spec_clauses
from holdfast.properties.spec import rows as spec_rows
from holdfast.reports.shown import Shown
from holdfast.reports.timeline import Mark, Timeline, duration
from holdfast.traces.file import Trace

_GLYPHS: Final = {"commit": "●", "local": "○", "fault": "✕", "boot": "▲"}
_STYLES: Final = {"commit": "cyan", "local": "dim", "fault": "bold red", "boot": "green"}
_LANE_NAME_MAX: Final = 10


def print_timeline(console: Console, trace: Trace, made: Timeline) -> None:
    """Print a trace and its timeline. Colour and width are the console's."""
    console.print(_heading(trace, made))
    console.print(_table(made), end="")
    if made.hidden:
        console.print(Shown(f"{made.hidden} uneventful steps are left out", style="dim"))
    if made.rule:
        console.print()
        console.print(_verdict(trace, made))
    if made.replay:
        console.print(Shown(f"replay: {made.replay}"), soft_wrap=True)


def in_spec_language(rule: str) -> str:
    """What the specification says under this id; empty for an id that is not one of its own."""
    for row in spec_rows():
        if row.id == rule:
            return row.claim
    return next((clause.sentence for clause in spec_clauses() if clause.id == rule), "")


def _heading(trace: Trace, made: Timeline) -> RenderableType:
    header = trace.header
    title = Shown.assemble((header.scenario, "bold"), f" on {header.provider}")
    if header.defect:
        title.append(f", with the planted defect {header.defect}")
    origin = f"strategy {header.strategy}, seed {header.seed}, schedule {header.schedule}"
    return Group(title, Shown(f"{origin}, {len(trace.steps)} steps", style="dim"), Shown())


def _verdict(trace: Trace, made: Timeline) -> RenderableType:
    lines: list[RenderableType] = [
        Shown.assemble(("violated ", "bold red"), (made.rule, "bold"), f": {made.why}")
    ]
    if said := in_spec_language(made.rule):
        lines.append(Padding(Shown(f"The specification: {said}"), (0, 0, 0, 2)))
    witness = trace.header.violation.witness if trace.header.violation else None
    if isinstance(witness, dict):
        pairs = ", ".join(f"{name} = {_datum(value)}" for name, value in witness.items())
        lines.append(Padding(Shown(f"Witness: {pairs}"), (0, 0, 0, 2)))
    return Group(*lines)


def _datum(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _table(made: Timeline) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("time", no_wrap=True, style="dim", min_width=7)
    for lane in made.lanes:
        table.add_column(Shown(lane.name[:_LANE_NAME_MAX]), no_wrap=True, justify="center")
    table.add_column("#", justify="right", no_wrap=True, style="dim")
    table.add_column("what happens", ratio=1, overflow="fold")
    down = {
        (span.lane, line)
        for span in made.spans
        if span.kind == "down"
        for line in range(span.first_line + 1, span.last_line + 1)
    }
    held = {
        (span.lane, line)
        for span in made.spans
        if span.kind == "lease"
        for line in range(span.first_line, span.last_line + 1)
    }
    for mark in made.marks:
        cells: list[RenderableType] = [_when(mark)]
        for place in range(len(made.lanes)):
            if place == mark.lane:
                cells.append(Shown(_GLYPHS[mark.kind], style=_style(mark)))
            elif (place, mark.line) in down:
                cells.append(Shown(" "))
            else:
                cells.append(Shown("┃" if (place, mark.line) in held else "│", style="dim"))
        table.add_row(*cells, str(mark.n), _what(mark, made))
    return table


def _when(mark: Mark) -> Text:
    if mark.line == 0:
        return Shown(duration(mark.t_us))
    return Shown(f"+{duration(mark.gap_us)}", style="yellow") if mark.gap_us else Shown()


def _what(mark: Mark, made: Timeline) -> Text:
    said = Shown(mark.label, style=_style(mark) if mark.cause else "dim")
    if mark.detail:
        said.append(f" · {mark.detail}", style="" if mark.cause and mark.kind != "local" else "dim")
    if mark.violates:
        said.append(f"  ◀ {made.rule}", style="bold red")
    return said


def _style(mark: Mark) -> str:
    if mark.violates:
        return "bold red"
    if not mark.cause:
        return "dim"
    return "yellow" if mark.failed else _STYLES[mark.kind]

"""`holdfast list`: scenarios, invariants, rows."""

from __future__ import annotations

import json

import click
from rich.table import Table

from holdfast.campaign.selection import all_scenarios
from holdfast.cli.terminal import console
from holdfast.properties import spec


@click.command(name="list")
@click.argument("what", type=click.Choice(["scenarios", "invariants", "rows"]))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(what: str, as_json: bool) -> None:
    """List scenarios, invariants, or rows of the test matrix."""
    columns, lines = {"scenarios": _scenarios, "invariants": _invariants, "rows": _rows}[what]()
    if as_json:
        click.echo(json.dumps([dict(zip(columns, line, strict=True)) for line in lines], indent=1))
        return
    table = Table(*columns, box=None, pad_edge=False)
    for line in lines:
        table.add_row(*line)
    console().print(table)


Lines = tuple[tuple[str, ...], list[tuple[str, ...]]]


def _scenarios() -> Lines:
    lines: list[tuple[str, ...]] = [
        (one.name, one.level, str(one.workers), ", ".join(one.covers), one.title)
        for one in all_scenarios().values()
    ]
    return ("scenario", "level", "workers", "covers", "claim"), lines


def _invariants() -> Lines:
    from holdfast.properties.judging.registry import MONITORS

    watched = frozenset(MONITORS)
    lines: list[tuple[str, ...]] = [
        (clause.id, "yes" if clause.id in watched else "not yet", clause.title or "", clause.sentence)
        for clause in spec.clauses()
        if clause.id.startswith("INV-")
    ]
    return ("invariant", "watched", "title", "rule"), lines


def _rows() -> Lines:
    checked: dict[str, list[str]] = {}
    for one in all_scenarios().values():
        for row in one.covers:
            checked.setdefault(row, []).append(one.name)
    lines: list[tuple[str, ...]] = [
        (row.id, row.level, ", ".join(checked.get(row.id, ())) or "-", row.claim) for row in spec.rows()
    ]
    return ("row", "level", "scenarios", "claim"), lines

"""`holdfast defects`: plant known defects one by one, and see which property catches them how soon."""

from __future__ import annotations

import json
import sys
from typing import Final

import click
from rich.table import Table

from holdfast.campaign.blocks import subject_of
from holdfast.campaign.hunt import Hunt, hunt
from holdfast.campaign.providers import find_provider
from holdfast.cli.ending import Exit
from holdfast.cli.terminal import console, progress
from holdfast.core.errors import ConfigurationError

_HUNTED_ON: Final = ("memory", "sqlite")


@click.command(name="defects")
@click.argument("names", nargs=-1, metavar="[DEFECTS]...")
@click.option("--provider", "providers", multiple=True, type=click.Choice(_HUNTED_ON), help="Where to plant.")
@click.option("--schedules", type=click.IntRange(1, 100_000), default=400, show_default=True, help="At most.")
@click.option("--strategy", default="random", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    names: tuple[str, ...],
    providers: tuple[str, ...],
    schedules: int,
    strategy: str,
    seed: int,
    as_json: bool,
) -> None:
    """Run each planted defect until it is caught; print what caught it after how many schedules.

    Exit code 1 if one escapes, or is caught by another property than the one meant for it.
    """
    from holdfast.properties.defects import defects

    known = defects()
    for name in names:
        if name not in known:
            raise ConfigurationError(f"unknown defect {name!r}, known are {', '.join(known)}")
    places = providers or _HUNTED_ON
    chosen = [one for name, one in known.items() if not names or name in names]
    hunts: list[Hunt] = []
    with progress() as advance:
        for defect in chosen:
            for place in places:
                subject = subject_of(defect.scenario, find_provider(place), defect.name)
                hunts.append(hunt(subject, defect.name, defect.caught_by, schedules, strategy, seed))
                advance(f"{defect.name} on {place}", len(hunts), len(chosen) * len(places))
    if as_json:
        click.echo(json.dumps([one.as_dict() for one in hunts], indent=1))
    else:
        console().print(_table(hunts))
        caught = sum(one.as_meant for one in hunts)
        click.echo(f"{caught} of {len(hunts)} caught by the property meant for them")
    sys.exit(Exit.NOTHING_FOUND if all(one.as_meant for one in hunts) else Exit.VIOLATION)


def _table(hunts: list[Hunt]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("defect", "provider", "scenario", "meant", "caught by", "schedules"):
        table.add_column(column, overflow="fold")
    for one in sorted(hunts, key=lambda each: (each.as_meant, each.caught_by is not None)):
        style = None if one.as_meant else "bold red"
        caught = one.caught_by or "escaped"
        table.add_row(
            one.defect, one.provider, one.scenario, one.meant, caught, str(one.schedules), style=style
        )
    return table

"""`holdfast defects`: plant known defects one by one, and store what catches them and how soon."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
from rich.table import Table

from holdfast.campaign.fingerprint import evidence_fingerprint
from holdfast.campaign.hunt import HUNT_PROFILES, Hunt, HuntProfile
from holdfast.campaign.pool import run_jobs
from holdfast.cli.ending import Exit
from holdfast.cli.output import prepared, stored_kills, write_kills
from holdfast.cli.saying import say
from holdfast.cli.terminal import console, progress
from holdfast.core.contract.errors import ConfigurationError
from holdfast.reports.escaping import printable_json
from holdfast.reports.kills import Kill, KillMatrix, encode_kills, survivors_first, told_seconds
from holdfast.sim.strategies import make_strategy, usages

_HUNTED_ON: Final = ("memory", "sqlite")


@click.command(name="defects")
@click.argument("names", nargs=-1, metavar="[DEFECTS]...")
@click.option("--provider", "providers", multiple=True, type=click.Choice(_HUNTED_ON), help="Default: both.")
@click.option("--profile", type=click.Choice(list(HUNT_PROFILES)), default="full", show_default=True)
@click.option("--schedules", type=click.IntRange(1, 100_000), help="Most schedules in one hunt.")
@click.option("--seeds", type=click.IntRange(1, 1000), help="Hunts with each strategy.")
@click.option("--strategy", "strategies", multiple=True, help=f"One to hunt with; repeatable: {usages()}.")
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="The first seed.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Worker processes; default one per core.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("holdfast-report"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the matrix as JSON.")
def command(
    names: tuple[str, ...],
    providers: tuple[str, ...],
    profile: str,
    schedules: int | None,
    seeds: int | None,
    strategies: tuple[str, ...],
    seed: int,
    jobs: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Hunt each planted defect, see whether the rows it is aimed at fail, and print and store what caught it.

    Exit code 1 if one escapes or is not caught by the property meant for it, or if a row holds under a defect
    aimed at it. The matrix is kept as kills.json; `holdfast check` uses it as evidence.
    """
    amount = HUNT_PROFILES[profile]
    amount = replace(
        amount,
        strategies=strategies or amount.strategies,
        seeds=seeds or amount.seeds,
        most=schedules or amount.most,
    )
    for strategy in amount.strategies:
        make_strategy(strategy, seed)
    prepared(out)
    hunts = _hunts(names, providers or _HUNTED_ON, amount, seed)
    kills: list[Kill] = []
    with progress() as advance:
        for done in run_jobs(hunts, jobs or os.cpu_count() or 1, Kill):
            if done.result is None:
                say(f"holdfast: {done.job.defect} on {done.job.provider}: {done.broke}", err=True)
                sys.exit(Exit.HARNESS)
            kills.append(done.result)
            advance(f"{done.job.defect} on {done.job.provider}", len(kills), len(hunts))
    path = write_kills(out, _joined(kills, out, profile))
    if as_json:
        made = KillMatrix(fingerprint=evidence_fingerprint(), profile=profile, kills=_ordered(kills))
        click.echo(printable_json(encode_kills(made).decode()), nl=False)
    else:
        console().print(_table(kills, amount))
        say(_summed_up(kills))
        say(f"kill matrix: {path}")
    good = all(kill.as_meant and not kill.held() for kill in kills)
    sys.exit(Exit.NOTHING_FOUND if good else Exit.VIOLATION)


def _hunts(names: Sequence[str], places: Sequence[str], amount: HuntProfile, seed: int) -> list[Hunt]:
    from holdfast.properties.defects import defects

    known = defects()
    for name in names:
        if name not in known:
            raise ConfigurationError(f"unknown defect {name!r}, known are {', '.join(known)}")
    return [
        Hunt(defect=name, provider=place, profile=amount, seed=seed, fingerprint=evidence_fingerprint())
        for name in known
        if not names or name in names
        for place in places
    ]


def _joined(kills: Sequence[Kill], out: Path, profile: str) -> KillMatrix:
    """The new kills, and those that the folder has from the same code."""
    fingerprint = evidence_fingerprint()
    before = stored_kills(out, fingerprint)
    old = before.kills if before is not None and before.fingerprint == fingerprint else ()
    hunted = {(kill.defect, kill.provider) for kill in kills}
    kept = [kill for kill in old if (kill.defect, kill.provider) not in hunted]
    return KillMatrix(fingerprint=fingerprint, profile=profile, kills=_ordered([*kills, *kept]))


def _ordered(kills: Sequence[Kill]) -> tuple[Kill, ...]:
    return tuple(sorted(kills, key=lambda kill: (kill.defect, kill.provider)))


def _table(kills: Sequence[Kill], amount: HuntProfile) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("defect", "provider", "meant", "caught by", "rows", *amount.strategies, "seconds"):
        table.add_column(column, overflow="fold")
    for kill in survivors_first(kills):
        failed = sum(made is not None for made in kill.rows.values())
        table.add_row(
            kill.defect,
            kill.provider,
            kill.meant,
            kill.caught_by or "escaped",
            f"{failed} of {len(kill.rows)}",
            *(_spread(kill, strategy) for strategy in amount.strategies),
            _seconds(kill),
            style=None if kill.as_meant and not kill.held() else "bold red",
        )
    return table


def _spread(kill: Kill, strategy: str) -> str:
    """Median schedules to the catch, and the fewest and the most over the seeds."""
    if not kill.hunts.get(strategy):
        return "1"
    counts = kill.spread(strategy)
    if counts is None:
        missed = sum(catch.schedules is None for catch in kill.hunts[strategy])
        return f"missed by {missed} of {len(kill.hunts[strategy])} seeds"
    fewest, median, most = counts
    return f"{median:g}" if fewest == most else f"{median:g} ({fewest}-{most})"


def _seconds(kill: Kill) -> str:
    """Median seconds to the catch over all strategies and seeds, and the fewest and the most."""
    spread = kill.seconds()
    if spread is None:
        return "0"
    fewest, median, most = map(told_seconds, spread)
    return median if fewest == most else f"{median} ({fewest}-{most})"


def _summed_up(kills: Sequence[Kill]) -> str:
    caught = sum(kill.caught_by is not None for kill in kills)
    meant = sum(kill.as_meant for kill in kills)
    lines = [f"{caught} of {len(kills)} caught, {meant} by the property meant for them"]
    lines += [
        f"{', '.join(kill.held())} held under {kill.defect} on {kill.provider}"
        for kill in kills
        if kill.held()
    ]
    return "\n".join(lines)

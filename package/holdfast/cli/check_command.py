"""`holdfast check`: run the scenarios and checks of the specification, and report."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from holdfast.campaign.blocks import import_module_of_others
from holdfast.campaign.campaign import PROFILES, Campaign, CampaignResult, Order
from holdfast.campaign.providers import find_provider
from holdfast.campaign.selection import select
from holdfast.cli.ending import Exit
from holdfast.cli.limit_options import limited, limits
from holdfast.cli.output import TRACES, prepared, write_results
from holdfast.cli.saying import say
from holdfast.cli.terminal import console, progress
from holdfast.reports.coverage import Coverage, encode_coverage
from holdfast.reports.escaping import printable_json
from holdfast.reports.terminal import print_summary
from holdfast.reports.words import is_covered
from holdfast.sim.strategies import make_strategy, usages

_SHOWN_MAX: Final = 10


@click.command(name="check")
@click.argument("names", nargs=-1, metavar="[IDS|SECTIONS|SCENARIOS]...")
@click.option(
    "--provider", "providers", multiple=True, metavar="NAME", help="memory, sqlite, or module:factory."
)
@click.option(
    "--schedules", type=click.IntRange(1, 1_000_000), help="Runs of each scenario on each provider."
)
@click.option(
    "--strategy", default="random", show_default=True, help=f"What chooses the schedules: {usages()}."
)
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True)
@click.option(
    "--max-time", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Start nothing new after this."
)
@click.option("--jobs", type=click.IntRange(1, 256), help="Worker processes; default one per core.")
@limited
@click.option("--profile", type=click.Choice(list(PROFILES)), default="quick", show_default=True)
@click.option("--defect", metavar="NAME", help="Plant a known defect for this check.")
@click.option("--scenario", "module", metavar="MODULE", help="A module that registers scenarios of your own.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("holdfast-report"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print coverage.json instead of the summary.")
def command(
    names: tuple[str, ...],
    providers: tuple[str, ...],
    schedules: int | None,
    strategy: str,
    seed: int,
    max_time: float | None,
    jobs: int | None,
    max_steps: int | None,
    max_all_steps: int | None,
    max_virtual: float | None,
    profile: str,
    defect: str | None,
    module: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Check rows, sections, clauses, invariants or scenarios of the specification; everything by default."""
    make_strategy(strategy, seed)
    if module is not None:
        import_module_of_others(module)
    _check_defect(defect)
    order = Order(
        selection=select(names),
        providers=tuple(find_provider(name) for name in dict.fromkeys(providers or ("memory", "sqlite"))),
        seed=seed,
        strategy=strategy,
        schedules=schedules,
        profile=PROFILES[profile],
        jobs=jobs or os.cpu_count() or 1,
        defect=defect,
        module=module,
        limits=limits(max_steps, max_all_steps, max_virtual),
    )
    if not order.selection:
        say(f"holdfast: no scenario or check is about {', '.join(names)} yet", err=True)
        sys.exit(Exit.NOTHING_SELECTED)
    prepared(out)
    if not as_json:
        say(_first_line(order, profile))
    outcome, interrupted = _run(Campaign(order), max_time)
    made = write_results(out, outcome.evidence, broken=outcome.traces, shown=outcome.shown)
    if as_json:
        click.echo(printable_json(encode_coverage(made).decode()), nl=False)
    _conclude(console(stderr=as_json), made, outcome, out, quiet=as_json)
    sys.exit(Exit.INTERRUPTED if interrupted else _exit_code(made, outcome))


def _check_defect(defect: str | None) -> None:
    if defect is not None:
        from holdfast.campaign.blocks import planted

        with planted(defect):
            pass


def _first_line(order: Order, profile: str) -> str:
    """The seed and all options, before the first step."""
    names = ", ".join(provider.name for provider in order.providers)
    sample = f"profile {profile}: {order.profile.sample}"
    amount = f"{order.schedules} schedules each" if order.schedules else sample
    selection = order.selection
    text = (
        f"holdfast check: {len(selection.scenarios)} scenarios, {len(selection.checks)} conformance checks"
        f" on {names}; {amount}, strategy {order.strategy}, seed {order.seed}, {order.jobs} jobs"
    )
    return f"{text}, with the planted defect {order.defect}" if order.defect else text


def _run(campaign: Campaign, max_time: float | None) -> tuple[CampaignResult, bool]:
    """Run it; on Ctrl-C and at the time limit, keep what was found."""
    end = None if max_time is None else time.monotonic() + max_time
    interrupted = False
    with progress() as advance:

        def go_on(what: str, done: int, total: int) -> bool:
            advance(what, done, total)
            return end is None or time.monotonic() < end

        try:
            campaign.run(go_on)
        except KeyboardInterrupt:
            interrupted = True
    return campaign.outcome(), interrupted


def _conclude(shown: Console, made: Coverage, outcome: CampaignResult, out: Path, *, quiet: bool) -> None:
    if not quiet:
        print_summary(shown, made, trace_folder=str(out / TRACES))
    for title, lines in (
        ("not deterministic", outcome.nondeterminism),
        ("could not be run", outcome.broken),
        ("would have been logged", outcome.complaints),
    ):
        for line in lines[:_SHOWN_MAX]:
            shown.print(f"{title}: {line}", markup=False, soft_wrap=True)
        if len(lines) > _SHOWN_MAX:
            shown.print(f"{title}: {len(lines) - _SHOWN_MAX} more")
    if not quiet:
        shown.print(f"report: {out / 'index.html'}", soft_wrap=True)


def _exit_code(made: Coverage, outcome: CampaignResult) -> Exit:
    if outcome.nondeterminism:
        return Exit.NONDETERMINISM
    if made.summary.violations or any(check.outcome == "failed" for check in outcome.evidence.checks):
        return Exit.VIOLATION
    if outcome.broken or any(run.error_count for run in outcome.evidence.runs):
        return Exit.HARNESS
    summary = made.summary
    totals = summary.providers.values()
    covered = any(count for status, count in summary.rows.items() if is_covered(status))
    if (
        not covered
        and any(total.unknown for total in totals)
        and not any(total.schedules for total in totals)
    ):
        return Exit.HARNESS  # nothing was checked, which is never success
    return Exit.NOTHING_FOUND

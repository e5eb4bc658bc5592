"""`holdfast sweep`: every single fault at every commit boundary of a scenario, then pairs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from holdfast.campaign.blocks import planted, subject_of
from holdfast.campaign.pool import run_jobs
from holdfast.campaign.providers import find_provider
from holdfast.campaign.single import Subject
from holdfast.campaign.sweep import Finding, Plan, Swept, boundaries_of, pairs, parts, singles
from holdfast.cli.ending import Exit
from holdfast.cli.output import TRACES, prepared
from holdfast.cli.saying import say
from holdfast.cli.terminal import progress
from holdfast.core.contract.errors import ConfigurationError
from holdfast.traces.file import trace_file_name, write_trace

_SHOWN_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """All single faults, or pairs, of one scenario on one provider."""

    scenario: str
    provider: str
    faults: int
    possible: int
    drawn: bool
    swept: Swept

    def told(self) -> str:
        what = "single faults" if self.faults == 1 else "pairs of faults"
        held = f"{self.swept.held} of {self.swept.struck} held"
        amount = f"{what}, drawn from {self.possible}: {held}" if self.drawn else f"all {what}: {held}"
        return f"{self.scenario} on {self.provider}: {amount}"


@click.command(name="sweep")
@click.argument("names", nargs=-1, required=True, metavar="SCENARIO...")
@click.option("--faults", type=click.IntRange(1, 2), default=1, show_default=True, help="Most at once.")
@click.option(
    "--provider", "providers", multiple=True, metavar="NAME", help="memory, sqlite, or module:factory."
)
@click.option("--most", type=click.IntRange(1), default=2000, show_default=True, help="Most pairs to try.")
@click.option(
    "--seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="Seed for drawing pairs."
)
@click.option("--jobs", type=click.IntRange(1, 256), help="Worker processes; default one per core.")
@click.option("--defect", metavar="NAME", help="Plant a known defect for this sweep.")
@click.option("--scenario", "module", metavar="MODULE", help="A module that registers scenarios of your own.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("holdfast-report"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(
    names: tuple[str, ...],
    faults: int,
    providers: tuple[str, ...],
    most: int,
    seed: int,
    jobs: int | None,
    defect: str | None,
    module: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Strike the plain run of each SCENARIO with every fault at every commit boundary.

    The faults: a crash before and after the call, its answer lost, a refusal, a stall and a jump of the
    store's clock beyond the session lock, and a jump back. The scenario's own fault budget is not used, so
    its oracles must be true under any one of these.
    """
    prepared(out)
    with planted(defect):
        pass
    rounds: list[_Round] = []
    for name in names:
        for provider in dict.fromkeys(providers or ("memory", "sqlite")):
            subject = subject_of(name, find_provider(provider), defect, module)
            if not subject.scenario.explored:
                raise ConfigurationError(f"scenario {name!r} has no schedules; run `holdfast check` on it")
            for one in _sweep(subject, faults, most, seed, jobs or os.cpu_count() or 1, defect, module):
                rounds.append(one)
                if not as_json:
                    say(one.told())
                    _show(one.swept.findings, out)
    if as_json:
        click.echo(json.dumps([_as_dict(one, out) for one in rounds], indent=1))
    findings = [finding for one in rounds for finding in one.swept.findings]
    sys.exit(_exit_code(findings))


def _sweep(
    subject: Subject, faults: int, most: int, seed: int, jobs: int, defect: str | None, module: str | None
) -> Sequence[_Round]:
    scenario, provider = subject.scenario, subject.provider.name

    def swept(plans: list[Plan]) -> Swept:
        made = Swept()
        work = parts(scenario, provider, plans, defect, module)
        with progress() as advance:
            for count, done in enumerate(run_jobs(work, jobs, Swept), start=1):
                if done.result is None:
                    say(f"holdfast: {scenario.name} on {provider}: {done.broke}", err=True)
                    sys.exit(Exit.HARNESS)
                made.add(done.result)
                advance(f"{scenario.name} on {provider}", count, len(work))
        made.findings.sort(key=lambda finding: finding.plan)
        return made

    plans = singles(scenario, boundaries_of(subject))
    first = swept(plans)
    rounds = [
        _Round(
            scenario=scenario.name,
            provider=provider,
            faults=1,
            possible=len(plans),
            drawn=False,
            swept=first,
        )
    ]
    if faults == 2:
        chosen, possible = pairs(scenario, first, most, seed)
        rounds.append(
            _Round(
                scenario=scenario.name,
                provider=provider,
                faults=2,
                possible=possible,
                drawn=len(chosen) < possible,
                swept=swept(chosen),
            )
        )
    return rounds


def _show(findings: Sequence[Finding], out: Path) -> None:
    for finding in findings[:_SHOWN_MAX]:
        what = "unknown" if finding.rule is None else f"violated {finding.rule}"
        say(f"  {what} under {finding.plan}: {finding.message.splitlines()[0]}")
        path = _keep(finding, out)
        if path is not None:
            say(f"  replay: holdfast replay {path}")
    if len(findings) > _SHOWN_MAX:
        say(f"  and {len(findings) - _SHOWN_MAX} more; --json lists them all")


def _keep(finding: Finding, out: Path) -> Path | None:
    if finding.trace is None:
        return None
    path = out / TRACES / trace_file_name(finding.trace)
    write_trace(path, finding.trace)
    return path


def _as_dict(one: _Round, out: Path) -> dict[str, object]:
    return {
        "scenario": one.scenario,
        "provider": one.provider,
        "faults": one.faults,
        "possible": one.possible,
        "drawn": one.drawn,
        "struck": one.swept.struck,
        "held": one.swept.held,
        "findings": [
            {
                "plan": finding.plan,
                "rule": finding.rule,
                "message": finding.message,
                "trace": None if (path := _keep(finding, out)) is None else str(path),
            }
            for finding in one.swept.findings
        ],
    }


def _exit_code(findings: Sequence[Finding]) -> Exit:
    if any(finding.rule is not None for finding in findings):
        return Exit.VIOLATION
    return Exit.HARNESS if findings else Exit.NOTHING_FOUND

"""`holdfast replay`: run a trace again, and report whether its rule is still broken."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import click

from holdfast.campaign.recording import RecordedRun, replayed
from holdfast.cli.ending import Exit
from holdfast.cli.limit_options import limited, limits
from holdfast.cli.saying import say
from holdfast.cli.traced import Traced, load
from holdfast.sim.errors import TapeMismatch
from holdfast.traces.steps import first_difference


@click.command(name="replay")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--provider", metavar="NAME", help="Run on this provider instead; needed for module:factory.")
@click.option("--scenario", "module", metavar="MODULE", help="The module that registers the scenario.")
@limited
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(
    file: Path,
    provider: str | None,
    module: str | None,
    max_steps: int | None,
    max_all_steps: int | None,
    max_virtual: float | None,
    as_json: bool,
) -> None:
    """Run the trace FILE again: exit code 1 if its rule is still violated, 0 if not, 4 if the run differs.

    With the code that made the trace the replay is strict: every step must be the same. With other code
    it follows the tape as far as it fits, and says so.
    """
    traced = load(file, provider, module)
    subject = replace(traced.subject, limits=limits(max_steps, max_all_steps, max_virtual))
    try:
        recorded = replayed(subject, traced.trace.tape, strict=traced.same_code)
    except TapeMismatch as error:
        _differs(str(error))
    if traced.same_code:
        _check_steps(traced, recorded)
    violation = traced.trace.header.violation
    rule = None if violation is None else violation.rule
    found = next((one for one in recorded.run.failures if rule in (None, one.rule)), None)
    cut_off = recorded.run.cut_off_at
    if as_json:
        outcome = {
            "violated": None if found is None else found.rule,
            "message": None if found is None else found.message,
            "digest": recorded.run.digest,
            "strict": traced.same_code,
            "steps": len(recorded.steps),
            "cut_off": None if cut_off is None else list(cut_off.lines()),
            "complaints": list(recorded.run.complaints),
        }
        click.echo(json.dumps(outcome, indent=1))
    else:
        _say(traced, recorded, rule, found is not None, "" if found is None else found.message)
    sys.exit(Exit.NOTHING_FOUND if found is None else Exit.VIOLATION)


def _check_steps(traced: Traced, recorded: RecordedRun) -> None:
    difference = first_difference(traced.trace.steps, recorded.steps)
    if difference is not None:
        _differs(f"first at step {difference.n}: recorded {difference.recorded}, now {difference.replayed}")
    if (recorded.run.digest or "") != traced.trace.header.digest:
        _differs("the steps are the same, but the histories at the end differ")


def _differs(how: str) -> None:
    say(f"holdfast: the code is the same, but the run differs from the recorded one: {how}", err=True)
    sys.exit(Exit.NONDETERMINISM)


def _say(traced: Traced, recorded: RecordedRun, rule: str | None, violated: bool, message: str) -> None:
    manner = "strict" if traced.same_code else "lenient: other code made the trace"
    say(f"replayed {len(recorded.steps)} steps ({manner})")
    if violated:
        say(f"violated {rule}: {message}")
    elif rule is None:
        say("no rule is violated")
    else:
        say(f"no longer violated: {rule}")
    if recorded.run.cut_off_at is not None:
        for line in recorded.run.cut_off_at.lines():
            say(line)
    for complaint in recorded.run.complaints:
        say(f"would have been logged: {complaint}")
    say(f"digest {recorded.run.digest or 'none: ' + str(recorded.run.error)}")

"""`holdfast report`: write the report of an earlier check again, and compare it with a recorded state."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from holdfast.cli.ending import Exit
from holdfast.cli.output import TRACES, read_results, write_file, write_report
from holdfast.cli.saying import say
from holdfast.cli.terminal import console
from holdfast.core.contract.errors import ConfigurationError
from holdfast.reports.coverage import Coverage, encode_coverage
from holdfast.reports.escaping import printable_json
from holdfast.reports.ratchet import decode_state, encode_state, lost, state_of
from holdfast.reports.terminal import print_summary


@click.command(name="report")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("holdfast-report"))
@click.option("--ratchet", type=click.Path(path_type=Path), metavar="FILE", help="Fail if evidence was lost.")
@click.option("--update", is_flag=True, help="Record the present state in the file of --ratchet.")
@click.option("--json", "as_json", is_flag=True, help="Print coverage.json instead of the summary.")
def command(folder: Path, ratchet: Path | None, update: bool, as_json: bool) -> None:
    """Write coverage.json, the pages and the picture in FOLDER from the evidence of a check, and sum up.

    With --ratchet, exit code 1 if a row or an invariant has less evidence than FILE records: a weaker word on
    a provider, or one check, situation or killed defect fewer. --update records what there is now.
    """
    if update and ratchet is None:
        raise ConfigurationError("--update needs --ratchet FILE, the file to record in")
    found = read_results(folder)
    if ratchet is not None and found.evidence.defect is not None:
        raise ConfigurationError(
            f"{folder} is from a check with the planted defect {found.evidence.defect};"
            " --ratchet needs a check without one"
        )
    made = write_report(folder, found.evidence, broken=found.broken, shown=found.shown)
    if as_json:
        click.echo(printable_json(encode_coverage(made).decode()), nl=False)
    else:
        print_summary(console(), made, trace_folder=str(folder / TRACES))
        say(f"report: {folder / 'index.html'}")
    losses = _losses(made, ratchet, update) if ratchet is not None else []
    for line in losses:
        say(f"lost evidence: {line}", err=as_json)
    sys.exit(Exit.VIOLATION if made.summary.violations or losses else Exit.NOTHING_FOUND)


def _losses(made: Coverage, file: Path, update: bool) -> list[str]:
    now = state_of(made)
    if update:
        write_file(file, encode_state(now))
        return []
    try:
        return lost(decode_state(file.read_bytes()), now)
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error.strerror}; record the state with --update"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"{file}: {error}; record it again with --update") from None

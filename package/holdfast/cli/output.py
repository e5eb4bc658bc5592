"""The result folder of a check: coverage.json, the pages, a picture, traces, and the evidence behind them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from holdfast.core.contract.errors import ConfigurationError
from holdfast.reports.coverage import Coverage, coverage, encode_coverage
from holdfast.reports.evidence import Evidence
from holdfast.reports.evidence_file import decode_evidence, encode_evidence
from holdfast.reports.kills import KillMatrix, decode_kills, encode_kills
from holdfast.traces.file import Trace, TraceFileError, encode_trace, read_trace, write_trace

TRACES: Final = "traces"
"""The folder of traces of broken rules."""
RUNS: Final = "runs"
"""The folder of traces of healthy runs, one for each scenario; each check overwrites them."""
EVIDENCE: Final = "evidence.json"
KILLS: Final = "kills.json"
SHIPPED: Final[Traversable] = files("holdfast.properties.defects").joinpath(KILLS)
"""The kill matrix that comes with this code; `make evidence` rebuilds it."""


def prepared(folder: Path) -> Path:
    """Make the folder and check that it is writable, before any run. Raises ConfigurationError if not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".holdfast"):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"output folder {folder} cannot be written: {error.strerror}; choose another with --out"
        ) from None
    return folder


def write_kills(folder: Path, matrix: KillMatrix) -> Path:
    """Store the kill matrix; checks that write to this folder use it as evidence."""
    write_file(folder / KILLS, encode_kills(matrix))
    return folder / KILLS


def stored_kills(folder: Path, fingerprint: str) -> KillMatrix | None:
    """The kill matrix of the folder or the shipped one; preferably one made with this code.

    Raises ConfigurationError for a file that is not a kill matrix.
    """
    found: list[KillMatrix] = []
    for place in (folder / KILLS, SHIPPED):
        try:
            found.append(decode_kills(place.read_bytes()))
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise ConfigurationError(f"{place}: {error}; run `holdfast defects` again") from None
    return next((each for each in found if each.fingerprint == fingerprint), next(iter(found), None))


def write_results(
    folder: Path, evidence: Evidence, *, broken: Mapping[str, Trace], shown: Mapping[str, Trace]
) -> Coverage:
    """Write everything; no file is ever half-written."""
    for name, trace in broken.items():
        write_trace(folder / TRACES / name, trace)
    (folder / RUNS).mkdir(exist_ok=True)
    for name, trace in shown.items():
        write_file(folder / RUNS / name, encode_trace(trace))
    write_file(folder / EVIDENCE, encode_evidence(evidence))
    return write_report(folder, evidence, broken=broken, shown=shown)


def write_report(
    folder: Path, evidence: Evidence, *, broken: Mapping[str, Trace], shown: Mapping[str, Trace]
) -> Coverage:
    """Write coverage.json, the pages and the picture, from the evidence and the stored kill matrix."""
    from holdfast.reports.pages import Traces, pages
    from holdfast.reports.picture import write_picture

    matrix = stored_kills(folder, evidence.fingerprint)
    if matrix is not None and evidence.defect is None:  # with a planted defect nothing is verified
        evidence = replace(evidence, kills=matrix.kills)
    made = coverage(evidence)
    write_file(folder / "coverage.json", encode_coverage(made))
    traces = Traces(
        broken=broken, shown=shown, broken_folder=str(folder / TRACES), shown_folder=str(folder / RUNS)
    )
    for name, page in pages(made, evidence, traces=traces).items():
        write_file(folder / name, page.encode())
    write_picture(folder / "overview.png", made)
    return made


@dataclass(frozen=True, slots=True)
class Results:
    """What an earlier check left: its evidence, the traces of broken rules, and of healthy runs."""

    evidence: Evidence
    broken: Mapping[str, Trace]
    shown: Mapping[str, Trace]


def read_results(folder: Path) -> Results:
    """The results of an earlier check. Raises ConfigurationError if there are none."""
    path = folder / EVIDENCE
    try:
        evidence = decode_evidence(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}; give the folder of a `holdfast check`"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}; run the check again") from None
    broken = sorted({one.trace for run in evidence.runs for one in run.breaches if one.trace})
    return Results(
        evidence,
        broken={name: read_trace(folder / TRACES / name) for name in broken},
        shown=dict(_readable(folder / RUNS, sorted(evidence.shown.values()))),
    )


def _readable(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, Trace]]:
    """Healthy runs are not evidence: the pages leave out one that is missing or unreadable."""
    for name in names:
        with suppress(TraceFileError):
            yield name, read_trace(folder / name)


def write_file(path: Path, content: bytes) -> None:
    """Write a file that is never half-written."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
        file.write(content)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)

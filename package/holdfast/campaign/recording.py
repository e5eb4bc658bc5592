"""From a run to a trace, by running its tape again fully recorded; and from a trace to a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from holdfast.campaign.fingerprint import code_fingerprint
from holdfast.campaign.single import Subject, fairly_blamed, monitors
from holdfast.properties.judging.suite import MonitorSuite
from holdfast.properties.judging.verdict import Violated
from holdfast.properties.spec import spec_fingerprint
from holdfast.sim import FaultBudget, ReplayTape, Run, StoreView, run_schedule
from holdfast.traces.choice import Tape
from holdfast.traces.failure import Failure
from holdfast.traces.file import Fingerprints, Trace, TraceHeader, Violation
from holdfast.traces.record import Watcher
from holdfast.traces.steps import Recorder, StepRecord, step_of_commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where in a campaign a run comes from."""

    seed: int
    strategy: str
    schedule: int
    defect: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A fully recorded run and its steps."""

    run: Run
    steps: tuple[StepRecord, ...]


def fingerprints() -> Fingerprints:
    """Those of the installed code and specification."""
    return Fingerprints(code=code_fingerprint(), spec=spec_fingerprint())


def _version() -> str:
    try:
        return version("holdfast")
    except PackageNotFoundError:  # run from the source tree
        return "source"


def replayed(subject: Subject, tape: Tape, *, strict: bool) -> RecordedRun:
    """Run a tape, recording everything. Raises TapeMismatch if it is strict and the tape does not fit."""
    recorder = Recorder()

    def watchers(view: StoreView) -> Sequence[Watcher]:
        return (recorder, *monitors(view))

    strategy = ReplayTape(tape, strict=strict)
    strategy.begin(0)
    with subject.planting():
        run = run_schedule(
            subject.scenario,
            subject.provider.factory,
            strategy,
            watchers=watchers,
            budget=subject.budget,
            full=True,
            limits=subject.limits,
        )
    return RecordedRun(fairly_blamed(run), tuple(recorder.steps))


def _budget(subject: Subject) -> FaultBudget:
    return subject.scenario.faults if subject.budget is None else subject.budget


def trace_of(subject: Subject, recorded: RecordedRun, origin: Origin, rule: str | None) -> Trace:
    """The trace of a recorded run; `rule` is the broken rule it is kept for, None for a healthy run."""
    run = recorded.run
    failure = next((one for one in run.failures if one.rule == rule), None)
    header = TraceHeader(
        scenario=subject.scenario.name,
        provider=subject.provider.name,
        defect=origin.defect,
        options={name: str(value) for name, value in sorted(subject.scenario.options.items())},
        budgets={str(kind): count for kind, count in _budget(subject).counts().items()},
        fingerprints=fingerprints(),
        versions={"holdfast": _version()},
        seed=origin.seed,
        strategy=origin.strategy,
        schedule=origin.schedule,
        violation=None if failure is None else _violation(recorded, failure),
        digest=run.digest or "",
    )
    return Trace(header=header, tape=run.tape.trimmed(), steps=recorded.steps)


def _violation(recorded: RecordedRun, failure: Failure) -> Violation:
    witness = next(
        (
            dict(verdict.witness)
            for watcher in recorded.run.watchers
            if isinstance(watcher, MonitorSuite)
            for verdict in watcher.verdicts
            if isinstance(verdict, Violated) and verdict.rule == failure.rule
        ),
        None,
    )
    step = step_of_commit(recorded.steps, failure.position) if recorded.steps else None
    return Violation(rule=failure.rule, message=failure.message, witness=witness, step=step)


def record(subject: Subject, tape: Tape, origin: Origin, rule: str | None) -> Trace:
    """Run a tape made with this same code again, recording everything."""
    return trace_of(subject, replayed(subject, tape, strict=True), origin, rule)


def shorter_trace(subject: Subject, trace: Trace, tape: Tape) -> Trace:
    """The trace of a simpler tape that breaks the same rule."""
    header = trace.header
    origin = Origin(
        seed=header.seed, strategy=header.strategy, schedule=header.schedule, defect=header.defect
    )
    violation = header.violation
    return record(subject, tape, origin, None if violation is None else violation.rule)

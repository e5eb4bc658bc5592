"""Timelines: a trace's steps as lanes, marks and spans; data that the page and the terminal both draw.

Steps stand below each other, one line each, in the order they happened: virtual time jumps from nothing to a
minute and back to nothing, so a proportional axis would show neither. A change of time is a line of its own,
`gap_us` before the step. A span is a stretch during which a process held a session or ran a handler.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from holdfast.traces.file import Trace, Violation
from holdfast.traces.steps import Plain, StepKind, StepRecord

SpanKind = Literal["lease", "handler", "down"]

QUIET: Final = frozenset({"capacity_changed", "renewal_sent", "renewal_answered"})
"""Local events that tell a reader little; left out unless asked for."""

OPERATIONS: Final[dict[str, str]] = {
    "enqueue_for_orchestrator": "enqueue message",
    "fetch_orchestration_item": "fetch turn",
    "ack_orchestration_item": "ack turn",
    "abandon_orchestration_item": "abandon turn",
    "renew_orchestration_item_lock": "renew instance lock",
    "enqueue_for_worker": "enqueue item",
    "fetch_work_item": "fetch item",
    "fetch_session_work_item": "fetch item",
    "ack_work_item": "ack item",
    "renew_work_item_lock": "renew item lock",
    "abandon_work_item": "abandon item",
    "renew_session_lock": "renew session",
    "release_session_lock": "release session",
}
"""Contract methods in the words of the glossary."""

FAULTS: Final[dict[str, str]] = {
    "crash": "crashes",
    "stall": "stalls",
    "slow_call": "call is slow",
    "slow_answer": "answer is slow",
    "lost_answer": "answer is lost",
    "refused": "call is refused",
    "unsent": "call is never sent",
    "duplicate": "completion is delivered twice",
    "provider_clock": "store's clock jumps",
    "wall_clock": "wall clock jumps",
}


@dataclass(frozen=True, slots=True)
class Lane:
    """One process; the first lane, `store`, is for what concerns no process."""

    name: str
    boots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One step, at line `line` of lane `lane`. `cause`: whether it can have influenced the violation."""

    n: int
    line: int
    lane: int
    kind: StepKind
    t_us: int
    gap_us: int
    label: str
    detail: str
    failed: bool
    violates: bool
    cause: bool
    members: dict[str, Plain] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch on a lane from one line to another; the last line of all if it was still open."""

    lane: int
    kind: SpanKind
    label: str
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A run to be drawn. `hidden` counts the steps left out, `rule` and `why` are those of the violation."""

    scenario: str
    provider: str
    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    spans: tuple[Span, ...]
    hidden: int
    rule: str
    why: str
    replay: str


def timeline(
    trace: Trace,
    *,
    cause: Collection[int] | None = None,
    only_cause: bool = False,
    everything: bool = False,
    replay: str = "",
) -> Timeline:
    """The timeline of a trace.

    Args:
        cause: places of steps, such as `traces.order.causal_past` gives; only they are marked as causes.
        only_cause: leave out all others.
        everything: also show uneventful steps: empty fetches and changes of capacity.
        replay: the command that runs it again.
    """
    violation = trace.header.violation
    at = violation.step if violation is not None else None
    shown = [
        step
        for step in trace.steps
        if (everything or step.n == at or not _says_little(step))
        and (not only_cause or cause is None or step.n in cause)
    ]
    lanes = _lanes(trace.steps)
    index = {lane.name: place for place, lane in enumerate(lanes)}
    marks: list[Mark] = []
    before_us = 0
    for line, step in enumerate(shown):
        marks.append(
            Mark(
                n=step.n,
                line=line,
                lane=index[step.process or STORE],
                kind=step.kind,
                t_us=step.t_us,
                gap_us=step.t_us - before_us,
                label=label(step),
                detail=detail(step),
                failed=step.error is not None or step.outcome in ("lost", "refused", "unsent"),
                violates=step.n == at,
                cause=cause is None or step.n in cause,
                members=members(step),
            )
        )
        before_us = step.t_us
    return Timeline(
        scenario=trace.header.scenario,
        provider=trace.header.provider,
        lanes=lanes,
        marks=tuple(marks),
        spans=tuple(_spans(trace.steps, shown, index)),
        hidden=len(trace.steps) - len(shown),
        rule=violation.rule if violation is not None else "",
        why=_why(violation),
        replay=replay,
    )


STORE: Final = "store"


def label(step: StepRecord) -> str:
    """What a step is, in two or three words."""
    if step.kind == "commit":
        return OPERATIONS.get(step.operation, step.operation.replace("_", " "))
    if step.kind == "fault":
        return FAULTS.get(step.operation, step.operation.replace("_", " "))
    if step.kind == "boot":
        return "starts" if step.boot <= 1 else f"starts again (boot {step.boot})"
    return step.operation.replace("_", " ")


def detail(step: StepRecord) -> str:
    """Its subject and its result, in one line."""
    words = [step.result] if step.result else []
    for name in _TELLING:
        value = step.arguments.get(name)
        if value is not None and value != []:
            words.append(", ".join(value) if isinstance(value, list) else str(value))
    if isinstance(amount_ms := step.arguments.get("amount_ms"), int):
        words.append(duration(amount_ms * 1000))
    if not step.result and step.arguments.get("session_id"):
        words.append(f"{step.arguments.get('instance_id', '')}/{step.arguments['session_id']}")
    if step.kind == "commit" and step.issued == "" and step.operation.startswith("fetch") and not step.error:
        words.append("nothing")
    if step.error is not None:
        words.append(f"{step.error} error: {step.error_text}" if step.error_text else f"{step.error} error")
    if step.outcome in ("lost", "refused", "unsent"):
        words.append({"lost": "answer lost", "refused": "refused", "unsent": "never sent"}[step.outcome])
    if token := step.issued or step.arguments.get("token"):
        words.append(f"[{token}]")
    return " · ".join(words)


_TELLING: Final = (
    "item",
    "history_delta",
    "worker_items",
    "orchestrator_items",
    "cancelled_activities",
    "completion",
    "status",
    "cause",
    "outcome",
)


def members(step: StepRecord) -> dict[str, Plain]:
    """Everything else about a step, for a reader who opens it."""
    return {
        "operation": step.operation,
        **({"outcome": step.outcome} if step.outcome is not None else {}),
        **({"store clock, ms": step.provider_ms} if step.provider_ms is not None else {}),
        **step.arguments,
        **({"result": step.result} if step.result else {}),
        **({"error": f"{step.error}: {step.error_text}"} if step.error is not None else {}),
        **({"rows": list(step.rows)} if step.rows else {}),
    }


def duration(time_us: int) -> str:
    """A time or duration with the unit that suits it: `0 s`, `250 ms`, `60 s`, `1 h 0 min`."""
    sign, time_us = ("−", -time_us) if time_us < 0 else ("", time_us)
    if 0 < time_us < 1000:
        return f"{sign}{time_us} µs"
    if 0 < time_us < 1_000_000:
        return f"{sign}{time_us / 1000:g} ms"
    seconds, rest = divmod(time_us, 1_000_000)
    if seconds < 600:
        return f"{sign}{round(seconds + rest / 1_000_000, 3):g} s"
    if seconds < 3600:
        return f"{sign}{seconds // 60} min {seconds % 60} s"
    return f"{sign}{seconds // 3600} h {seconds % 3600 // 60} min"


def _why(violation: Violation | None) -> str:
    return violation.message if violation is not None else ""


def _says_little(step: StepRecord) -> bool:
    if step.kind == "local":
        return step.operation in QUIET
    empty = step.operation.startswith("fetch") and not step.issued
    return step.kind == "commit" and empty and step.outcome == "answered" and step.error is None


def _lanes(steps: Iterable[StepRecord]) -> tuple[Lane, ...]:
    """Processes in order of appearance; the store first, if anything happens to it alone."""
    boots: dict[str, int] = {}
    for step in steps:
        if step.process is None:
            boots = {STORE: 0, **boots}
        else:
            boots[step.process] = max(boots.get(step.process, 0), step.boot)
    return tuple(Lane(name, count) for name, count in boots.items())


_BEGINS: Final = {"lease_taken": "lease", "handler_started": "handler"}
_ENDS: Final = {"lease_ended": "lease", "handler_stopped": "handler"}


def _spans(steps: Sequence[StepRecord], shown: Sequence[StepRecord], index: dict[str, int]) -> list[Span]:
    """What each process held and ran, and while it was down; a crash ends all of it."""
    line_of = {step.n: line for line, step in enumerate(shown)}
    end = max(len(shown) - 1, 0)
    open_at: dict[tuple[str, SpanKind, str], int] = {}
    spans: list[Span] = []

    def close(key: tuple[str, SpanKind, str], line: int) -> None:
        first = open_at.pop(key, None)
        if first is not None:
            spans.append(
                Span(lane=index[key[0]], kind=key[1], label=key[2], first_line=first, last_line=line)
            )

    for step in steps:
        line = line_of.get(step.n)
        if line is None or step.process is None:
            continue
        name = _held_name(step)
        if kind := _BEGINS.get(step.operation):
            open_at.setdefault((step.process, "lease" if kind == "lease" else "handler", name), line)
        elif kind := _ENDS.get(step.operation):
            close((step.process, "lease" if kind == "lease" else "handler", name), line)
        elif step.kind == "fault" and step.operation == "crash":
            for key in [key for key in open_at if key[0] == step.process]:
                close(key, line)
            open_at[step.process, "down", "down"] = line
        elif step.kind == "boot":
            close((step.process, "down", "down"), line)
    for key in list(open_at):
        close(key, end)
    return sorted(spans, key=lambda span: (span.lane, span.first_line, span.kind, span.label))


def _held_name(step: StepRecord) -> str:
    if step.operation.startswith("handler"):
        return str(step.arguments.get("token", ""))
    return f"{step.arguments.get('instance_id', '')}/{step.arguments.get('session_id', '')}"

"""Steps: what happened in a run, as the flat records that trace files, digests and timelines are made of.

A record is canonical: it does not depend on the provider, the Python version or the hash seed. Lock tokens
are named by their first appearance, `L1`, `L2`, ...; queue numbers never show. Texts are shortened, and what
is the same in every run (poll timeouts, default filters, absent arguments) is left out. Log records are left
out too: they repeat what the other events say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec

from holdfast.core.contract import events, work_items
from holdfast.core.contract.observe import LocalEvent, Logged
from holdfast.core.contract.provider import (
    DEFAULT_ONLY,
    ExecutionMetadata,
    FetchedTurn,
    FetchedWork,
    TagFilter,
)
from holdfast.traces.record import Booted, CallOutcome, Commit, Fault, Local, RunEnd

StepKind = Literal["commit", "local", "fault", "boot"]
Plain = str | int | bool | None | list[str]
Count = Annotated[int, msgspec.Meta(ge=0)]

TEXT_MAX: Final = 80
"""Longest text taken over from a payload, in characters."""


class StepRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that happened, at place `n` of the run.

    `t_us` is virtual time, `provider_ms` the store's clock (commits only), `operation` the contract method,
    the local event, the fault, or `boot`. `rows` names what a commit touched: `instance I`,
    `item I/execution/activity`, `session I/id`, `issued` the lock token a fetch handed out. `error` tells
    whether trying again could help; `error_text` is the provider's: for readers, never compared.
    """

    n: Count
    t_us: Count
    provider_ms: Count | None = None
    kind: StepKind
    process: str | None
    boot: Count
    operation: str
    outcome: CallOutcome | None = None
    arguments: dict[str, Plain] = {}
    issued: str = ""
    result: str = ""
    error: Literal["transient", "permanent"] | None = None
    error_text: str = ""
    rows: tuple[str, ...] = ()


class Recorder:
    """A watcher that describes everything it is told, in order, into `steps`."""

    def __init__(self) -> None:
        self.steps: list[StepRecord] = []
        self._describer = Describer()
        self._over = False

    def on_commit(self, commit: Commit) -> None:
        """Take note."""
        self._take(commit)

    def on_local(self, local: Local) -> None:
        """Take note, unless it is only a log record."""
        if not isinstance(local.event, Logged):
            self._take(local)

    def on_fault(self, fault: Fault) -> None:
        """Take note."""
        self._take(fault)

    def on_boot(self, booted: Booted) -> None:
        """Take note."""
        self._take(booted)

    def on_end(self, end: RunEnd) -> None:
        """Nothing to record: what processes report while they are buried is not part of the run."""
        self._over = True

    @property
    def violated(self) -> bool:
        """A recorder judges nothing."""
        return False

    def open_until_us(self) -> int:
        """A recorder waits for nothing."""
        return 0

    def _take(self, happening: Commit | Local | Fault | Booted) -> None:
        if not self._over:
            self.steps.append(self._describer.describe(happening))


class Describer:
    """Turns what happened into step records; remembers tokens and boots from one to the next."""

    def __init__(self) -> None:
        self._count = 0
        self._boots: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._rows: dict[str, tuple[str, ...]] = {}  # token -> what it locks

    def describe(self, happening: Commit | Local | Fault | Booted) -> StepRecord:
        """The record of one thing; to be called once for each, in order."""
        n = self._count
        self._count += 1
        match happening:
            case Commit():
                return self._commit(n, happening)
            case Local():
                return self._local(n, happening)
            case Fault():
                return StepRecord(
                    n=n,
                    t_us=happening.time_us,
                    kind="fault",
                    process=happening.process,
                    boot=self._boots.get(happening.process or "", 0),
                    operation=happening.kind,
                    arguments={"amount_ms": happening.amount_ms} if happening.amount_ms else {},
                )
            case Booted():
                self._boots[happening.process] = happening.boot
                return StepRecord(
                    n=n,
                    t_us=happening.time_us,
                    kind="boot",
                    process=happening.process,
                    boot=happening.boot,
                    operation="boot",
                )

    def _commit(self, n: int, commit: Commit) -> StepRecord:
        self._boots.setdefault(commit.process, commit.boot)
        error = commit.error
        return StepRecord(
            n=n,
            t_us=commit.time_us,
            provider_ms=commit.provider_ms,
            kind="commit",
            process=commit.process,
            boot=commit.boot,
            operation=commit.operation,
            outcome=commit.outcome,
            arguments=self._arguments(commit.arguments),
            issued=self._issued(commit.result),
            result=_result(commit.result),
            error=None if error is None else "transient" if error.retryable else "permanent",
            error_text="" if error is None else self._with_named_tokens(error.message),
            rows=self._rows_of(commit),
        )

    def _local(self, n: int, local: Local) -> StepRecord:
        self._boots.setdefault(local.process, local.boot)
        members = _members(local.event)
        return StepRecord(
            n=n,
            t_us=local.time_us,
            kind="local",
            process=local.process,
            boot=local.boot,
            operation=_snake_case(type(local.event).__name__),
            arguments=self._arguments(members),
            rows=self._rows.get(str(members.get("token", "")), ()),
        )

    def _issued(self, result: object) -> str:
        match result:
            case FetchedTurn():
                self._rows[result.token] = (f"instance {result.item.instance}",)
            case FetchedWork():
                self._rows[result.token] = _item_rows(result.item)
            case _:
                return ""
        return self._named(result.token)

    def _rows_of(self, commit: Commit) -> tuple[str, ...]:
        rows: dict[str, None] = {}  # in order of mention, once each
        result = commit.result
        if isinstance(result, FetchedTurn | FetchedWork):
            rows.update(dict.fromkeys(self._rows[result.token]))
        for name, value in commit.arguments.items():
            if name == "token":
                rows.update(dict.fromkeys(self._rows.get(str(value), ())))
            else:
                rows.update(dict.fromkeys(_rows_named_by(value)))
        instance, session = commit.arguments.get("instance_id"), commit.arguments.get("session_id")
        if isinstance(session, str):
            rows[f"session {instance}/{session}"] = None
        elif isinstance(instance, str):
            rows[f"instance {instance}"] = None
        return tuple(rows)

    def _arguments(self, arguments: Mapping[str, object]) -> dict[str, Plain]:
        plain: dict[str, Plain] = {}
        for name, value in arguments.items():
            if name == "token":
                plain[name] = self._named(str(value))
            elif isinstance(value, ExecutionMetadata):
                plain.update(_metadata(value))
            elif name not in ("poll_timeout", "filter") and value not in (None, (), [], DEFAULT_ONLY):
                plain[name] = _plain(value)
        return plain

    def _named(self, token: str) -> str:
        return self._names.setdefault(token, f"L{len(self._names) + 1}")

    def _with_named_tokens(self, text: str) -> str:
        for token, name in self._names.items():
            text = text.replace(token, name)
        return shortened(text, 2 * TEXT_MAX)


class StepDifference(msgspec.Struct, frozen=True):
    """The first place where two runs of one tape differ; None for a run that has already ended."""

    n: int
    recorded: StepRecord | None
    replayed: StepRecord | None


def first_difference(recorded: Sequence[StepRecord], replayed: Sequence[StepRecord]) -> StepDifference | None:
    """The first difference between two records, error texts aside, or None."""
    for n in range(max(len(recorded), len(replayed))):
        left = recorded[n] if n < len(recorded) else None
        right = replayed[n] if n < len(replayed) else None
        if left is None or right is None or _compared(left) != _compared(right):
            return StepDifference(n, left, right)
    return None


def step_of_commit(steps: Sequence[StepRecord], commits: int) -> int:
    """The place of the last of the first `commits` commits: where a failure seen after it belongs."""
    seen = 0
    for step in steps:
        seen += step.kind == "commit"
        if seen == commits and step.kind == "commit":
            return step.n
    return max(len(steps) - 1, 0)


def brief(value: object) -> str:
    """One line for a work item, an event, an identifier, or any other value of the contract."""
    match value:
        case work_items.ActivityExecute():
            where = f" on {value.session_id}" if value.session_id is not None else ""
            return f"{value.name} #{value.id} of {value.instance}/{value.execution_id}{where}"
        case events.OpaqueEvent():
            return f"{value.event_id} {events.kind_of(value)}"
        case events.Event():
            answers = f" of #{value.source_event_id}" if value.source_event_id is not None else ""
            return f"{value.event_id} {type(value).__name__}{answers}{_what(value)}"
        case msgspec.Struct():
            number = getattr(value, "id", getattr(value, "parent_id", None))
            answers = f" of #{number}" if number is not None else ""
            return f"{work_items.stored_name(type(value))}{answers} for {_addressee(value)}{_what(value)}"
        case TagFilter():
            tags = [*(["untagged"] if value.untagged else []), *sorted(value.tags)]
            return "any tag" if value.any_tag else ", ".join(tags) or "none"
        case tuple():
            return "/".join(map(str, value))
        case _:
            return shortened(str(value), TEXT_MAX)


def shortened(text: str, limit: int) -> str:
    """The text in at most `limit` characters, with what was cut counted."""
    return text if len(text) <= limit else f"{text[:limit]}… (+{len(text) - limit})"


def _result(result: object) -> str:
    match result:
        case None:
            return ""
        case FetchedTurn():
            messages = ", ".join(work_items.stored_name(type(message)) for message in result.item.messages)
            return f"turn of {result.item.instance}: {messages}"
        case FetchedWork():
            again = f", attempt {result.attempt_count}" if result.attempt_count > 1 else ""
            return f"{brief(result.item)}{again}"
        case list() | tuple() | dict():
            return f"{len(result)} found"
        case _:
            return brief(result)


_WHAT: Final = ("name", "session_id", "orchestration", "result", "output", "reason")


def _what(value: object) -> str:
    """The one member that tells an event or message from others of its kind."""
    for member in _WHAT:
        text = getattr(value, member, None)
        if isinstance(text, str):
            return f" {shortened(text, TEXT_MAX)}"
    return ""


def _addressee(value: object) -> str:
    return str(getattr(value, "instance", getattr(value, "parent_instance", "?")))


def _plain(value: object) -> Plain:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str) and not hasattr(value, "_fields"):
        return [brief(member) for member in value]
    return brief(value)


def _metadata(metadata: ExecutionMetadata) -> dict[str, Plain]:
    plain: dict[str, Plain] = {}
    if metadata.status is not None:
        plain["status"] = metadata.status
    if metadata.output is not None:
        plain["output"] = shortened(metadata.output, TEXT_MAX)
    if metadata.opened_sessions:
        plain["opened_sessions"] = [session.session_id for session in metadata.opened_sessions]
    if metadata.cancelled_sessions:
        plain["cancelled_sessions"] = [session.session_id for session in metadata.cancelled_sessions]
    return plain


def _item_rows(item: work_items.ActivityExecute) -> tuple[str, ...]:
    row = f"item {item.instance}/{item.execution_id}/{item.id}"
    if item.session_id is None:
        return (row,)
    return row, f"session {item.instance}/{item.session_id}"


def _rows_named_by(value: object) -> tuple[str, ...]:
    """The rows an argument names, if it is a work item, an identifier, metadata, or a list of such."""
    match value:
        case work_items.ActivityExecute():
            return _item_rows(value)[:1]  # enqueuing an item does not touch its session
        case events.Event():
            return ()
        case msgspec.Struct():
            return (f"instance {_addressee(value)}",)
        case ExecutionMetadata():
            sessions = (*value.opened_sessions, *value.cancelled_sessions)
            return tuple(f"session {session.instance}/{session.session_id}" for session in sessions)
        case tuple() if hasattr(value, "activity_id"):
            return (f"item {'/'.join(map(str, value))}",)
        case list() | tuple():
            return tuple(row for member in value for row in _rows_named_by(member))
        case _:
            return ()


def _compared(step: StepRecord) -> StepRecord:
    return msgspec.structs.replace(step, error_text="") if step.error_text else step


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _members(event: LocalEvent) -> dict[str, object]:
    """A logged exception is left out: the text of the record says what it was."""
    if isinstance(event, Logged):
        return {"event": event.event, "level": event.level, "fields": event.fields}
    return msgspec.structs.asdict(event)

"""Chronicle: what has happened in a run so far, reported to its watchers as it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from zlib import crc32

import xxhash

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.observe import LocalEvent
from holdfast.core.contract.provider import TERMINAL_STATUSES, FetchedTurn, FetchedWork
from holdfast.sim.loop.virtual_time import VirtualTime
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.steps import FETCHES
from holdfast.traces.calls import AckOrchestrationItemCall
from holdfast.traces.record import Booted, CallOutcome, Commit, Fault, FaultKind, Local, RunEnd, Watcher

_NOTHING: Final = b"-"
_SOMETHING: Final = b"+"
_ERROR: Final = b"!"

_NO_EVENTS: Final = frozenset(
    {
        "renew_orchestration_item_lock",
        "renew_work_item_lock",
        "renew_session_lock",
        "read",
        "read_with_execution",
        "get_custom_status",
        "get_kv_value",
        "get_kv_all_values",
    }
)
"""Calls that, if they succeed, change nothing that anybody waits for; nor does a fetch that finds nothing."""


class Chronicle:
    """Commits, local events and faults in order; instances seen and how their executions ended.

    `ended` maps an instance to the status of its latest acknowledged end of an execution, `executions` to its
    highest execution number fetched; both in order of first appearance. `event_count` says how often
    something has happened, and `event_us` when it last did: a fault, a start, or a commit that is more
    than a look.
    """

    def __init__(self, time: VirtualTime, watchers: Sequence[Watcher]) -> None:
        self.commits: list[Commit] = []
        self.locals: list[Local] = []
        self.faults: list[Fault] = []
        self.watcher_errors: list[str] = []
        self.ended: dict[str, str] = {}
        self.executions: dict[str, int] = {}
        self.event_count = 0
        self.event_us = 0
        self._time = time
        self._over = False
        self._watchers = tuple(watchers)
        self._turns: dict[str, str] = {}  # token of a turn -> instance
        self._sequence = bytearray()
        self._heads: dict[tuple[str, int, str, str], bytes] = {}

    # --- taking note ----------------------------------------------------------------------------------

    def commit(
        self,
        process: Process,
        operation: str,
        arguments: Mapping[str, object],
        outcome: CallOutcome,
        result: object = None,
        error: ProviderError | None = None,
    ) -> Commit:
        """A call reached the store, or a fault kept it away."""
        time = self._time
        assert not self._over, f"{operation} of {process!r} commits after the end of the run"
        if outcome in ("refused", "unsent"):
            assert result is None, f"{operation} was {outcome}, yet it has a result: {result!r}"
            assert error is None, f"{operation} was {outcome}, yet the store raised {error!r}"
        assert error is None or result is None, f"{operation} has both a result and an error: {error!r}"
        if self.commits:
            before_us = self.commits[-1].time_us
            assert before_us <= time.now_us, f"{operation} commits at {time.now_us} us, after {before_us} us"
        commit = Commit(
            len(self.commits),
            process.name,
            process.boot,
            operation,
            arguments,
            outcome,
            result,
            error,
            time.now_us,
            time.provider_ms(),
        )
        self.commits.append(commit)
        if error is not None or outcome != "answered" or _is_event(operation, result):
            self._event()
        self._sequence += self._summary(commit)
        if error is None and outcome in ("answered", "lost"):
            if operation == "ack_orchestration_item":
                self._note_end(commit)
            elif isinstance(result, FetchedTurn):
                self._turn_fetched(result)
        self._tell("on_commit", commit)
        return commit

    def local(self, process: Process, event: LocalEvent) -> None:
        """A process reported something."""
        assert process.alive, f"{process!r} is dead, yet it reports {event!r}"
        local = Local(process.name, process.boot, self._time.now_us, event)
        self.locals.append(local)
        self._tell("on_local", local)

    def fault(self, kind: FaultKind, process: str | None, amount_ms: int = 0) -> None:
        """A fault struck."""
        may_be_negative = kind in ("provider_clock", "wall_clock")
        assert amount_ms >= 0 or may_be_negative, f"a {kind} of {amount_ms} ms"
        fault = Fault(kind, process, self._time.now_us, amount_ms)
        self.faults.append(fault)
        self._event()
        self._tell("on_fault", fault)

    def booted(self, process: Process) -> None:
        """A process was started."""
        assert process.alive, f"{process!r} was started, yet it is dead"
        self._event()
        booted = Booted(process.name, process.boot, self._time.now_us)
        self._tell("on_boot", booted)

    def _event(self) -> None:
        self.event_count += 1
        self.event_us = self._time.now_us

    def end(self, steps: int, cut_off: str | None) -> None:
        """The run is over."""
        assert not self._over, "the run ends twice"
        end = RunEnd(self._time.now_us, steps, cut_off)
        self._tell("on_end", end)
        self._over = True

    def _tell(self, how: str, what: object) -> None:
        """Tell every watcher. One that raises is dropped: it must not disturb the process it watches."""
        for watcher in self._watchers:
            try:
                getattr(watcher, how)(what)
            except Exception as error:
                self.watcher_errors.append(f"{type(watcher).__name__}.{how} raised {error!r}")
                self._watchers = tuple(other for other in self._watchers if other is not watcher)

    # --- what follows from it -------------------------------------------------------------------------

    @property
    def now_us(self) -> int:
        """Virtual time."""
        return self._time.now_us

    @property
    def violated(self) -> bool:
        """Whether a watcher has seen a rule broken."""
        for watcher in self._watchers:  # noqa: SIM110 - asked after every step
            if watcher.violated:
                return True
        return False

    def open_until_us(self) -> int:
        """The latest time by which a timed obligation that is open now must have been met."""
        return max((watcher.open_until_us() for watcher in self._watchers), default=0)

    def fingerprint(self) -> str:
        """A cheap name for the sequence of commits, to tell distinct schedules: 16 hexadecimal digits.

        It covers process, operation, outcome, the item found, and virtual time; the digest covers all.
        """
        return xxhash.xxh3_64_hexdigest(self._sequence)

    def _summary(self, commit: Commit) -> bytes:
        key = (commit.process, commit.boot, commit.operation, commit.outcome)
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = crc32("/".join(map(str, key)).encode()).to_bytes(4, "little")
        result = commit.result
        if commit.error is not None:
            tail = _ERROR
        elif result is None:
            tail = _NOTHING
        elif isinstance(result, FetchedTurn):
            tail = result.item.instance.encode()
        elif isinstance(result, FetchedWork):
            tail = f"{result.item.instance}/{result.item.id}".encode()
        else:
            tail = _SOMETHING
        return head + commit.time_us.to_bytes(7, "little") + tail

    def _turn_fetched(self, result: FetchedTurn) -> None:
        item = result.item
        self._turns[result.token] = item.instance
        self.executions[item.instance] = max(self.executions.get(item.instance, 0), item.execution_id)

    def _note_end(self, commit: Commit) -> None:
        """What became of the execution whose turn this acknowledges."""
        call = commit.call
        if isinstance(call, AckOrchestrationItemCall):
            instance, status = self._turns.get(call.token), call.metadata.status
            if instance is not None and (status in TERMINAL_STATUSES or status == "ContinuedAsNew"):
                self.ended[instance] = status


def _is_event(operation: str, result: object) -> bool:
    """Whether a call that was answered is more than a look."""
    return result is not None if operation in FETCHES else operation not in _NO_EVENTS

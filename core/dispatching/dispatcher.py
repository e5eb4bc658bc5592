"""Dispatcher: the shell around the engine: fetch a batch, run its turn, acknowledge its settlement (RT-5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from holdfast.core.contract.clock import Clock
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import OrchestrationStarted, SubOrchestrationScheduled
from holdfast.core.contract.ids import LockToken, Micros, Millis
from holdfast.core.contract.observe import Logged, Observer, TurnEnded
from holdfast.core.contract.provider import ExecutionMetadata, FetchedTurn, Provider
from holdfast.core.contract.watchdog import Overrun, Watchdog
from holdfast.core.contract.work_items import Message
from holdfast.core.dispatching.batch_decision import (
    AbandonFor,
    Consume,
    DispatchPolicy,
    Poisoned,
    RunTurn,
    begin_execution,
)
from holdfast.core.dispatching.execution_figures import ended_children
from holdfast.core.dispatching.history_scan import started_of
from holdfast.core.dispatching.settlement import acknowledgement_failed, settle
from holdfast.core.dispatching.turn_commit import TurnCommit
from holdfast.core.engine.turn import run_turn
from holdfast.core.engine.turn_values import TurnInput
from holdfast.core.hosting.backoff import ABANDON_AFTER_ACK, FAILED_ASSERTION_PAUSE
from holdfast.core.hosting.crew import Crew
from holdfast.core.hosting.final_call import final_call
from holdfast.core.hosting.log import Log
from holdfast.core.hosting.options import Timing
from holdfast.core.hosting.slots import Slots


class Dispatcher:
    """The orchestration slots of one runtime."""

    def __init__(
        self,
        provider: Provider,
        clock: Clock,
        crew: Crew,
        *,
        policy: DispatchPolicy,
        timing: Timing,
        observer: Observer | None,
        watchdog: Watchdog | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._crew = crew
        self._policy = policy
        self._timing = timing
        self._observer = observer
        self._watchdog = watchdog
        self._log = Log(observer, "runtime.dispatchers.orchestration")
        self._slots = Slots(
            clock,
            crew,
            self._log,
            fetch=self._fetch,
            process=self._process,
            min_poll=timing.min_poll,
            on_change=on_change,
        )

    def start(self, slot_count: int, runtime_id: str) -> None:
        """Start the slots, named `orch-<slot>-<runtime id>` (RT-1.20)."""
        self._slots.start([f"orch-{index}-{runtime_id}" for index in range(slot_count)])

    def stop(self) -> None:
        self._slots.stop()

    def unpark(self) -> None:
        self._slots.unpark()

    @property
    def running(self) -> bool:
        return self._slots.running

    # --- a slot ---------------------------------------------------------------------------------------

    async def _fetch(self) -> FetchedTurn | None:
        return await self._provider.fetch_orchestration_item(
            self._timing.turn_lock, self._timing.long_poll, self._policy.supported_versions
        )

    async def _process(self, _: str, fetched: FetchedTurn) -> None:
        token = fetched.token
        if self._slots.stopping:
            await self._abandon(token, ignore_attempt=True)
            return
        renewal = self._crew.start(self._renew(token), name=f"renew {token}")
        try:
            await self._dispatch(fetched)
        except AssertionError as error:
            await self._rescue(fetched, error)
        except Overrun as overrun:
            await self._give_up(fetched, overrun)
        finally:
            renewal.cancel()

    async def _rescue(self, fetched: FetchedTurn, error: AssertionError) -> None:
        """An assertion of our own code failed: log it and give the batch back.

        The attempt counts, so that a batch that always fails like this ends as poison. Another runtime,
        perhaps of another version, may succeed meanwhile, and this one goes on with other instances.
        """
        item = fetched.item
        self._log.failed_assertion(
            error,
            instance_id=item.instance,
            execution_id=item.execution_id,
            attempt_count=fetched.attempt_count,
        )
        await self._abandon(fetched.token, delay=FAILED_ASSERTION_PAUSE)

    async def _give_up(self, fetched: FetchedTurn, overrun: Overrun) -> None:
        """The code used up the CPU time of a turn: give the batch back, with its attempt counted.

        What it says about load is nothing that may be stored as the failure of an instance; code that has no
        end on any worker ends as poison (RT-4.56).
        """
        item = fetched.item
        assert str(overrun), f"a turn of {item.instance!r} was interrupted, and nobody says where"
        self._log.error(
            "Orchestration turn exceeded its CPU limit, abandoning",
            instance_id=item.instance,
            execution_id=item.execution_id,
            attempt_count=fetched.attempt_count,
            error=str(overrun),
        )
        await self._abandon(fetched.token, delay=FAILED_ASSERTION_PAUSE)

    async def _renew(self, token: LockToken) -> None:
        """Hold the instance lock while the turn is processed; the first error ends it (RT-5.5, RT-5.6)."""
        due = self._clock.monotonic_us()
        while True:
            due = Micros(due + self._timing.turn_renewal)
            await self._clock.sleep_until(due)
            try:
                await self._provider.renew_orchestration_item_lock(token, extend_for=self._timing.turn_lock)
            except ProviderError as error:
                self._log.warning("Instance lock renewal failed", token=token, error=str(error))
                return

    async def _dispatch(self, fetched: FetchedTurn) -> None:
        item, token, attempt_count = fetched
        beginning = begin_execution(item, attempt_count, policy=self._policy, now_ms=self._clock.now_ms())
        match beginning:
            case RunTurn(turn_input=turn_input, log=log):
                self._write(log)
                await self._run_turn(turn_input, token)
            case Consume(execution_id=execution_id, orchestrator_items=messages, log=log):
                self._write(log)
                await self._acknowledge(_consumed(execution_id, messages), token, turn_input=None)
            case AbandonFor(delay=delay, log=log):
                self._write(log)
                await self._abandon(token, delay=delay)
            case Poisoned(commit=commit):
                self._write(commit.log)
                await self._acknowledge(commit, token, turn_input=None)

    async def _run_turn(self, turn_input: TurnInput, token: LockToken) -> None:
        result = run_turn(turn_input, self._watchdog)
        commit = settle(
            turn_input,
            result,
            supports_sessions=self._provider.supports_sessions(),
            parent_execution_id=await self._parent_execution_id(turn_input),
        )
        if self._observer is not None:
            self._observer.notify(
                TurnEnded(turn_input.instance, turn_input.execution_id, commit.open_sessions, commit.outcome)
            )
        self._write(commit.log)
        await self._acknowledge(commit, token, turn_input=turn_input)

    async def _parent_execution_id(self, turn_input: TurnInput) -> int | None:
        """For a child started before links named their execution: the parent's current one (RT-9.7)."""
        started = next(
            (event for event in turn_input.history if isinstance(event, OrchestrationStarted)), None
        )
        if started is None or started.parent_instance is None or started.parent_execution_id is not None:
            return None
        try:
            history = await self._provider.read(started.parent_instance)
        except ProviderError:
            return None
        for event in reversed(history):
            if isinstance(event, OrchestrationStarted):
                return event.execution_id
        return None

    # --- acknowledging --------------------------------------------------------------------------------

    async def _acknowledge(
        self, commit: TurnCommit, token: LockToken, *, turn_input: TurnInput | None
    ) -> None:
        """Store a turn; on a permanent error record that this failed, if we still hold the lock."""
        assert turn_input is None or turn_input.execution_id == commit.execution_id, (
            f"a turn of execution {turn_input.execution_id} is stored as one of {commit.execution_id}"
        )
        error = await self._stored(commit, token)
        if error is not None and not error.retryable and await self._still_held(token):
            # The lock is held, yet the turn was refused: either for its content, or because the lock seemed
            # expired for a moment. Only the former may fail the instance (RT-5.36), so try once more.
            error = await self._stored(commit, token)
        if error is None:
            self._committed(commit, turn_input)
            return
        if not error.retryable and turn_input is not None and await self._still_held(token):
            record = acknowledgement_failed(
                turn_input, error, parent_execution_id=await self._parent_execution_id(turn_input)
            )
            if await self._stored(record, token) is None:
                self._write(record.log)
                self._committed(record, turn_input)
                return
        self._log.warning(
            "Orchestration acknowledgement failed, abandoning",
            instance_id=None if turn_input is None else turn_input.instance,
            execution_id=commit.execution_id,
            error=str(error),
        )
        await self._abandon(token, delay=ABANDON_AFTER_ACK)

    def _committed(self, commit: TurnCommit, turn_input: TurnInput | None) -> None:
        """Log what a stored turn has begun and ended, once per stored turn (RT-23.8)."""
        self._write(commit.log_committed)
        delta = commit.history_delta
        if delta and self._log.hears("debug"):
            kinds = [type(event) for event in delta]
            history = (*(() if turn_input is None else turn_input.history), *delta)
            started = started_of(history)
            self._log.debug(
                "Turn committed",
                instance_id=delta[0].instance_id,
                execution_id=commit.execution_id,
                orchestration_name=None if started is None else started.name,
                orchestration_version=None if started is None else started.version,
                outcome=commit.outcome,
                started=OrchestrationStarted in kinds,
                children=kinds.count(SubOrchestrationScheduled),
                ended_children=ended_children(history, delta),
            )

    async def _stored(self, commit: TurnCommit, token: LockToken) -> ProviderError | None:
        """Acknowledge; None once it is stored (RT-5.33)."""
        return await final_call(
            self._clock,
            lambda: self._provider.ack_orchestration_item(
                token,
                execution_id=commit.execution_id,
                history_delta=commit.history_delta,
                worker_items=commit.worker_items,
                orchestrator_items=commit.orchestrator_items,
                metadata=commit.metadata,
                cancelled_activities=commit.cancelled_activities,
            ),
        )

    async def _still_held(self, token: LockToken) -> bool:
        """Whether the instance lock is ours; if not, whoever has it decides (RT-5.36)."""
        try:
            await self._provider.renew_orchestration_item_lock(token, extend_for=self._timing.turn_lock)
        except ProviderError:
            return False
        return True

    async def _abandon(
        self, token: LockToken, *, delay: Millis | None = None, ignore_attempt: bool = False
    ) -> None:
        """Give the batch back; if that fails, the lock expires on its own (RT-5.38)."""
        try:
            await self._provider.abandon_orchestration_item(token, delay=delay, ignore_attempt=ignore_attempt)
        except ProviderError as error:
            self._log.debug("abandoned batch is gone", error=str(error))

    def _write(self, records: Sequence[Logged]) -> None:
        for record in records:
            if record.event.startswith("Orchestration") and self._log.hears(record.level):
                record = replace(record, fields={**record.fields, "worker_id": _slot_name()})  # RT-23.5
            self._log.write(record)


def _slot_name() -> str | None:
    """The name of the slot that runs now: that of its task (RT-1.20)."""
    task = asyncio.current_task()
    return None if task is None else task.get_name()


def _consumed(execution_id: int, messages: tuple[Message, ...]) -> TurnCommit:
    """The acknowledgement of a batch that changes nothing (RT-5.11)."""
    return TurnCommit(
        execution_id=execution_id,
        history_delta=(),
        worker_items=(),
        orchestrator_items=messages,
        metadata=ExecutionMetadata(),
        cancelled_activities=(),
        outcome="Continue",
        failure=None,
        open_sessions=(),
    )

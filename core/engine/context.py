"""OrchestrationContext: everything orchestration code may do (RT-4.1, SS-2).

Orchestrations are `async def f(ctx, input)`. Scheduling happens at the call, waiting at the `await`:

    first = ctx.schedule_activity("Resize", name)
    second = ctx.schedule_activity("Upload", name)
    results = await ctx.join(first, second)

Inputs and results are texts. A value that is not a str is encoded as `payload.encode` does (RT-1.22); the
`_typed` variants decode the answer too. A failed activity or child raises ActivityError where it is awaited;
in `join` and `select` the error object is the value.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal, TypeVar

from holdfast.core.contract import arguments
from holdfast.core.contract.errors import CodecError
from holdfast.core.contract.ids import INT63_MAX
from holdfast.core.engine import answer_values as answers
from holdfast.core.engine.actions import (
    CallActivity,
    CloseSession,
    ContinueAsNew,
    CreateTimer,
    DequeueEvent,
    OpenSession,
    Operation,
    StartOrchestrationDetached,
    StartSubOrchestration,
    WaitExternal,
)
from holdfast.core.engine.branches import Child, children_of
from holdfast.core.engine.futures import DurableFuture, Join, Select
from holdfast.core.engine.key_value_calls import KeyValueCalls
from holdfast.core.engine.open_sessions import check_session_id
from holdfast.core.engine.retries import retried
from holdfast.core.program import payload
from holdfast.core.program.registry import SYSCALL_PREFIX
from holdfast.core.program.retry import RetryPolicy

_T = TypeVar("_T")

PENDING_CHILD: Final = "sub::pending_"
"""Prefix of the placeholder for a child whose suffix is not known yet (RT-1.13)."""

_MILLISECOND: Final = timedelta(milliseconds=1)
_LEVELS: Final[dict[str, Literal["debug", "info", "warning", "error"]]] = {
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
}


class OrchestrationContext(KeyValueCalls):
    """What the runtime hands to an orchestration. Valid only while the orchestration runs."""

    # --- who and where ----------------------------------------------------------------------------------

    @property
    def instance_id(self) -> str:
        """Id of the instance."""
        return self._state.turn_input.instance

    @property
    def execution_id(self) -> int:
        """Number of the execution, 1 for the first; continue-as-new adds one."""
        return self._state.turn_input.execution_id

    @property
    def orchestration_name(self) -> str:
        """The registered name of this orchestration."""
        return self._state.started.name

    @property
    def orchestration_version(self) -> str:
        """The registered version of this orchestration."""
        return self._state.started.version

    @property
    def is_replaying(self) -> bool:
        """Whether stored history is being replayed; not exact at its end (RT-4.73, RT-4.74)."""
        return self._state.is_replaying

    # --- activities -------------------------------------------------------------------------------------

    def schedule_activity(
        self, name: str, input: object = "", *, tag: str | None = None
    ) -> DurableFuture[str]:
        """Run an activity on any worker; the result is its text."""
        return self._activity(name, input, tag=tag)

    def schedule_activity_typed(
        self, name: str, value: object, result_type: type[_T], *, tag: str | None = None
    ) -> DurableFuture[_T]:
        """As `schedule_activity`, the result decoded; a result of another type raises ActivityError."""
        payload.check_type(result_type)
        return self._decoded(self._activity(name, value, tag=tag), result_type)

    def schedule_activity_on_session(
        self, name: str, input: object, session_id: str, *, tag: str | None = None
    ) -> DurableFuture[str]:
        """Run an activity on the worker that owns the session (SS-2.5).

        The orchestration fails, and cannot catch it, if the session is not open (SS-16.3). If the session is
        closed before the answer is recorded, the future never resolves (SS-6.12).
        """
        session_id = arguments.text("session_id", session_id)
        return self._activity(name, input, tag=tag, session_id=session_id)

    def schedule_activity_on_session_typed(
        self, name: str, value: object, session_id: str, result_type: type[_T], *, tag: str | None = None
    ) -> DurableFuture[_T]:
        """As `schedule_activity_on_session`, encoding and decoding as `schedule_activity_typed` (SS-2.6)."""
        payload.check_type(result_type)
        session_id = arguments.text("session_id", session_id)
        return self._decoded(self._activity(name, value, tag=tag, session_id=session_id), result_type)

    async def schedule_activity_with_retry(
        self,
        name: str,
        input: object = "",
        policy: RetryPolicy | None = None,
        *,
        tag: str | None = None,
        session_id: str | None = None,
    ) -> str:
        """Run an activity and retry it if it fails (RT-12). To be awaited, joined or selected.

        Raises ActivityError with the last failure, or with `timeout: activity timed out`.
        """
        policy = RetryPolicy() if policy is None else arguments.instance_of("policy", policy, RetryPolicy)
        return await retried(
            name,
            policy,
            attempt=lambda: self._activity(name, input, tag=tag, session_id=session_id),
            timer=self.schedule_timer,
            warn=self.trace_warn,
        )

    async def schedule_activity_with_retry_typed(
        self,
        name: str,
        value: object,
        result_type: type[_T],
        policy: RetryPolicy | None = None,
        *,
        tag: str | None = None,
    ) -> _T:
        """As `schedule_activity_with_retry`, the result decoded; a wrong type is not retried."""
        payload.check_type(result_type)
        text = await self.schedule_activity_with_retry(name, value, policy, tag=tag)
        return answers.typed(text, result_type)

    # --- timers and events ------------------------------------------------------------------------------

    def schedule_timer(self, delay: timedelta) -> DurableFuture[None]:
        """A durable delay, cut to whole milliseconds; zero is a real timer too (RT-7). Never cancelled."""
        delay = arguments.duration("delay", delay)
        fire_at_ms = min(self._state.turn_input.now_ms + delay // _MILLISECOND, INT63_MAX)
        return DurableFuture(
            self._state, self._state.emit(CreateTimer(fire_at_ms=fire_at_ms)), answers.nothing
        )

    def schedule_wait(self, name: str) -> DurableFuture[str]:
        """The next positional event of this name; one raised before this wait is missed (RT-8.3)."""
        return self._text_future(self._state.emit(WaitExternal(name=name)))

    def schedule_wait_typed(self, name: str, value_type: type[_T]) -> DurableFuture[_T]:
        """As `schedule_wait`, decoded; an event of another type ends the orchestration (RT-8.22)."""
        payload.check_type(value_type)
        operation = self._state.emit(WaitExternal(name=name))
        return DurableFuture(self._state, operation, lambda text: self._decode_event(name, text, value_type))

    def dequeue_event(self, queue: str) -> DurableFuture[str]:
        """The next unread message of a queue, also one that came earlier (RT-8.11)."""
        return self._text_future(self._state.emit(DequeueEvent(name=queue)))

    def dequeue_event_typed(self, queue: str, value_type: type[_T]) -> DurableFuture[_T]:
        """As `dequeue_event`, decoded; a message of another type ends the orchestration (RT-8.22)."""
        payload.check_type(value_type)
        operation = self._state.emit(DequeueEvent(name=queue))
        return DurableFuture(self._state, operation, lambda text: self._decode_event(queue, text, value_type))

    def schedule_wait_persistent(self, name: str) -> DurableFuture[str]:
        """Deprecated name of `dequeue_event` (RT-8.24)."""
        return self.dequeue_event(name)

    # --- other orchestrations ---------------------------------------------------------------------------

    def schedule_sub_orchestration(
        self, name: str, input: object = "", *, version: str | None = None, instance_id: str | None = None
    ) -> DurableFuture[str]:
        """Run a child and get its output (RT-9.1). An id starting with `sub::` gives a failed future."""
        return self._text_future(self._child(name, input, version=version, instance_id=instance_id))

    def schedule_sub_orchestration_typed(
        self,
        name: str,
        value: object,
        result_type: type[_T],
        *,
        version: str | None = None,
        instance_id: str | None = None,
    ) -> DurableFuture[_T]:
        """As `schedule_sub_orchestration`, the output decoded."""
        payload.check_type(result_type)
        child = self._child(name, value, version=version, instance_id=instance_id)
        return self._decoded(self._text_future(child), result_type)

    def start_orchestration(
        self, name: str, instance_id: str, input: object = "", *, version: str | None = None
    ) -> None:
        """Start an independent root instance under exactly this id (RT-9.20)."""
        if self._state.is_over:
            return
        instance_id = arguments.text("instance_id", instance_id)
        if instance_id.startswith("sub::") or "::sub::" in instance_id:
            self._state.misuse(
                f"instance id '{instance_id}' uses the reserved sub-orchestration marker 'sub::'"
            )
        text = payload.encode(input, "the input of orchestration", name)
        self._state.emit(
            StartOrchestrationDetached(name=name, instance=instance_id, input=text, version=version)
        )

    def continue_as_new(self, input: object = "") -> DurableFuture[None]:
        """End this execution and begin the next, in the version that the policy gives (RT-10).

        The call itself takes effect; the future never resolves, and awaiting it merely stops the code here.
        """
        return self._continue_as_new(input, None)

    def continue_as_new_versioned(self, version: str, input: object = "") -> DurableFuture[None]:
        """As `continue_as_new`, in exactly this version (RT-10.8)."""
        return self._continue_as_new(input, arguments.text("version", version))

    # --- sessions ---------------------------------------------------------------------------------------

    def open_session(self) -> str:
        """Open a session under a generated id and return the id (SS-2.1)."""
        session_id = self._state.sessions.new_id(
            execution_id=self.execution_id, position=self._state.next_token
        )
        return self._open(session_id)

    def open_session_with_id(self, session_id: str) -> str:
        """Open a session under this id; nothing happens if it is open. Raises SessionIdError (SS-3.9).

        The orchestration fails, and cannot catch it, if too many are open (SS-16.4).
        """
        session_id = check_session_id(session_id)
        return session_id if session_id in self._state.sessions else self._open(session_id)

    def close_session(self, session_id: str) -> None:
        """Close a session and cancel what still runs on it; never an error (SS-2.4, SS-6)."""
        session_id = arguments.text("session_id", session_id)
        self._state.emit(CloseSession(session_id=session_id))
        if not self._state.is_over:
            self._state.sessions.close(session_id)

    # --- system calls, combinators, traces --------------------------------------------------------------

    def get_kv_value_from_instance(self, instance_id: str, key: str) -> DurableFuture[str | None]:
        """A value of another instance, as a worker finds it when it reads it (RT-16.7, RT-18.4)."""
        asked = {"instance_id": arguments.text("instance_id", instance_id), "key": arguments.text("key", key)}
        input = payload.encode_json(asked)
        operation = self._emit_activity(f"{SYSCALL_PREFIX}get_kv_value", input)
        return DurableFuture(self._state, operation, answers.optional_text)

    def new_guid(self) -> DurableFuture[str]:
        """A random UUID, recorded like an activity's result (RT-18.2)."""
        return self._text_future(self._emit_activity(f"{SYSCALL_PREFIX}new_guid", ""))

    def utc_now(self) -> DurableFuture[datetime]:
        """The time on some worker, recorded like an activity's result (RT-18.3)."""
        operation = self._emit_activity(f"{SYSCALL_PREFIX}utc_now_ms", "")
        return DurableFuture(self._state, operation, answers.time)

    def select(self, *futures: Child) -> Select:
        """Await the first to be ready: its index and value; the others are dropped (RT-4.67).

        Coroutines of the code are taken as well, retries among them (RT-12.3, `engine.branches`).
        """
        if not futures and not self._state.is_over:
            self._state.misuse("select needs at least one future")
        return Select(children_of(self._state, "select", futures))

    def join(self, *futures: Child) -> Join:
        """Await all of them: their values in argument order, failures as ActivityError objects (RT-4.68).

        Coroutines of the code are taken as well, retries among them (RT-12.3, `engine.branches`).
        """
        return Join(children_of(self._state, "join", futures))

    def trace(self, level: str, message: str) -> None:
        """One log record, not repeated on replay; leaves no history (RT-4.75, RT-18.7)."""
        known = _LEVELS.get(arguments.text("level", level))
        if known is None:
            self._state.trace("debug", message, level_text=level)
        else:
            self._state.trace(known, message)

    def trace_debug(self, message: str) -> None:
        """`trace` at level debug."""
        self._state.trace("debug", message)

    def trace_info(self, message: str) -> None:
        """`trace` at level info."""
        self._state.trace("info", message)

    def trace_warn(self, message: str) -> None:
        """`trace` at level warning."""
        self._state.trace("warning", message)

    def trace_error(self, message: str) -> None:
        """`trace` at level error."""
        self._state.trace("error", message)

    # --- the common part --------------------------------------------------------------------------------

    def _activity(
        self, name: str, input: object, *, tag: str | None = None, session_id: str | None = None
    ) -> DurableFuture[str]:
        return self._text_future(
            self._emit_activity(name, payload.encode(input, "the input of activity", name), tag, session_id)
        )

    def _emit_activity(
        self, name: str, input: str, tag: str | None = None, session_id: str | None = None
    ) -> Operation:
        if session_id is not None and session_id not in self._state.sessions:
            if not (self._state.next_is_recorded or self._state.is_over):
                self._state.refuse(
                    f"schedule_activity_on_session called for session '{session_id}' which is not open"
                )
        return self._state.emit(CallActivity(name=name, input=input, session_id=session_id, tag=tag))

    def _child(self, name: str, input: object, *, version: str | None, instance_id: str | None) -> Operation:
        text = payload.encode(input, "the input of orchestration", name)
        placeholder = f"{PENDING_CHILD}{self._state.next_token}"
        instance_id = arguments.optional_text("instance_id", instance_id)
        action = StartSubOrchestration(
            name=name, instance=instance_id or placeholder, input=text, version=version
        )
        if instance_id is not None and instance_id.startswith("sub::"):
            refused = Operation(0, action)
            refused.resolve(
                f"instance id '{instance_id}' uses the reserved sub-orchestration marker 'sub::'",
                is_error=True,
            )
            return refused
        return self._state.emit(action)

    def _open(self, session_id: str) -> str:
        sessions, limit = self._state.sessions, self._state.turn_input.limits.sessions_per_orchestration_max
        if self._state.is_over:
            return session_id
        if len(sessions) >= limit and not self._state.next_is_recorded:
            self._state.refuse(
                f"max sessions per orchestration exceeded (limit: {limit}, open: {len(sessions)})"
            )
        assert session_id not in sessions, f"session {session_id!r} is opened twice"
        self._state.emit(OpenSession(session_id=session_id))
        sessions.open(session_id)
        return session_id

    def _continue_as_new(self, input: object, version: str | None) -> DurableFuture[None]:
        text = payload.encode(input, "the input of the next execution")
        return DurableFuture(
            self._state, self._state.emit(ContinueAsNew(input=text, version=version)), answers.nothing
        )

    def _text_future(self, operation: Operation) -> DurableFuture[str]:
        return DurableFuture(self._state, operation, answers.as_it_is)

    def _decoded(self, future: DurableFuture[str], result_type: type[_T]) -> DurableFuture[_T]:
        return future.decoded(lambda text: answers.typed(text, result_type))

    def _decode_event(self, name: str, text: str, value_type: type[_T]) -> _T:
        try:
            return payload.decode(text, value_type)
        except CodecError as error:
            self._state.misuse(f"event {name!r}: {error}")

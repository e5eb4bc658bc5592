"""Client: start, talk to, watch and manage orchestrations; stateless, on top of a provider (RT-19)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from holdfast.core.client.checked_calls import checked
from holdfast.core.client.management_client import ManagementClient
from holdfast.core.contract.arguments import able
from holdfast.core.contract.clock import Clock
from holdfast.core.contract.errors import ActivityError, CodecError, InvalidInput, ProviderError, WaitTimeout
from holdfast.core.contract.events import (
    OrchestrationCompleted,
    OrchestrationFailed,
    OrchestrationStarted,
    StoredEvent,
)
from holdfast.core.contract.failures import FailureDetails
from holdfast.core.contract.ids import Micros
from holdfast.core.contract.observe import Observer
from holdfast.core.contract.provider import Provider
from holdfast.core.contract.work_items import (
    CancelInstance,
    ExternalRaised,
    QueueMessage,
    StartOrchestration,
)
from holdfast.core.hosting.backoff import client_pause
from holdfast.core.hosting.options import in_micros, to_millis
from holdfast.core.program import payload

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Status:
    """What every state of a known instance carries: the custom status and its version (RT-19.6)."""

    custom_status: str | None = None
    custom_status_version: int = 0


@dataclass(frozen=True, slots=True)
class NotFound:
    """No such instance, or its start is not processed yet (RT-19.10)."""

    @property
    def output(self) -> None:
        """There is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running(_Status):
    """Started and not ended; also between two executions."""

    @property
    def output(self) -> None:
        """There is none yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed(_Status):
    """Ended with a result."""

    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(_Status):
    """Ended with a failure.

    `details` is None for an instance whose history cannot be read; `message` is the display text in any case.
    """

    details: FailureDetails | None
    message: str

    @property
    def output(self) -> str:
        """The display text, as a failed execution's stored output has it (RT-20.14)."""
        return self.message


OrchestrationStatus = NotFound | Running | Completed | Failed


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What an instance is, from its latest start event (RT-21.10)."""

    name: str
    version: str
    parent_instance: str | None
    parent_id: int | None


@checked
class Client(ManagementClient):
    """A client of one store; needs no running runtime. `clock` paces its waiting.

    Deletions and prunings are logged (RT-19.37); an `observer` that takes records gets them.

    Errors of the provider pass through unchanged; its own derive from `ClientError`.
    """

    def __init__(self, provider: Provider, *, clock: Clock, observer: Observer | None = None) -> None:
        super().__init__(provider, observer)
        able("clock", clock, "monotonic_us", "a clock, such as SystemClock()")
        self._clock = clock

    # --- sending --------------------------------------------------------------------------------------

    async def start_orchestration(self, instance: str, name: str, input: str = "") -> None:
        """Enqueue a start; an instance that exists already ignores it (RT-19.2, RT-19.3).

        Raises InvalidInput for an id reserved for children (RT-1.16).
        """
        await self._start(instance, name, input, version=None)

    async def start_orchestration_versioned(
        self, instance: str, name: str, version: str, input: str = ""
    ) -> None:
        """Enqueue a start of exactly this version (RT-14.8)."""
        await self._start(instance, name, input, version=version)

    async def start_orchestration_typed(self, instance: str, name: str, input: object) -> None:
        """Enqueue a start with an encoded input."""
        await self._start(instance, name, _encoded(input, "input"), version=None)

    async def start_orchestration_versioned_typed(
        self, instance: str, name: str, version: str, input: object
    ) -> None:
        """Enqueue a start of exactly this version with an encoded input (RT-19.5, RT-14.8)."""
        await self._start(instance, name, _encoded(input, "input"), version=version)

    async def _start(self, instance: str, name: str, input: str, *, version: str | None) -> None:
        _check_root_id(instance)
        await self._provider.enqueue_for_orchestrator(
            StartOrchestration(
                instance=instance, orchestration=name, input=input, version=version, execution_id=1
            )
        )

    async def raise_event(self, instance: str, name: str, data: str) -> None:
        """Send a positional event; it is lost if nobody waits for it yet (RT-8.1)."""
        await self._provider.enqueue_for_orchestrator(ExternalRaised(instance=instance, name=name, data=data))

    async def raise_event_typed(self, instance: str, name: str, data: object) -> None:
        """Send a positional event with encoded data."""
        await self.raise_event(instance, name, _encoded(data, "data"))

    async def enqueue_event(self, instance: str, queue: str, data: str) -> None:
        """Send a queue message; it is kept until it is dequeued (RT-8.11)."""
        await self._provider.enqueue_for_orchestrator(QueueMessage(instance=instance, name=queue, data=data))

    async def enqueue_event_typed(self, instance: str, queue: str, data: object) -> None:
        """Send a queue message with encoded data."""
        await self.enqueue_event(instance, queue, _encoded(data, "data"))

    async def cancel_instance(self, instance: str, reason: str = "") -> None:
        """Request the cancellation of an instance; does not wait or check that it exists (RT-11.1)."""
        await self._provider.enqueue_for_orchestrator(CancelInstance(instance=instance, reason=reason))

    # --- looking --------------------------------------------------------------------------------------

    async def get_orchestration_status(self, instance: str) -> OrchestrationStatus:
        """The state of the latest execution (RT-19.6 to RT-19.10, RT-13.13)."""
        try:
            history = await self._provider.read(instance)
        except ProviderError as error:
            if error.retryable:
                raise
            return await self._unreadable(instance, error)
        if not any(isinstance(event, OrchestrationStarted) for event in history):
            return await self._without_start(instance, history)
        text, version = await self._custom_status(instance)
        for event in reversed(history):
            if isinstance(event, OrchestrationCompleted):
                return Completed(output=event.output, custom_status=text, custom_status_version=version)
            if isinstance(event, OrchestrationFailed):
                return Failed(
                    details=event.details,
                    message=event.details.display(),
                    custom_status=text,
                    custom_status_version=version,
                )
        return Running(custom_status=text, custom_status_version=version)

    async def _without_start(self, instance: str, history: list[StoredEvent]) -> OrchestrationStatus:
        for event in reversed(history):
            if isinstance(event, OrchestrationFailed):
                text, version = await self._custom_status(instance)
                return Failed(
                    details=event.details,
                    message=event.details.display(),
                    custom_status=text,
                    custom_status_version=version,
                )
        return NotFound()

    async def _unreadable(self, instance: str, error: ProviderError) -> OrchestrationStatus:
        """The stored status of an instance whose history cannot be decoded (RT-13.13)."""
        assert not error.retryable, f"{instance!r} is taken for unreadable, and might be read later: {error}"
        management = self._provider.as_management()
        if management is None:
            raise error
        info = await management.get_instance_info(instance)
        text, version = await self._custom_status(instance)
        if info.status == "Failed":
            return Failed(
                details=None,
                message=str(error) if info.output is None else info.output,
                custom_status=text,
                custom_status_version=version,
            )
        if info.status == "Completed":
            return Completed(output=info.output or "", custom_status=text, custom_status_version=version)
        return Running(custom_status=text, custom_status_version=version)

    async def _custom_status(self, instance: str) -> tuple[str | None, int]:
        try:
            status = await self._provider.get_custom_status(instance, 0)
        except ProviderError:
            return None, 0  # a failure here does not fail the query (RT-19.9)
        return (None, 0) if status is None else (status.text, status.version)

    async def describe(self, instance: str) -> Descriptor | None:
        """Name, version and parent of an instance; None if it is unknown (RT-21.10)."""
        for event in reversed(await self._provider.read(instance)):
            if isinstance(event, OrchestrationStarted):
                return Descriptor(event.name, event.version, event.parent_instance, event.parent_id)
        return None

    async def read_history(self, instance: str, execution_id: int | None = None) -> list[StoredEvent]:
        """The history of the latest execution, or of one; empty if there is none."""
        if execution_id is None:
            return await self._provider.read(instance)
        return await self._provider.read_with_execution(instance, execution_id)

    async def get_kv_value(self, instance: str, key: str) -> str | None:
        """One value, including changes of the running execution (RT-19.14)."""
        return await self._provider.get_kv_value(instance, key)

    async def get_kv_value_typed(self, instance: str, key: str, type: type[_T]) -> _T | None:
        """One value, decoded from plain JSON (RT-1.24). Raises InvalidInput if it does not decode."""
        value = await self._provider.get_kv_value(instance, key)
        return None if value is None else _plain_decoded(value, type)

    async def get_kv_all_values(self, instance: str) -> dict[str, str]:
        """All values, including changes of the running execution."""
        return await self._provider.get_kv_all_values(instance)

    # --- waiting --------------------------------------------------------------------------------------

    async def wait_for_orchestration(self, instance: str, timeout: timedelta) -> Completed | Failed:
        """Wait until an instance has ended; it need not exist yet (RT-19.11).

        Raises WaitTimeout when the time is over; it is safe to ask again.
        """

        async def ended() -> Completed | Failed | None:
            status = await self.get_orchestration_status(instance)
            return status if isinstance(status, Completed | Failed) else None

        return await self._poll(ended, timeout)

    async def wait_for_orchestration_typed(self, instance: str, type: type[_T], timeout: timedelta) -> _T:
        """The decoded output (RT-19.12).

        Raises ActivityError with the display text if the instance failed, InvalidInput if the output does not
        decode, WaitTimeout when the time is over.
        """
        status = await self.wait_for_orchestration(instance, timeout)
        if isinstance(status, Failed):
            raise ActivityError(status.message)
        try:
            return payload.decode(status.output, type)
        except CodecError as error:
            raise InvalidInput(f"decode failed: {error}") from error

    async def wait_for_status_change(
        self, instance: str, last_seen_version: int, *, poll_interval: timedelta, timeout: timedelta
    ) -> OrchestrationStatus:
        """Wait until the custom status is newer than the one seen, or the instance ends (RT-19.13)."""

        async def changed() -> OrchestrationStatus | None:
            status = await self.get_orchestration_status(instance)
            if isinstance(status, Completed | Failed):
                return status
            if isinstance(status, Running) and status.custom_status_version > last_seen_version:
                return status
            return None

        return await self._poll(changed, timeout, interval=in_micros(to_millis(poll_interval)))

    async def wait_for_kv_value(self, instance: str, key: str, timeout: timedelta) -> str:
        """Wait for a key to have a value, and return it (RT-19.14)."""
        return await self._poll(lambda: self._provider.get_kv_value(instance, key), timeout)

    async def wait_for_kv_value_typed(
        self, instance: str, key: str, type: type[_T], timeout: timedelta
    ) -> _T:
        """Wait for a key to have a value, and return it decoded."""
        return _plain_decoded(await self.wait_for_kv_value(instance, key, timeout), type)

    async def _poll(
        self,
        look: Callable[[], Awaitable[_T | None]],
        timeout: timedelta,
        *,
        interval: Micros | None = None,
    ) -> _T:
        assert interval is None or interval >= 0, f"a client asks again after {interval} us"
        deadline = self._clock.monotonic_us() + in_micros(to_millis(timeout))
        poll_count = 0
        while (found := await look()) is None:
            now = self._clock.monotonic_us()
            if now >= deadline:
                raise WaitTimeout
            poll_count += 1
            pause = in_micros(client_pause(poll_count)) if interval is None else max(interval, Micros(1000))
            await self._clock.sleep_until(Micros(min(now + pause, deadline)))
        return found


def _check_root_id(instance: str) -> None:
    if instance.startswith("sub::") or "::sub::" in instance:
        raise InvalidInput(f"instance id '{instance}' uses the reserved sub-orchestration marker 'sub::'")


def _encoded(value: object, argument: str) -> str:
    try:
        return payload.encode(value, argument)
    except CodecError as error:
        raise InvalidInput(f"encode failed: {error}") from error


def _plain_decoded(text: str, type: type[_T]) -> _T:
    try:
        return payload.decode_json(text, type)
    except CodecError as error:
        raise InvalidInput(f"decode failed: {error}") from error

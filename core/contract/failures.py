"""Why an orchestration or activity failed, as it is stored (RT-20).

On the wire a failure is an object with exactly one member naming its category, for instance
`{"Application": {"kind": "ActivityFailed", "message": "...", "retryable": false}}`.
"""

from typing import Literal

import msgspec

from holdfast.core.contract.errors import ProviderError


class Infrastructure(msgspec.Struct, frozen=True, kw_only=True):
    """The storage or the runtime itself failed (RT-20.2)."""

    operation: str
    message: str
    retryable: bool


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """The code does not fit its history (RT-20.3)."""

    kind: Literal["Nondeterminism"] = "Nondeterminism"
    resource: str = ""
    message: str | None = None


class Cancelled(msgspec.Struct, frozen=True):
    """The reason for a cancellation."""

    reason: str


class CancelledKind(msgspec.Struct, frozen=True):
    """The one application kind that is an object on the wire."""

    cancelled: Cancelled = msgspec.field(name="Cancelled")


ApplicationKind = Literal["ActivityFailed", "OrchestrationFailed", "Panicked"] | CancelledKind


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """User code, a limit or a cancellation ended it (RT-20.4)."""

    kind: ApplicationKind
    message: str
    retryable: bool = False


class PoisonOrchestration(msgspec.Struct, frozen=True, kw_only=True):
    """An orchestrator batch was tried too often."""

    instance: str
    execution_id: int


class PoisonActivity(msgspec.Struct, frozen=True, kw_only=True):
    """A worker item was tried too often."""

    instance: str
    execution_id: int
    activity_name: str
    activity_id: int


class FailedDeserialization(msgspec.Struct, frozen=True, kw_only=True):
    """A history was unreadable too often."""

    instance: str
    execution_id: int
    error: str


class PoisonedMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which kind of entry was poison: exactly one member is set (RT-20.5)."""

    orchestration: PoisonOrchestration | None = msgspec.field(default=None, name="Orchestration")
    activity: PoisonActivity | None = msgspec.field(default=None, name="Activity")
    failed_deserialization: FailedDeserialization | None = msgspec.field(
        default=None, name="FailedDeserialization"
    )

    def __post_init__(self) -> None:
        _exactly_one(self.orchestration, self.activity, self.failed_deserialization)


class Poison(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts exceeded (RT-20.5)."""

    attempt_count: int
    max_attempts: int
    message_type: PoisonedMessage
    message: str


class FailureDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A failure of any category; exactly one member is set (RT-20.1)."""

    infrastructure: Infrastructure | None = msgspec.field(default=None, name="Infrastructure")
    configuration: Configuration | None = msgspec.field(default=None, name="Configuration")
    application: Application | None = msgspec.field(default=None, name="Application")
    poison: Poison | None = msgspec.field(default=None, name="Poison")

    def __post_init__(self) -> None:
        _exactly_one(self.infrastructure, self.configuration, self.application, self.poison)

    @property
    def aborts_parent(self) -> bool:
        """Whether a parent that receives this fails without running its code (RT-4.15, RT-20.7)."""
        return self.application is None

    @property
    def category(self) -> str:
        """The name of the category (RT-20.13)."""
        present = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        assert len(present) == 1, f"a failure of {present or 'no category'}: {self!r}"
        return present[0]

    @property
    def retryable(self) -> bool:
        """The stored flag; never for a failure that has none (RT-20.9)."""
        assert self.infrastructure is None or self.application is None, f"two categories: {self!r}"
        flagged = self.infrastructure or self.application
        return flagged is not None and flagged.retryable

    def display(self) -> str:
        """The text shown as execution output and to a waiting parent (RT-20.14)."""
        if self.infrastructure is not None:
            return f"infrastructure:{self.infrastructure.operation}: {self.infrastructure.message}"
        if self.configuration is not None:
            if self.configuration.message is not None:
                return f"nondeterministic: {self.configuration.message}"
            return f"nondeterministic in {self.configuration.resource}"
        if self.application is not None:
            if isinstance(self.application.kind, CancelledKind):
                return f"canceled: {self.application.kind.cancelled.reason}"
            if self.application.kind == "Panicked":
                return f"orchestration panicked: {self.application.message}"
            return self.application.message
        assert self.poison is not None, f"a failure of no category: {self!r}"
        return _display_poison(self.poison)


def _display_poison(poison: Poison) -> str:
    tried = f"{poison.attempt_count} attempts (max {poison.max_attempts})"
    what = poison.message_type
    if what.orchestration is not None:
        return f"poison: orchestration {what.orchestration.instance} exceeded {tried}"
    if what.activity is not None:
        return f"poison: activity {what.activity.activity_name}#{what.activity.activity_id} exceeded {tried}"
    assert what.failed_deserialization is not None, f"poison of no kind: {poison!r}"
    broken = what.failed_deserialization
    failed = f"history deserialization failed after {tried}"
    return f"poison: orchestration {broken.instance} {failed}: {broken.error}"


def _exactly_one(*members: object) -> None:
    present = sum(member is not None for member in members)
    if present != 1:
        raise ValueError(f"a failure names exactly one category, this one names {present}")


def infrastructure(error: ProviderError) -> FailureDetails:
    """A provider error as stored: operation, message and flag unchanged (PV-4.4, RT-20.12)."""
    return FailureDetails(
        infrastructure=Infrastructure(
            operation=error.operation, message=error.message, retryable=error.retryable
        )
    )


def nondeterminism(message: str) -> FailureDetails:
    """The orchestration asked for something its history does not hold at that place (RT-4.72)."""
    return FailureDetails(configuration=Configuration(message=message))


def application(
    message: str, kind: Literal["ActivityFailed", "OrchestrationFailed", "Panicked"] = "OrchestrationFailed"
) -> FailureDetails:
    """A failure of user code, a limit or a session check (RT-20.4, RT-20.10)."""
    return FailureDetails(application=Application(kind=kind, message=message))


def cancelled(reason: str) -> FailureDetails:
    """How a cancelled orchestration ends (RT-11.5)."""
    return FailureDetails(application=Application(kind=CancelledKind(Cancelled(reason)), message=""))

"""Every exception of the runtime and of the provider contract.

    HoldfastError
    ├── ProviderError            a storage call failed; says whether trying again can help
    ├── CodecError               stored text is not an event or message we know
    ├── ConfigurationError       an option or a registration is invalid (also a ValueError)
    ├── SessionIdError           a session id is refused (also a ValueError)
    ├── ActivityError            a scheduled activity or child failed; seen by orchestration code
    └── ClientError
        ├── InvalidInput
        ├── WaitTimeout
        ├── ManagementNotAvailable
        ├── InstanceStillRunning
        ├── CannotDeleteSubOrchestration
        └── InstanceNotFound

`ProviderError.retryable` is the only thing callers branch on: a permanent error is an answer, a retryable one
may pass.
"""


class HoldfastError(Exception):
    """The base class of every error raised here. Catch it to catch them all."""


class ProviderError(HoldfastError):
    """A provider method failed and changed nothing another call can observe (PV-4.1, PV-4.7).

    Raised for a stale lock token, a malformed argument or a busy store. Having nothing to hand out is no
    error: that is None (PV-4.10). Retry if `retryable`; otherwise the error is the answer.
    """

    def __init__(self, operation: str, message: str, *, retryable: bool) -> None:
        super().__init__(operation, message, retryable)
        self.operation = operation
        self.message = message
        self.retryable = retryable

    @classmethod
    def permanent(cls, operation: str, message: str) -> "ProviderError":
        """An error that trying again would only repeat (PV-4.6)."""
        return cls(operation, message, retryable=False)

    @classmethod
    def transient(cls, operation: str, message: str) -> "ProviderError":
        """An error that may be gone at the next try (PV-4.5)."""
        return cls(operation, message, retryable=True)

    @classmethod
    def from_text(cls, text: str) -> "ProviderError":
        """An error made from a bare text: retryable, of an unknown operation (PV-4.3)."""
        return cls("unknown", text, retryable=True)

    def __str__(self) -> str:
        return f"{self.operation}: {self.message}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ProviderError):
            return NotImplemented
        return self.args == other.args

    def __hash__(self) -> int:
        return hash((self.operation, self.message, self.retryable))

    def __reduce__(self) -> tuple[object, ...]:
        return (_provider_error, (self.operation, self.message, self.retryable))


def _provider_error(operation: str, message: str, retryable: bool) -> ProviderError:
    return ProviderError(operation, message, retryable=retryable)


class CodecError(HoldfastError):
    """Stored text is malformed, of an unknown kind, or lacks a member (RT-2.4, RT-3.3)."""


class ConfigurationError(HoldfastError, ValueError):
    """An invalid option, registration or filter; the message names it (SS-20.6)."""


class SessionIdError(HoldfastError, ValueError):
    """A session id was refused; raised in orchestration code, leaves no trace (SS-3.7 to SS-3.9)."""


class ActivityError(HoldfastError):
    """What orchestration code sees of a failed activity or child: the display text (RT-4.38).

    An activity raises it for a failure whose text is its own, without the name of a class (RT-6.9).
    """

    source: str = ""
    """Which operation failed, such as `Activity 'Charge' call`; empty if an author's code has raised it."""

    @classmethod
    def of(cls, source: str, text: str) -> "ActivityError":
        """The failure of an operation."""
        assert source, f"a failed operation without a name: {text!r}"
        error = cls(text)
        error.source = source
        return error


class ClientError(HoldfastError):
    """A client call could not do what it was asked. Provider errors pass through unchanged."""

    retryable: bool = False
    """Whether asking again can help (RT-19.16)."""


class InvalidInput(ClientError):
    """An argument was refused before anything was sent."""

    def __str__(self) -> str:
        return f"Invalid input: {super().__str__()}"


class WaitTimeout(ClientError):
    """The awaited state did not come in time; it is safe to ask again (RT-19.11)."""

    retryable = True

    def __str__(self) -> str:
        return "Operation timed out"


class ManagementNotAvailable(ClientError):
    """The provider offers no management object (RT-19.17)."""

    def __str__(self) -> str:
        return "Management features not available - provider doesn't implement ProviderAdmin"


class InstanceStillRunning(ClientError):
    """Deletion without force met a live instance (RT-19.28). The argument is the instance id."""

    def __str__(self) -> str:
        return f"Instance {self.args[0]} is still running. Use force=true or cancel first."


class CannotDeleteSubOrchestration(ClientError):
    """A child cannot be deleted alone (RT-19.27). The argument is the instance id."""

    def __str__(self) -> str:
        return (
            f"Cannot delete sub-orchestration {self.args[0]} directly. Delete the root orchestration instead."
        )


class InstanceNotFound(ClientError):
    """No such instance. The argument is the instance id."""

    def __str__(self) -> str:
        return f"Instance {self.args[0]} not found"

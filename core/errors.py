"""Every exception of the runtime and of the provider contract: the public face of `contract.errors`."""

from holdfast.core.contract.errors import (
    ActivityError,
    CannotDeleteSubOrchestration,
    ClientError,
    CodecError,
    ConfigurationError,
    HoldfastError,
    InstanceNotFound,
    InstanceStillRunning,
    InvalidInput,
    ManagementNotAvailable,
    ProviderError,
    SessionIdError,
    WaitTimeout,
)

__all__ = [
    "ActivityError",
    "CannotDeleteSubOrchestration",
    "ClientError",
    "CodecError",
    "ConfigurationError",
    "HoldfastError",
    "InstanceNotFound",
    "InstanceStillRunning",
    "InvalidInput",
    "ManagementNotAvailable",
    "ProviderError",
    "SessionIdError",
    "WaitTimeout",
]

"""From SQLite's error classes to the two of the contract (PV-4.5, PV-4.6, PV-30.4)."""

from __future__ import annotations

import apsw

from holdfast.core.contract.errors import CodecError, ProviderError

PERMANENT: tuple[type[Exception], ...] = (
    apsw.ConstraintError,
    apsw.ConnectionClosedError,
    apsw.CorruptError,
    apsw.MismatchError,
    apsw.MisuseError,
    apsw.NotADBError,
    apsw.ReadOnlyError,
    apsw.TooBigError,
    CodecError,
    OverflowError,  # an integer beyond 2^63-1 (PV-2.17)
    TypeError,  # a value that no column can hold, or a column that holds what it should not
    ValueError,  # text that has no UTF-8 form (PV-2.15), on the way in or out
)
"""What another attempt would meet again. Everything else may pass: a busy store, a full disk, the unknown."""

STORAGE_FAILURES: tuple[type[Exception], ...] = (apsw.Error, *PERMANENT)
"""What a statement, or a value on its way into one, can fail with."""

CONTENTION: tuple[type[Exception], ...] = (apsw.BusyError, apsw.LockedError)
"""Somebody else is writing; worth another attempt inside the call (PV-28.7)."""


def provider_error(operation: str, error: Exception) -> ProviderError:
    """The error a caller sees for a failed statement or value."""
    message = f"{type(error).__name__}: {error}"
    return ProviderError(operation, message, retryable=not isinstance(error, PERMANENT))

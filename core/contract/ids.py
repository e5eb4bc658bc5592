"""Names for numbers and strings that must not be mixed up.

The type carries the unit where the specification fixes a name without one (`lock_timeout`, `extend_for`,
`locked_until`): `Millis` on the provider's side of the contract, `Micros` for monotonic and virtual time.
"""

from typing import Final, NewType

Millis = NewType("Millis", int)
"""Whole milliseconds: a duration, or a point in time since the Unix epoch (PV-3.1, PV-3.7)."""

Micros = NewType("Micros", int)
"""Whole microseconds on a monotonic or virtual time line."""

LockToken = NewType("LockToken", str)
"""The proof of one instance lock or item lock; a stale one changes nothing (PV-7.5)."""

INT63_MAX: Final = 2**63 - 1
"""Largest number a provider stores: execution, event and activity numbers, times (PV-2.17, PV-3.7)."""

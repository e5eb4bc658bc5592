"""Limits: where a run is cut off."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from holdfast.core.contract.errors import ConfigurationError
from holdfast.sim.stage.passes import CPU_US

_YEAR_US: Final = 365 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where a run is cut off; such a run is evidence for nothing.

    Attributes:
        max_steps: steps in which something happened: a commit that was more than a look, a fault, a start.
        max_steps_in_all: steps of any kind, polls, renewals and timers included.
        max_virtual_us: how far virtual time goes.
        max_pass_cpu_us: CPU time of one pass of a process; after that, it is taken to have no end.

    Raises ConfigurationError for a limit that is not a whole number above 0.
    """

    max_steps: int = 20_000
    max_steps_in_all: int = 50_000
    max_virtual_us: int = 100 * _YEAR_US
    max_pass_cpu_us: int = CPU_US

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigurationError(f"{one.name} is {value!r}, expected a whole number above 0")

"""Every exception of the simulator.

HoldfastError
└── SimulationError
    ├── OutsideSimulation    simulated code asked the machine for time, chance, a thread, a socket
    ├── ForeignLoop          a process woke what belongs to another process
    ├── ProviderSuspended    a provider waited for something inside a call
    ├── NeverWaits           a process keeps running without ever waiting
    ├── NeverYields          code of a process computes without an end
    ├── Deadlock             nothing is enabled, and no time will change that
    └── TapeMismatch         an answer on the tape is out of range for its draw
GeneratorExit
└── Fenced                   a crashed process touched its loop or its provider
"""

from holdfast.core.contract.errors import HoldfastError


class SimulationError(HoldfastError):
    """The base of all errors the simulator raises about the code it runs. `ProviderError` is never one of
    these."""


class OutsideSimulation(SimulationError, RuntimeError):
    """Simulated code asked the machine instead of its context; the message names the call and the fix."""


class ForeignLoop(SimulationError, RuntimeError):
    """A process scheduled something on another process's loop, for instance through a shared `asyncio.Event`.

    Processes share nothing but the provider; what travels between them any other way would be lost.
    """


class ProviderSuspended(SimulationError, RuntimeError):
    """A provider call waited for something other than `loop.run_in_executor`; the message names the await."""


class NeverWaits(SimulationError, RuntimeError):
    """A process ran more callbacks in one step than any sensible code needs: it never waits."""


class NeverYields(SimulationError, RuntimeError):
    """Code of a process used up its CPU time without giving control back; the message names the code line.

    The run is evidence for nothing: it has a tape up to that place, and no digest.
    """


class Deadlock(SimulationError):
    """Nothing is enabled and nothing is due, but the scenario still waits."""


class TapeMismatch(SimulationError):
    """In a strict replay an answer on the tape was out of range for its draw; the code has changed."""


class Fenced(GeneratorExit):
    """A process that has crashed touched its loop or its provider: neither does anything any more.

    A GeneratorExit, so that closing the coroutines of a dead process silently swallows it.
    """

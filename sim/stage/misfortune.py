"""Misfortunes: faults that strike a process or a clock (sessions.md 24); `engine` has those of a commit."""

from __future__ import annotations

from typing import Final

from holdfast.sim.loop.tasks import Future
from holdfast.sim.stage.faults import Faults
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.stage import Stage
from holdfast.sim.stage.steps import Request

NETWORK: Final = "network"
"""The name of the process that delivers duplicates."""

_RESTART_SOON_MS: Final = 1000


class Misfortunes:
    """Draws faults from the budget and makes them happen on a stage."""

    def __init__(self, stage: Stage, faults: Faults) -> None:
        self.faults = faults
        self._stage = stage
        self._draw = stage.draws.draw

    def strike_while_idle(self) -> None:
        """Before plain time advances: a fault may strike a process or a clock."""
        assert self._stage.quiet, f"{len(self._stage.ready)} steps are enabled: this is no quiet time"
        kinds = self.faults.kinds_for_idle()
        victims = [process for process in self._stage.processes if process.fallible and not process.stalled]
        if not victims or not kinds:
            return
        struck = self._draw("fault", "idle", 1 + len(kinds))
        if not struck:
            return
        kind = kinds[struck - 1]
        if kind == "provider_clock":
            self.faults.spend(kind)
            self.jump_clock()
            return
        which = self._draw("fault", f"{kind}.who", len(victims)) if len(victims) > 1 else 0
        if kind == "crash":
            self.crash(victims[which])
            return
        self.faults.spend(kind)
        if kind == "stall":
            self._stage.stall(victims[which], self.draw_delay("stall.for"))
        else:
            assert kind == "wall_clock", f"a {kind} does not strike in quiet times"
            self._stage.jump_wall_clock(victims[which], self._draw_jump("wall_clock.by"))

    def crash(self, process: Process) -> None:
        """Crash it, and start it again: long after, soon, or at once under the same identity."""
        self.faults.spend("crash")
        how = self._draw("fault", "crash.restart", 3)
        self._stage.crash(process)
        delay_ms = (self.faults.delays_ms[-1], _RESTART_SOON_MS, 0)[how]
        self._stage.after(delay_ms, lambda: self._stage.restart(process.name, same_identity=how == 2))

    def duplicate(self, request: Request) -> None:
        """Deliver the completion of this acknowledgement once more, by a process called `network`."""
        assert request.operation == "ack_work_item", f"{request.operation} delivers no completion"
        completion = request.arguments["completion"]
        if completion is None:
            return
        self.faults.spend("duplicate")
        self._stage.chronicle.fault("duplicate", request.process.name)
        delay_ms = (0, *self.faults.delays_ms)[
            self._draw("fault", "duplicate.after", 1 + len(self.faults.delays_ms))
        ]
        if not any(process.name == NETWORK for process in self._stage.processes):
            self._stage.register(NETWORK, _never, fallible=False)
            self._stage.start(NETWORK)
        network = next(process for process in self._stage.processes if process.name == NETWORK)
        again = Request(
            network,
            "enqueue_for_orchestrator",
            {"item": completion, "delay": None},
            Future(loop=network.loop),
            self._stage.time.now_us,
        )
        self._stage.after(delay_ms, lambda: self._stage.ready.append(again))

    def jump_clock(self) -> None:
        """The store's clock jumps by one of the delays that matter, forward or back."""
        self._stage.jump_clock(self._draw_jump("provider_clock.by"))

    def draw_delay(self, site: str) -> int:
        """One of the delays that matter, in milliseconds."""
        delays = self.faults.delays_ms
        return delays[self._draw("fault", site, len(delays))]

    def _draw_jump(self, site: str) -> int:
        delays = self.faults.delays_ms
        jumps = (*delays, *(-delay for delay in delays))
        return jumps[self._draw("fault", site, len(jumps))]


async def _never(process: Process) -> None:
    await Future(loop=process.loop)

"""Stage: the processes of a world, what each of them may hear next, and time.

The enabled steps are kept in one list, `ready`, in the order in which they became enabled, so that choice 0
is the oldest: to take it always is to serve first come, first served. What a step delivers is heard by one
process, in one pass of its loop, several things at once if the tape says so; then that
process runs until it is waiting again.

    a process sends a call, or a timer of its is due
        |
        |            the delay is over         a commit, or time, may have brought something
        v                   |                                  |
      ready <---------------+----------------------------------+
        |                   |                                  |
        | chosen            |                                  |
        +--- slow --->   agenda   <--- its poll is over ---  parked
        |                                                      ^
        +--- a fetch that finds nothing -----------------------+
        v
      a call commits and is answered, or what was held back is delivered: its process runs

Steps appended at the same time have a fixed order: actions of the agenda by due time, then as they were put
there; processes as they were started; kinds of parked fetches as they were first seen. So only the tape
decides, never hashing or the machine.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from holdfast.core.contract.store import Store
from holdfast.sim.loop.clock import ProcessClock
from holdfast.sim.loop.event_loop import Callback, Loop, LostFailure
from holdfast.sim.loop.ids import VirtualIds
from holdfast.sim.loop.tasks import Future
from holdfast.sim.loop.virtual_time import VirtualTime
from holdfast.sim.stage.agenda import Agenda
from holdfast.sim.stage.blocking import run_blocking
from holdfast.sim.stage.chronicle import Chronicle
from holdfast.sim.stage.draws import Draws
from holdfast.sim.stage.ending import Endings
from holdfast.sim.stage.gate import Gate
from holdfast.sim.stage.long_waits import LongWaits
from holdfast.sim.stage.passes import Passes
from holdfast.sim.stage.polls import Polls
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.script import Script
from holdfast.sim.stage.steps import FETCHES, Arguments, Delivery, DueTimers, Request, Step, settle_future

Boot = Callable[[Process], Awaitable[object]]
"""What a process does: run afresh at every start."""


@dataclass(slots=True)
class _Program:
    """What runs under a process name: its boot function, and how often it was started.

    The ids that its boots make depend on `line` and `identity` alone (`VirtualIds`).
    """

    boot: Boot
    line: int
    fallible: bool
    boot_count: int = 0
    identity: int = 0


class Stage:
    """Processes, enabled steps, and time. `delays_ms` tells the durations that blocking calls may take.

    `complaints` are what asyncio would have logged in a process, `broken` the processes that an exception
    ended: no fault may end a worker that way.
    """

    def __init__(
        self,
        store: Store,
        time: VirtualTime,
        draws: Draws,
        chronicle: Chronicle,
        delays_ms: Callable[[], tuple[int, ...]],
    ) -> None:
        self.time = time
        self.store_loop = Loop("the store", time)
        self.draws = draws
        self.chronicle = chronicle
        self.ready: list[Step] = []
        self.agenda = Agenda(time)
        self.polls = Polls(self.ready, time, self.agenda, answer=self.answer, post=self.post)
        self.parking = self.polls.parking
        self.passes = Passes()
        self.script = Script()
        self.processes: list[Process] = []
        self.complaints: list[str] = []
        self._endings = Endings(self.run, self.remove)
        self.broken = self._endings.broken
        self.on_boot: Callable[[Process], None] = _ignore
        self._store = store
        self._delays_ms = delays_ms
        self._dead: list[Process] = []
        self._unheard: list[LostFailure] = []
        self._programs: dict[str, _Program] = {}
        self._withheld: dict[Process, list[Step]] = {}
        self.long_waits = LongWaits(self.agenda, self.parking, draws, self.polls.wait_until)

    # --- processes ------------------------------------------------------------------------------------

    def register(self, name: str, boot: Boot, *, fallible: bool = True) -> None:
        """Say what runs under this name. Raises ValueError for a name that is taken."""
        if name in self._programs:
            raise ValueError(f"process name {name!r} is taken; restart it through its handle")
        self._programs[name] = _Program(boot, len(self._programs) + 1, fallible)

    def start(self, name: str, *, same_identity: bool = False) -> Process:
        """Start a boot of a registered process; its first pass is a step like others."""
        program = self._programs[name]
        running = [process for process in self.processes if process.name == name]
        assert not running, f"{name} starts again, but {running} runs"
        program.boot_count += 1
        assert program.boot_count < 1 << 16, f"boot {program.boot_count} of {name} would have another's names"
        if not same_identity:
            program.identity = program.boot_count
        line = program.line << 16 | program.boot_count
        loop = Loop(
            f"{name}/{program.boot_count}",
            self.time,
            offset_us=(1 + line % 1009) * 1_000_000_000,
            resting=self.store_loop,
        )
        process = Process(
            name,
            program.boot_count,
            loop=loop,
            clock=ProcessClock(self.time, loop, self.passes.watchdog),
            ids=VirtualIds(line, program.line << 16 | program.identity),
            notify=self.chronicle.local,
            draw=self.draw_data,
            fallible=program.fallible,
        )
        if program.fallible:
            loop.blocking = partial(run_blocking, process, self.time, self._delays_ms)
        process.store = self._store.open(process.observer)
        process.provider = Gate(process, process.store, self._submit)
        self.processes.append(process)
        self.ready.append(Delivery(process, process.begin, (program.boot,)))
        self.chronicle.booted(process)
        self.on_boot(process)
        return process

    def crash(self, process: Process) -> None:
        """Cut a process off, for good."""
        assert process.alive, f"{process!r} crashes, but it is dead already"
        assert process.fallible, f"{process!r} crashes, but faults do not strike the scenario's own"
        process.crashed = True
        self.chronicle.fault("crash", process.name)
        self.remove(process)

    def remove(self, process: Process) -> None:
        """Take a process out of the world: it has crashed, or its boot function has returned."""
        if not process.crashed:
            self._unheard += process.loop.unheard()
        process.kill()
        self.complaints += process.loop.complaints
        process.loop.complaints.clear()
        self.processes.remove(process)
        self._dead.append(process)
        self.ready[:] = [step for step in self.ready if step.process is not process]
        self._withheld.pop(process, None)
        self.parking.remove_process(process)

    def bury(self) -> None:
        """End of the run: close everything that is left, under the fence."""
        for process in list(self.processes):
            self.remove(process)
        assert not self._withheld, f"something is kept for {self._withheld}, and nobody is left to hear it"
        self._find_lost()
        for process in self._dead:
            process.bury()
        self.ready.clear()
        self.agenda.clear()
        self._dead.clear()

    def _find_lost(self) -> None:
        """Complain about failed tasks and futures that only a garbage collection would have found.

        There is none during a run. One is made only if something has failed and was not asked about, and
        what it finds is told in the order in which it was made, however it was found.
        """
        assert not self.processes, f"the run is not over: {self.processes} are alive"
        if self._unheard:
            gc.collect()
            self.complaints += [text for known, text in self._unheard if known() is None]
            self._unheard.clear()

    def stall(self, process: Process, duration_ms: int) -> None:
        """A process hears nothing and runs nothing for a while; what it has sent may still commit."""
        if process.stalled or not process.alive:
            return
        assert process not in self._withheld, f"{process!r} is not stalled, yet something is kept for it"
        assert process.fallible, f"{process!r} stalls, but faults do not strike the scenario's own"
        self.chronicle.fault("stall", process.name, duration_ms)
        process.stalled = True
        withheld = [step for step in self.ready if step.process is process and type(step) is not Request]
        self.ready[:] = [step for step in self.ready if step not in withheld]
        self._withheld[process] = withheld
        self.after(duration_ms, lambda: self._resume(process))

    def _resume(self, process: Process) -> None:
        if process.alive:
            assert process.stalled, f"{process!r} resumes, but it is not stalled"
            process.stalled = False
            self.ready += self._withheld.pop(process)
            self._announce_timers(process)

    def jump_clock(self, amount_ms: int) -> None:
        """Let the store's clock jump."""
        self.chronicle.fault("provider_clock", None, amount_ms)
        self.time.jump_ms += amount_ms
        self.parking.pass_time()

    def jump_wall_clock(self, process: Process, amount_ms: int) -> None:
        """Let the wall clock of one process jump."""
        self.chronicle.fault("wall_clock", process.name, amount_ms)
        process.clock.wall_offset_ms += amount_ms

    def restart(self, name: str, *, same_identity: bool = False) -> None:
        """Start it again unless it runs."""
        if not any(process.name == name for process in self.processes):
            self.start(name, same_identity=same_identity)

    # --- passes and deliveries ------------------------------------------------------------------------

    @property
    def quiet(self) -> bool:
        """Whether nothing is enabled but time."""
        return not self.ready

    def run(self, process: Process, callbacks: list[Callback]) -> None:
        """Call these in the process and run it until it is waiting again."""
        assert not process.stalled, f"{process!r} is stalled, it cannot run"
        exited = self.passes.run(process, callbacks)
        if not process.alive:
            return
        self._announce_timers(process)
        if process.fallible and exited is not None:
            self._endings.exited(process, exited)
        elif process.fallible:
            self._endings.after_pass(process)

    def _announce_timers(self, process: Process) -> None:
        """Enable a step for the due timers of a process, unless one is enabled already.

        Timers become due in three ways, and after each of them this is called: the process makes one whose
        time is now, so after each pass, which is also when there may be more than the last step took;
        time goes on; or a stall is over that had kept them back. In between nobody needs to look.
        """
        if process.timers_announced or process.stalled:
            return
        due_us = process.loop.next_due_us()
        if due_us is not None and due_us <= self.time.now_us:
            assert process.alive, f"the timers of {process!r} are announced, but it is dead"
            process.timers_announced = True
            self.ready.append(DueTimers(process))

    def deliver(self, first: Delivery | DueTimers) -> None:
        """Let a process hear this, with as much else that is enabled for it as the tape says."""
        process = first.process
        listed = type(first) is Delivery or process.timers_announced
        assert listed, f"the timers of {process!r} are taken, but they were not announced"
        if type(first) is DueTimers and not self._timer_is_due(process):
            process.timers_announced = False  # it was cancelled meanwhile
            return
        others = [step for step in self.ready if step.process is process and type(step) is not Request]
        batch: list[Step] = [first]
        if others:
            batch += others[: self.draws.draw("schedule", "together", len(others) + 1)]
        callbacks: list[Callback] = []
        for step in batch:
            if step is not first:
                self.ready.remove(step)
            if type(step) is Delivery:
                callbacks.append((step.callback, step.arguments))
            else:
                assert process.timers_announced, f"the timers of {process!r} are enabled twice"
                process.timers_announced = False
                if self._timer_is_due(process):
                    self._take_timers(process, callbacks)
        self.run(process, callbacks)

    def _timer_is_due(self, process: Process) -> bool:
        due_us = process.loop.next_due_us()
        return due_us is not None and due_us <= self.time.now_us

    def _take_timers(self, process: Process, callbacks: list[Callback]) -> None:
        """The first due timer; with it, if the tape says so, others that are due as well."""
        loop = process.loop
        due_count = loop.count_due()
        taken = 1 if due_count == 1 else 1 + self.draws.draw("schedule", "timers", due_count)
        for _ in range(taken):
            due_us = loop.next_due_us()
            assert due_us is not None, f"{due_count} timers of {process!r} were due, and {taken} are too many"
            callbacks.append((loop.pop_due().fire, ()))

    def answer(self, request: Request, result: object, error: BaseException | None) -> None:
        """Deliver an answer: at once, or, if more may come in the same pass, when the tape says so."""
        process = request.process
        again = request.settled and request.operation not in FETCHES  # a fetch may have given up meanwhile
        assert not again, f"{request.actor} is answered twice"
        assert error is None or result is None, f"{request.actor} is answered {result!r} as well as {error!r}"
        request.settled = True
        if not process.alive or request.future.done():
            return
        delivery = Delivery(process, settle_future, (request.future, result, error))
        if process.stalled:
            self._withheld[process].append(delivery)
        elif self._has_request(process) and self.draws.draw("schedule", "hold answer", 2):
            self.ready.append(delivery)
        else:
            self.deliver(delivery)

    def _has_request(self, process: Process) -> bool:
        for step in self.ready:  # noqa: SIM110 - asked at every answer; a generator costs more than the answer
            if step.process is process and type(step) is Request:
                return True
        return False

    def post(self, process: Process, callback: Callable[..., object], *arguments: object) -> None:
        """Let a process hear something as a step of its own: a call from outside, a late answer."""
        assert process.alive, f"{process!r} is dead, it cannot hear {callback!r}"
        delivery = Delivery(process, callback, arguments)
        if process.stalled:
            assert process in self._withheld, f"{process!r} is stalled, yet nothing is kept for it"
            self._withheld[process].append(delivery)
        else:
            self.ready.append(delivery)

    def _submit(self, process: Process, operation: str, arguments: Arguments) -> Future:
        assert process.alive, f"{process!r} is dead, it cannot call {operation}"
        future = Future(loop=process.loop)
        request = Request(process, operation, arguments, future, self.time.now_us)
        if operation in FETCHES and arguments["poll_timeout"] and self.parking.is_hopeless(request):
            self.polls.park(request)
        else:
            self.ready.append(request)
        return future

    def draw_data(self, site: str, arity: int) -> int:
        """A generated value."""
        return self.draws.draw("data", site, arity) if arity > 1 else 0

    # --- time -----------------------------------------------------------------------------------------

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Do something after a delay; at once if it is 0."""
        assert delay_ms >= 0, f"an action is due {-delay_ms} ms in the past"
        if delay_ms:
            self.agenda.put(self.time.now_us + delay_ms * 1000, action)
        else:
            action()

    def next_time_us(self) -> int | None:
        """The next time at which something is due; None if nothing ever is."""
        agenda_us = self.agenda.next_us()
        times = [] if agenda_us is None else [agenda_us]
        for process in self.processes:
            if not process.stalled and (due_us := process.loop.next_due_us()) is not None:
                times.append(due_us)
        store_ms = self.parking.next_time_ms()
        if store_ms is not None:
            times.append(self.time.when_provider_shows(store_ms))
        return max(min(times), self.time.now_us) if times else None

    def advance(self, to_us: int) -> None:
        """Let time go on to a point that is not beyond `next_time_us`, and enable what is due then."""
        assert self.quiet, f"time goes on although {len(self.ready)} steps are enabled"
        due_us = self.next_time_us()
        assert due_us is None or to_us <= due_us, f"time goes on to {to_us} us, beyond {due_us} us"
        self.time.advance(to_us)
        self.agenda.do_what_is_due()
        for process in self.processes:
            self._announce_timers(process)
        self.parking.pass_time()


def _ignore(process: Process) -> None:
    """The default of `on_boot`."""

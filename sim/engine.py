"""Engine: the enabled steps of a world, the choice of one, and what it does.

A step lets one request commit, or delivers an answer or a due timer to one process, or several in one turn; a
fault may strike along with it; and then that process runs until it is waiting again (design idea 3). With
nothing enabled, time goes on to the next timer, deadline or expiry.

The steps are kept in one list in the order in which they became enabled, so choice 0 is the oldest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from typing import Any, Final

from holdfast.core.errors import ProviderError
from holdfast.core.ids import Micros
from holdfast.core.options import RuntimeOptions
from holdfast.core.provider import Store
from holdfast.sim import guards
from holdfast.sim.chronicle import Chronicle
from holdfast.sim.clock import ProcessClock
from holdfast.sim.draws import Draws
from holdfast.sim.driving import drive
from holdfast.sim.faults import FaultBudget, Faults
from holdfast.sim.gate import Gate, behind
from holdfast.sim.ids import VirtualIds
from holdfast.sim.loop import Loop
from holdfast.sim.parking import Parking
from holdfast.sim.process import Process
from holdfast.sim.steps import FETCHES, Delivery, DueTimers, Request, Step, settle
from holdfast.sim.tasks import Future
from holdfast.sim.virtual_time import VirtualTime
from holdfast.traces.record import FaultKind, Outcome

Boot = Callable[[Process], Awaitable[object]]
"""What a process does: run afresh at every start."""

_RESTART_SOON_MS: Final = 1000


@dataclass(slots=True)
class _Program:
    """What runs under a process name: its boot function, and how often it was started."""

    boot: Boot
    line: int
    fallible: bool
    boot_count: int = 0
    identity: int = 0


class Engine:
    """Processes, one store, virtual time; `step` and `advance` move them on."""

    def __init__(
        self,
        store: Store,
        time: VirtualTime,
        draws: Draws,
        chronicle: Chronicle,
        *,
        budget: FaultBudget,
        options: RuntimeOptions,
    ) -> None:
        self.time = time
        self.draws = draws
        self.chronicle = chronicle
        self.faults = Faults(budget, options)
        self.processes: list[Process] = []
        self.complaints: list[str] = []
        self.store_loop = Loop("the store", time)
        self.on_boot: Callable[[Process], None] = _ignore
        self._store = store
        self._dead: list[Process] = []
        self._programs: dict[str, _Program] = {}
        self._ready: list[Step] = []
        self._withheld: dict[Process, list[Step]] = {}
        self._agenda: list[tuple[int, int, Callable[[], None], Request | None]] = []
        self._agenda_count = 0
        self.parking = Parking(self._ready.append, time.provider_ms)

    # --- processes ------------------------------------------------------------------------------------

    def register(self, name: str, boot: Boot, *, fallible: bool = True) -> None:
        """Say what runs under this name. Raises ValueError for a name that is taken."""
        if name in self._programs:
            raise ValueError(f"process name {name!r} is taken; restart it through its handle")
        self._programs[name] = _Program(boot, len(self._programs) + 1, fallible)

    def start(self, name: str, *, same_identity: bool = False) -> Process:
        """Start a boot of a registered process; its first turn is a step like others."""
        program = self._programs[name]
        program.boot_count += 1
        if not same_identity:
            program.identity = program.boot_count
        line = program.line << 16 | program.boot_count
        loop = Loop(f"{name}/{program.boot_count}", self.time, offset_us=(1 + line % 1009) * 1_000_000_000)
        process = Process(
            name,
            program.boot_count,
            loop=loop,
            clock=ProcessClock(self.time, loop),
            ids=VirtualIds(line, program.line << 16 | program.identity),
            notify=self.chronicle.local,
            draw=self.draw_data,
            fallible=program.fallible,
        )
        if program.fallible:
            loop.blocking = partial(self._blocking, process)
        process.store = self._store.open(process.observer)
        process.provider = Gate(process, process.store, self._submit)
        self.processes.append(process)
        self._ready.append(Delivery(process, process.begin, (program.boot,)))
        self.chronicle.booted(process)
        self.on_boot(process)
        return process

    def crash(self, process: Process) -> None:
        """Cut a process off, for good. Nothing happens if it is dead already."""
        if process.alive:
            self.chronicle.fault("crash", process.name)
            self.remove(process)

    def remove(self, process: Process) -> None:
        """Take a process out of the world: it has crashed, or its boot function has returned."""
        process.kill()
        self.complaints += process.loop.complaints
        process.loop.complaints.clear()
        self.processes.remove(process)
        self._dead.append(process)
        self._ready[:] = [step for step in self._ready if step.process is not process]
        self._withheld.pop(process, None)
        self.parking.remove_process(process)

    def bury(self) -> None:
        """End of the run: close everything that is left, under the fence."""
        for process in list(self.processes):
            self.remove(process)
        for process in self._dead:
            process.bury()
        self._ready.clear()
        self._agenda.clear()
        self._dead.clear()

    def stall(self, process: Process, duration_ms: int) -> None:
        """A process hears nothing and runs nothing for a while; what it has sent may still commit."""
        if process.stalled or not process.alive:
            return
        self.chronicle.fault("stall", process.name, duration_ms)
        process.stalled = True
        withheld = [step for step in self._ready if step.process is process and type(step) is not Request]
        self._ready[:] = [step for step in self._ready if step not in withheld]
        self._withheld[process] = withheld
        self.after(duration_ms, lambda: self._resume(process))

    def _resume(self, process: Process) -> None:
        if process.alive:
            process.stalled = False
            self._ready += self._withheld.pop(process, ())
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

    # --- steps ----------------------------------------------------------------------------------------

    @property
    def quiet(self) -> bool:
        """Whether nothing is enabled but time."""
        return not self._ready

    def step(self) -> None:
        """Take one of the enabled steps; there must be one."""
        ready = self._ready
        count = len(ready)
        if count == 1:
            step = ready.pop()
        else:
            if self.draws.wants_actors:
                self.draws.offer([enabled.actor for enabled in ready])
            step = ready.pop(self.draws.draw("schedule", "step", count))
        if isinstance(step, Request):
            self._commit(step)
        else:
            self._deliver(step)

    def turn(self, process: Process, callbacks: list[tuple[Callable[..., object], tuple[Any, ...]]]) -> None:
        """Call these in the process and run it until it is waiting again."""
        guards.enter(process.loop.name)
        try:
            process.loop.turn(callbacks)
        finally:
            guards.leave()
        if not process.alive:
            return
        self._announce_timers(process)
        main = process.main
        if main is not None and main.done():
            self._ended(process)

    def _ended(self, process: Process) -> None:
        main = process.main
        assert main is not None
        error = None if main.cancelled() else main.exception()
        if error is not None and process.fallible:
            self.complaints.append(f"{process.name}: its boot function raised {error!r}")
        if process.fallible:
            self.remove(process)

    def _announce_timers(self, process: Process) -> None:
        if process.timers_announced or process.stalled:
            return
        due_us = process.loop.next_due_us()
        if due_us is not None and due_us <= self.time.now_us:
            process.timers_announced = True
            self._ready.append(DueTimers(process))

    # --- delivering -----------------------------------------------------------------------------------

    def _deliver(self, first: Delivery | DueTimers) -> None:
        process = first.process
        if type(first) is DueTimers and not self._timer_is_due(process):
            process.timers_announced = False  # it was cancelled meanwhile
            return
        others = [step for step in self._ready if step.process is process and not isinstance(step, Request)]
        batch = [first]
        if others:
            batch += others[: self.draws.draw("schedule", "together", len(others) + 1)]
        callbacks: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        for step in batch:
            if step is not first:
                self._ready.remove(step)
            if type(step) is Delivery:
                callbacks.append((step.callback, step.arguments))
            elif self._timer_is_due(process):
                self._take_timers(process, callbacks)
        self.turn(process, callbacks)

    def _timer_is_due(self, process: Process) -> bool:
        due_us = process.loop.next_due_us()
        return due_us is not None and due_us <= self.time.now_us

    def _take_timers(
        self, process: Process, callbacks: list[tuple[Callable[..., object], tuple[Any, ...]]]
    ) -> None:
        """The first due timer; with it, if the tape says so, others that are due as well."""
        process.timers_announced = False
        loop = process.loop
        due_count = loop.count_due()
        taken = 1 if due_count == 1 else 1 + self.draws.draw("schedule", "timers", due_count)
        for _ in range(taken):
            if loop.next_due_us() is None:
                return
            timer = loop.pop_due()
            callbacks.append((timer.fire, ()))

    def answer(self, request: Request, result: object, error: BaseException | None) -> None:
        """Deliver an answer: at once, or, if more may come in the same turn, when the tape says so."""
        process = request.process
        request.settled = True
        if not process.alive or request.future.done():
            return
        delivery = Delivery(process, settle, (request.future, result, error))
        if process.stalled:
            self._withheld[process].append(delivery)
        elif self._has_request(process) and self.draws.draw("schedule", "hold answer", 2):
            self._ready.append(delivery)
        else:
            self._deliver(delivery)

    def _has_request(self, process: Process) -> bool:
        return any(step.process is process and type(step) is Request for step in self._ready)

    def post(self, process: Process, callback: Callable[..., object], *arguments: Any) -> None:
        """Let a process hear something that is no answer, such as a signal; delivered as a step."""
        delivery = Delivery(process, callback, arguments)
        if process.stalled:
            self._withheld[process].append(delivery)
        else:
            self._ready.append(delivery)

    # --- committing -----------------------------------------------------------------------------------

    def _submit(self, process: Process, operation: str, arguments: dict[str, Any]) -> Future:
        future = Future(loop=process.loop)
        self._ready.append(Request(process, operation, arguments, future, self.time.now_us))
        return future

    def _commit(self, request: Request) -> None:
        if request.future.done():  # its caller was cancelled: done all the same, or never sent
            if self.draws.draw("schedule", "cancelled call", 2):
                self.parking.gave_up(request)
                return
        if not self.faults.over and request.process.fallible and request.process.alive:
            kinds = self.faults.kinds_for_call(request.operation)
            if kinds:
                struck = self.draws.draw("fault", "commit", 1 + len(kinds))
                if struck:
                    self._commit_under(kinds[struck - 1], request)
                    return
        self._execute(request, None)

    def _commit_under(self, kind: FaultKind, request: Request) -> None:
        process = request.process
        match kind:
            case "crash":
                if self.draws.draw("fault", "crash.when", 2):
                    self._execute(request, kind)
                else:
                    self._crash_by_tape(process)
            case "slow_call":
                self.faults.spend(kind)
                delay_ms = self.draw_delay("slow_call.for")
                self.chronicle.fault(kind, process.name, delay_ms)
                self.after(delay_ms, lambda: self._arrive(request))
            case "refused":
                self.faults.spend(kind)
                self.chronicle.fault(kind, process.name)
                self.parking.gave_up(request)
                self.chronicle.commit(process, request.operation, request.arguments, "refused")
                self.answer(request, None, _transient(request, "the store is busy"))
            case "unsent":
                self.faults.spend(kind)
                self.parking.gave_up(request)
                self.chronicle.commit(process, request.operation, request.arguments, "unsent")
                self._answer_late(request, kind, None, _transient(request, "no answer"))
            case _:
                self._execute(request, kind)

    def _arrive(self, request: Request) -> None:
        if request.process.alive:
            self._ready.append(request)

    def _execute(self, request: Request, kind: FaultKind | None) -> None:
        """Let the call reach the store; `kind` is what then happens to its answer."""
        process = request.process
        result, error, told = self._call(request)
        if result is None and error is None and request.operation in FETCHES:
            self.chronicle.commit(process, request.operation, request.arguments, "answered")
            self._nothing_found(request)
            return
        outcome: Outcome = "answered"
        if kind in ("lost_answer", "crash") or request.future.done():
            outcome = "lost"
        if error is None:
            self.parking.note(request, result)
        self.chronicle.commit(process, request.operation, request.arguments, outcome, result, error)
        match kind:
            case None:
                self.answer(request, result, told)
            case "crash":
                self._crash_by_tape(process)
            case "lost_answer":
                self.faults.spend(kind)
                self._answer_late(request, kind, None, _transient(request, "no answer"))
            case "slow_answer":
                self.faults.spend(kind)
                self._answer_late(request, kind, result, told, least=1)
            case "stall":
                self.faults.spend(kind)
                self.stall(process, self.draw_delay("stall.for"))
                self.answer(request, result, told)
            case "duplicate":
                self.answer(request, result, told)
                self._duplicate(request)
            case _:
                raise AssertionError(f"{kind} does not strike a call that commits")

    def _call(self, request: Request) -> tuple[Any, ProviderError | None, BaseException | None]:
        """Result, the error as recorded, and the exception that the caller sees."""
        operation = request.operation
        try:
            method = behind(request.process.store, operation)
            return drive(method(**request.effective_arguments()), operation, self.store_loop), None, None
        except ProviderError as error:
            return None, error, error
        except Exception as error:  # not lawful (PV-4.1), but the caller would see it
            self.complaints.append(f"{operation}: the provider raised {error!r}, expected a ProviderError")
            return None, ProviderError.permanent(operation, f"raised {type(error).__name__}"), error

    def _nothing_found(self, request: Request) -> None:
        if request.future.done() or not request.process.alive:
            self.parking.gave_up(request)
            return
        deadline_us = request.issued_us + request.arguments["poll_timeout"] * 1000
        if deadline_us <= self.time.now_us:
            self.parking.gave_up(request)
            self.answer(request, None, None)
            return
        if request.deadline_us is None:
            request.deadline_us = deadline_us
            self._at(deadline_us, lambda: self._give_up(request), request)
        self.parking.park(request)

    def _give_up(self, request: Request) -> None:
        """The poll timeout of a fetch has passed: only now its process sees that there was nothing."""
        self.parking.remove(request)
        if request in self._ready:
            self._ready.remove(request)
            self.parking.gave_up(request)
        request.settled = True
        if request.process.alive and not request.future.done():
            self.post(request.process, settle, request.future, None, None)

    def _answer_late(
        self,
        request: Request,
        kind: FaultKind,
        result: object,
        error: BaseException | None,
        *,
        least: int = 0,
    ) -> None:
        """Answer after a drawn delay, `least` 0 for at once."""
        request.settled = True
        delays = (0, *self.faults.delays_ms)[least:]
        delay_ms = delays[self.draws.draw("fault", f"{kind}.for", len(delays))]
        self.chronicle.fault(kind, request.process.name, delay_ms)
        if delay_ms:
            self.after(delay_ms, lambda: self._late(request, result, error))
        else:
            self.answer(request, result, error)

    def _late(self, request: Request, result: object, error: BaseException | None) -> None:
        if request.process.alive and not request.future.done():
            self.post(request.process, settle, request.future, result, error)

    def _duplicate(self, request: Request) -> None:
        completion = request.arguments["completion"]
        if completion is None:
            return
        self.faults.spend("duplicate")
        self.chronicle.fault("duplicate", request.process.name)
        delay_ms = (0, *self.faults.delays_ms)[
            self.draws.draw("fault", "duplicate.after", 1 + len(self.faults.delays_ms))
        ]
        if "network" not in self._programs:
            self.register("network", _never, fallible=False)
            self.start("network")
        network = next(process for process in self.processes if process.name == "network")
        again = Request(
            network,
            "enqueue_for_orchestrator",
            {"item": completion, "delay": None},
            Future(loop=network.loop),
            self.time.now_us,
        )
        self.after(delay_ms, lambda: self._arrive(again))

    def _crash_by_tape(self, process: Process) -> None:
        """Crash, and start again: after the sessions have lapsed, soon, or at once under the same identity."""
        self.faults.spend("crash")
        how = self.draws.draw("fault", "crash.restart", 3)
        self.crash(process)
        delay_ms = (self.faults.delays_ms[-1], _RESTART_SOON_MS, 0)[how]
        self.after(delay_ms, lambda: self.restart(process.name, same_identity=how == 2))

    def restart(self, name: str, *, same_identity: bool = False) -> None:
        """Start it again unless it runs."""
        if not any(process.name == name for process in self.processes):
            self.start(name, same_identity=same_identity)

    # --- time -----------------------------------------------------------------------------------------

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Do something after a time; at once if that is none."""
        if delay_ms:
            self._at(self.time.now_us + delay_ms * 1000, action, None)
        else:
            action()

    def _at(self, time_us: int, action: Callable[[], None], request: Request | None) -> None:
        self._agenda_count += 1
        heappush(self._agenda, (time_us, self._agenda_count, action, request))

    def next_time_us(self) -> int | None:
        """The next time at which something is due; None if nothing ever is."""
        agenda = self._agenda
        while agenda and (request := agenda[0][3]) is not None and (request.settled or request.future.done()):
            heappop(agenda)
        times = [agenda[0][0]] if agenda else []
        for process in self.processes:
            if not process.stalled and (due_us := process.loop.next_due_us()) is not None:
                times.append(due_us)
        store_ms = self.parking.next_time_ms()
        if store_ms is not None:
            times.append(self.time.when_provider_shows(store_ms))
        return max(min(times), self.time.now_us) if times else None

    def idle_fault(self) -> None:
        """Before plain time advances: a fault may strike a process or a clock."""
        kinds = self.faults.kinds_for_idle()
        victims = [process for process in self.processes if process.fallible and not process.stalled]
        if not victims or not kinds:
            return
        struck = self.draws.draw("fault", "idle", 1 + len(kinds))
        if not struck:
            return
        kind = kinds[struck - 1]
        if kind == "provider_clock":
            self.faults.spend(kind)
            self.jump_clock(self._draw_jump("provider_clock.by"))
            return
        which = self.draws.draw("fault", f"{kind}.who", len(victims)) if len(victims) > 1 else 0
        if kind == "crash":
            self._crash_by_tape(victims[which])
            return
        self.faults.spend(kind)
        if kind == "stall":
            self.stall(victims[which], self.draw_delay("stall.for"))
        else:
            self.jump_wall_clock(victims[which], self._draw_jump("wall_clock.by"))

    def advance(self, to_us: int) -> None:
        """Let time go on to a point that is not beyond `next_time_us`, and enable what is due then."""
        self.time.now_us = to_us
        agenda = self._agenda
        while agenda and agenda[0][0] <= to_us:
            _, _, action, request = heappop(agenda)
            if request is None or not (request.settled or request.future.done()):
                action()
        for process in self.processes:
            self._announce_timers(process)
        self.parking.pass_time()

    # --- drawing --------------------------------------------------------------------------------------

    def draw_data(self, site: str, arity: int) -> int:
        """A generated value."""
        return self.draws.draw("data", site, arity) if arity > 1 else 0

    def draw_delay(self, site: str) -> int:
        """One of the delays that matter, in milliseconds."""
        delays = self.faults.delays_ms
        return delays[self.draws.draw("fault", site, len(delays))]

    def _draw_jump(self, site: str) -> int:
        delays = self.faults.delays_ms
        jumps = (*delays, *(-delay for delay in delays))
        return jumps[self.draws.draw("fault", site, len(jumps))]

    def _blocking(self, process: Process, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Future:
        """A blocking function of a process: the tape draws how long it takes, and when within that it acts."""
        delays = self.faults.delays_ms
        drawn = self.draw_data("blocking call", 1 + 2 * len(delays))
        future = Future(loop=process.loop)
        outcome = _Outcome(function, arguments)
        if not drawn:
            outcome.happen()
            outcome.tell(future)
            return future
        late, index = divmod(drawn - 1, len(delays))
        if not late:
            outcome.happen()
        process.loop.call_at_us(
            Micros(self.time.now_us + process.loop.offset_us + delays[index] * 1000), outcome.tell, future
        )
        return future


class _Outcome:
    """What a blocking function did, once it has happened."""

    __slots__ = ("_arguments", "_error", "_function", "_happened", "_result")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._function = function
        self._arguments = arguments
        self._happened = False
        self._result: Any = None
        self._error: BaseException | None = None

    def happen(self) -> None:
        self._happened = True
        try:
            self._result = self._function(*self._arguments)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._error = error

    def tell(self, future: Future) -> None:
        """Let it happen if it has not; nobody may listen any more, as with a real thread."""
        if not self._happened:
            self.happen()
        settle(future, self._result, self._error)


def _transient(request: Request, message: str) -> ProviderError:
    return ProviderError.transient(request.operation, message)


async def _never(process: Process) -> None:
    await Future(loop=process.loop)


def _ignore(process: Process) -> None:
    """Nobody wants to know."""

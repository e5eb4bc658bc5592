"""Engine: the choice of a step, and what it does to the store.

A step lets one request commit, or delivers an answer or a due timer to one process, or several at once; a
fault may strike along with it; and then that process runs until it is waiting again. A commit has four
outcomes, by where the call or its answer is lost:

    caller ──── call ────> store ──── answer ────> caller        outcome      fault
         unsent      refused    done     lost       heard
           x                                                     unsent       unsent
                        x                                        refused      refused
                                           x                     lost         lost_answer, crash
                                                      x          answered     none, slow_call, slow_answer

A caller that was cancelled while its call was under way hears nothing of this: its future is done, and any
answer is dropped. Cancelling does not recall the call, just as it would not recall a request on a wire: it
commits like any other, with outcome `lost`, or the tape lets it vanish before it was sent. Both are lawful,
and a worker that takes its own cancellation for "it was not done" must be caught.
"""

from __future__ import annotations

from operator import attrgetter

from holdfast.core.contract.errors import ProviderError
from holdfast.sim.errors import SimulationError
from holdfast.sim.loop.driving import drive
from holdfast.sim.stage.gate import behind
from holdfast.sim.stage.misfortune import Misfortunes
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.script import Strike
from holdfast.sim.stage.stage import Stage
from holdfast.sim.stage.steps import FETCHES, Request, Step, settle_future
from holdfast.traces.record import CallOutcome, FaultKind


class Engine:
    """Moves a stage on, one step at a time."""

    def __init__(self, stage: Stage, misfortunes: Misfortunes) -> None:
        self.stage = stage
        self.misfortunes = misfortunes
        self._draw = stage.draws.draw
        self._offer = stage.draws.offer
        self._faults = misfortunes.faults

    def step(self) -> Step:
        """Take one of the enabled steps; there must be one. Returns which it was."""
        ready = self.stage.ready
        count = len(ready)
        assert count, "no step is enabled: only time can go on"
        if count == 1:
            step = ready.pop()
        else:
            self._offer(map(_actor, ready))
            step = ready.pop(self._draw("schedule", "step", count))
        on_its_way = type(step) is Request and step.slowed
        assert step.process.alive or on_its_way, f"{step.actor} is enabled, but {step.process!r} is dead"
        if isinstance(step, Request):
            self._commit(step)
        else:
            self.stage.deliver(step)
        return step

    # --- committing -----------------------------------------------------------------------------------

    def _commit(self, request: Request) -> None:
        answered_already = request.settled and request.operation not in FETCHES  # a fetch may have given up
        assert not answered_already, f"{request.actor} commits, but its caller has an answer already"
        if request.future.done():  # its caller was cancelled
            if self._draw("schedule", "cancelled call", 2):
                self.stage.parking.gave_up(request)
                return
        if request.process.fallible and request.process.alive:
            if self.stage.script and (planned := self.stage.script.take(request)) is not None:
                self._commit_under(planned.kind, request, planned)
                return
            kinds = [] if self._faults.over else self._faults.kinds_for_call(request.operation)
            if kinds:
                struck = self._draw("fault", "commit", 1 + len(kinds))
                if struck:
                    self._commit_under(kinds[struck - 1], request, None)
                    return
        self._execute(request, None)

    def _commit_under(self, kind: FaultKind, request: Request, planned: Strike | None) -> None:
        """A fault strikes a call, drawn from the tape or planned by the scenario."""
        process = request.process
        assert process.alive, f"a {kind} strikes {request.actor}, but its process is dead"
        assert process.fallible, (
            f"a {kind} strikes {request.actor}, but faults do not strike the scenario's own process"
        )
        match kind:
            case "crash":
                before = planned.before if planned is not None else not self._draw("fault", "crash.when", 2)
                if before:
                    self._crash(process, planned)
                else:
                    self._execute(request, kind, planned)
            case "slow_call":
                self._spend(kind, planned)
                delay_ms = (
                    self.misfortunes.draw_delay("slow_call.for") if planned is None else planned.delay_ms
                )
                self.stage.chronicle.fault(kind, process.name, delay_ms)
                request.slowed = True
                self.stage.after(delay_ms, lambda: self._arrive(request))
            case "refused":
                self._spend(kind, planned)
                self.stage.chronicle.fault(kind, process.name)
                self.stage.parking.gave_up(request)
                self.stage.chronicle.commit(process, request.operation, request.arguments, "refused")
                self.stage.answer(request, None, _transient(request, "the store is busy"))
            case "provider_clock":
                self._spend(kind, planned)
                self.misfortunes.jump_clock()
                self._execute(request, None)
            case "unsent":
                self._spend(kind, planned)
                self.stage.parking.gave_up(request)
                self.stage.chronicle.commit(process, request.operation, request.arguments, "unsent")
                self._answer_late(request, kind, None, _transient(request, "no answer"), planned)
            case _:
                self._execute(request, kind, planned)

    def _spend(self, kind: FaultKind, planned: Strike | None) -> None:
        if planned is None:
            self._faults.spend(kind)

    def _crash(self, process: Process, planned: Strike | None) -> None:
        """Crash it. After a planned crash, the scenario decides whether it starts again."""
        if planned is None:
            self.misfortunes.crash(process)
        else:
            self.stage.crash(process)

    def _arrive(self, request: Request) -> None:
        """A slow call reaches the store. It was already on its way, so a crash of its process has not stopped
        it."""
        assert request.slowed, f"{request.actor} arrives, but it was not held up"
        if request.process.alive or request.process.crashed:
            assert request not in self.stage.ready, f"{request.actor} arrives twice"
            self.stage.ready.append(request)

    def _execute(self, request: Request, kind: FaultKind | None, planned: Strike | None = None) -> None:
        """Let the call reach the store; `kind` is what then happens to its answer."""
        process = request.process
        result, error, told = self._call(request)
        if result is None and error is None and request.operation in FETCHES:
            if planned is not None:
                planned.spare()
            self.stage.chronicle.commit(process, request.operation, request.arguments, "answered")
            self.stage.polls.nothing_found(request)
            return
        outcome: CallOutcome = "answered"
        if kind in ("lost_answer", "crash") or request.future.done() or not process.alive:
            outcome = "lost"
        commit = self.stage.chronicle.commit(
            process, request.operation, request.arguments, outcome, result, error
        )
        if error is None:
            self.stage.parking.note(request, commit)
        match kind:
            case None:
                self.stage.answer(request, result, told)
            case "crash":
                self._crash(process, planned)
            case "lost_answer":
                self._spend(kind, planned)
                self._answer_late(request, kind, None, _transient(request, "no answer"), planned)
            case "slow_answer":
                self._spend(kind, planned)
                self._answer_late(request, kind, result, told, planned, least=1)
            case "stall":
                assert planned is None, f"a stall does not strike a call by plan: {planned}"
                self._faults.spend(kind)
                self.stage.stall(process, self.misfortunes.draw_delay("stall.for"))
                self.stage.answer(request, result, told)
            case "duplicate":
                self.stage.answer(request, result, told)
                self.misfortunes.duplicate(request)
            case _:
                raise AssertionError(f"{kind} does not strike a call that commits")

    def _call(self, request: Request) -> tuple[object, ProviderError | None, BaseException | None]:
        """Result, the error as recorded, and the exception that the caller sees."""
        operation = request.operation
        try:
            method = behind(request.process.store, operation)
            return drive(method(**request.effective_arguments()), operation), None, None
        except ProviderError as error:
            return None, error, error
        except SimulationError:
            raise
        except Exception as error:  # not lawful (PV-4.1), but the caller would see it
            self.stage.complaints.append(
                f"{operation}: the provider raised {error!r}, expected a ProviderError"
            )
            return None, ProviderError.permanent(operation, f"raised {type(error).__name__}"), error

    def _answer_late(
        self,
        request: Request,
        kind: FaultKind,
        result: object,
        error: BaseException | None,
        planned: Strike | None,
        *,
        least: int = 0,
    ) -> None:
        """Answer after a drawn or planned delay. A drawn one may be none, unless `least` is 1."""
        if planned is None:
            delays = (0, *self._faults.delays_ms)[least:]
            delay_ms = delays[self._draw("fault", f"{kind}.for", len(delays))]
        else:
            delay_ms = planned.delay_ms
        self.stage.chronicle.fault(kind, request.process.name, delay_ms)
        if delay_ms:
            request.settled = True
            self.stage.after(delay_ms, lambda: self._late(request, result, error))
        else:
            self.stage.answer(request, result, error)

    def _late(self, request: Request, result: object, error: BaseException | None) -> None:
        assert request.settled, f"{request.actor} gets a late answer that had not been decided"
        if request.process.alive and not request.future.done():
            self.stage.post(request.process, settle_future, request.future, result, error)


_actor = attrgetter("actor")


def _transient(request: Request, message: str) -> ProviderError:
    return ProviderError.transient(request.operation, message)

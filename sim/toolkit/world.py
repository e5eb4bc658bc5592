"""World: what the body of a scenario sees of the simulation.

The body is a process like any other, except that no fault strikes it and its waiting costs no steps: what it
waits for is checked after every other step.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal, cast, overload

from holdfast.core.client import Client, Completed, Failed, NotFound, OrchestrationStatus
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import TERMINAL_STATUSES, Provider
from holdfast.core.contract.store import SessionRecord, Store, WorkerRow, inspectable
from holdfast.core.hosting.options import RuntimeOptions
from holdfast.core.program.registry import Registry
from holdfast.core.runtime import Runtime
from holdfast.sim.loop.event_loop import Callback
from holdfast.sim.loop.tasks import Future
from holdfast.sim.stage.misfortune import NETWORK
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.script import ScriptedFault, Strike
from holdfast.sim.stage.stage import Stage
from holdfast.sim.stage.steps import settle_future
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.instance_failed import instance_failed
from holdfast.sim.toolkit.suspects import Suspect, scan_registry
from holdfast.traces.failure import Failure
from holdfast.traces.record import Commit, Fault, Local

WorldBody = Callable[["World"], Awaitable[None]]
MakeRegistry = Callable[[], Registry] | Callable[[Process], Registry]
"""Makes a new registry at each boot, so that nothing its activities close over survives a crash."""

SCENARIO = "scenario"
"""The name of the process that runs a scenario's body."""


class OracleFailed(Exception):
    """Ends a body whose oracle did not hold; the failure has been recorded."""


class World:
    """The simulated system, from within a scenario.

    Attributes:
        client: a client in the scenario's own process; its calls are steps like any other.
        options: the default options of `worker`; set by the scenario's decorator.
        failures, asserted: what oracles found, and the rows whose oracle held.
        suspects: names in the workers' registered code that may leave the simulation, in the order found.
    """

    def __init__(
        self,
        stage: Stage,
        store: Store,
        options: RuntimeOptions,
        workers: dict[str, RuntimeOptions],
        body: WorldBody,
    ) -> None:
        self.options = options
        self._workers = workers
        self.failures: list[Failure] = []
        self.asserted: list[str] = []
        self.suspects: dict[Suspect, None] = {}
        self._stage = stage
        self._store = store
        self._raw = store.open()
        self._handles: dict[str, Handle] = {}
        self._waiting: list[tuple[Callable[[], bool], Future]] = []
        self._matching: list[tuple[Callable[[Commit], bool], Future]] = []
        self._matched_count = 0
        self._quiet: list[Future] = []
        stage.on_boot = self._booted
        stage.register(SCENARIO, lambda process: body(self), fallible=False)
        self._process = stage.start(SCENARIO)
        process = self._process
        self.client = Client(process.provider, clock=process.clock, observer=process.observer)
        self._reader = Client(self._raw, clock=self._process.clock)

    # --- processes ------------------------------------------------------------------------------------

    def worker(self, name: str, registry: MakeRegistry, **option_overrides: Any) -> Handle:
        """Start a process that runs a runtime, dispatcher and worker, until it is told to stop.

        `registry` makes the registry at each boot; it is given the process if it has a required positional
        parameter.
        """
        options = replace(self.options, **option_overrides) if option_overrides else self.options
        self._workers[name] = options
        takes_process = _takes_the_process(registry)

        async def boot(process: Process) -> None:
            made = cast(Any, registry)(process) if takes_process else cast(Any, registry)()
            self.suspects.update(dict.fromkeys(scan_registry(made)))
            runtime = Runtime(
                process.provider,
                made,
                options,
                clock=process.clock,
                ids=process.ids,
                observer=process.observer,
            )
            handle = self._handles[name]
            assert handle.runtime is None, f"{handle!r} has a runtime already"
            handle.runtime = runtime
            await runtime.run()

        handle = self.process(name, boot)
        handle.runs_runtime = True
        return handle

    def process(self, name: str, boot: Callable[[Process], Awaitable[object]]) -> Handle:
        """Start any process; `boot` runs afresh at every start. Raises ValueError if the name is taken."""
        if name == NETWORK:
            raise ValueError(
                f"process name {name!r} is reserved for the delivery of duplicates; choose another"
            )
        self._stage.register(name, boot)
        handle = self._handles[name] = Handle(name, self._stage, self.until)
        self._stage.start(name)
        return handle

    def _booted(self, process: Process) -> None:
        handle = self._handles.get(process.name)
        if handle is not None:
            assert not handle.alive, f"{handle!r} is started while its last boot still runs"
            handle.process = process
            handle.runtime = None

    @property
    def provider(self) -> Provider:
        """The provider of the scenario's own process; its calls are steps like any other."""
        return self._process.provider

    # --- waiting --------------------------------------------------------------------------------------

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Wait until the predicate is true; it is checked after every step."""
        if not predicate():
            future = self._process.loop.create_future()
            self._waiting.append((predicate, future))
            await future

    async def commit(self, match: Callable[[Commit], bool]) -> Commit:
        """Wait for the next commit that matches."""
        future = self._process.loop.create_future()
        self._matching.append((match, future))
        found: Commit = await future
        return found

    @overload
    async def finished(
        self,
        instance: str,
        execution_end: Literal["terminal"] = "terminal",
        *,
        check: Literal[True] = True,
    ) -> Completed: ...

    @overload
    async def finished(
        self, instance: str, execution_end: Literal["terminal", "any"] = "terminal", *, check: bool = True
    ) -> OrchestrationStatus: ...

    async def finished(
        self, instance: str, execution_end: Literal["terminal", "any"] = "terminal", *, check: bool = True
    ) -> OrchestrationStatus:
        """The status of an instance once it has ended, or with `any` once any of its executions has.

        Raises InstanceFailed for one that has not completed; with `check=False` its status is returned.
        """
        ended = self._stage.chronicle.ended
        if execution_end == "terminal":
            await self.until(lambda: ended.get(instance) in TERMINAL_STATUSES)
        else:
            await self.until(lambda: instance in ended)
        status = await self._reader.get_orchestration_status(instance)
        if check and isinstance(status, Failed | NotFound):
            raise await instance_failed(instance, status, self._reader.read_history)
        return status

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    async def quiet(self) -> None:
        """Wait until no step is enabled and only time can go on."""
        future = self._process.loop.create_future()
        self._quiet.append(future)
        await future

    def serve(self) -> None:
        """Wake the body for all it waits for that has come. Called by the explorer after each step."""
        while self._waiting or self._matching:
            told: list[Callback] = []
            for waiter in tuple(self._waiting):
                answered, error = _ask(waiter[0])
                if answered:
                    self._waiting.remove(waiter)
                    told.append((settle_future, (waiter[1], None, error)))
            if self._matching:
                self._match(told)
            if not told:
                break
            self._stage.run(self._process, told)
        self._matched_count = len(self.commits)

    def _match(self, told: list[Callback]) -> None:
        count = len(self.commits)
        assert self._matched_count <= count, (
            f"{self._matched_count} commits were looked at, but there are {count}"
        )
        for commit in self.commits[self._matched_count :]:
            for waiter in self._matching[:]:
                answered, error = _ask(partial(waiter[0], commit))
                if answered:
                    self._matching.remove(waiter)
                    told.append((settle_future, (waiter[1], commit, error)))
        self._matched_count = len(self.commits)

    def serve_quiet(self) -> bool:
        """Wake the waiters of `quiet`; whether there were any. Called by the explorer when nothing is
        enabled."""
        waiting, self._quiet = self._quiet, []
        if waiting:
            assert self._stage.quiet, (
                f"told that all is quiet, but {len(self._stage.ready)} steps are enabled"
            )
            self._stage.run(self._process, [(settle_future, (future, None, None)) for future in waiting])
        return bool(waiting)

    @property
    def over(self) -> bool:
        """Whether the body has returned or raised."""
        main = self._process.main
        return main is not None and main.done()

    @property
    def raised(self) -> BaseException | None:
        """The exception that ended the body, if one did."""
        main = self._process.main
        if main is None or not main.done() or main.cancelled():
            return None
        return main.exception()

    # --- looking --------------------------------------------------------------------------------------

    @property
    def commits(self) -> list[Commit]:
        """All commits so far."""
        return self._stage.chronicle.commits

    @property
    def locals(self) -> list[Local]:
        """All local events so far."""
        return self._stage.chronicle.locals

    @property
    def faults(self) -> list[Fault]:
        """All faults so far."""
        return self._stage.chronicle.faults

    @property
    def now_us(self) -> int:
        """Virtual time."""
        return self._stage.time.now_us

    @property
    def provider_now_ms(self) -> Millis:
        """The store's clock."""
        return self._stage.time.provider_ms()

    def sessions(self) -> list[SessionRecord]:
        """All session rows, through the store's inspection hook. Raises ConfigurationError if it has none."""
        return inspectable(self._store, "session_records").session_records()

    def session(self, instance: str, session_id: str) -> SessionRecord | None:
        """One session row."""
        for record in self.sessions():
            if (record.instance_id, record.session_id) == (instance, session_id):
                return record
        return None

    def worker_rows(self) -> list[WorkerRow]:
        """All rows of the worker queue, through the store's hook. Raises ConfigurationError if it has
        none."""
        return inspectable(self._store, "worker_rows").worker_rows()

    async def history(self, instance: str, execution_id: int | None = None) -> list[StoredEvent]:
        """The history of the latest execution, or of the one given. This is not a step."""
        return await self._reader.read_history(instance, execution_id)

    async def status(self, instance: str) -> OrchestrationStatus:
        """The status of an instance. This is not a step."""
        return await self._reader.get_orchestration_status(instance)

    # --- acting ---------------------------------------------------------------------------------------

    def jump_clock(self, ms: int) -> None:
        """Let the store's clock jump by `ms`, forward or back."""
        self._stage.jump_clock(ms)

    def strike(
        self,
        kind: ScriptedFault,
        process: str | None = None,
        operation: str | None = None,
        *,
        skip: int = 0,
        times: int | None = 1,
        seconds: float = 0,
        before: bool = False,
    ) -> Strike:
        """Let a fault strike calls to come; see `Strike`. A process crashed this way stays down.

        Raises ValueError if `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError(f"a {kind} of {seconds} seconds, expected 0 or more")
        strike = Strike(
            kind=kind,
            process=process,
            operation=operation,
            skip=skip,
            times=times,
            delay_ms=round(seconds * 1000),
            before=before,
        )
        self._stage.script.set(strike)
        return strike

    def draw(self, site: str, arity: int) -> int:
        """A generated value from 0 to arity - 1, drawn from the tape; 0 is the boring one."""
        return self._stage.draw_data(site, arity)

    def break_calls(self, operation: str, *, change: int = 1, times: int = 1, retryable: bool = True) -> None:
        """Make the next calls of an operation fail in their middle, through the store's hook."""
        store = inspectable(self._store, "break_calls")
        store.break_calls(operation, change=change, times=times, retryable=retryable)

    def corrupt_history(self, instance: str) -> None:
        """Make the stored events of an instance undecodable, through the store's hook."""
        inspectable(self._store, "corrupt_instance_history").corrupt_instance_history(instance)

    @contextmanager
    def oracle(self, *rows: str) -> Iterator[None]:
        """Encloses the assertions for rows of the matrix: one that fails violates each row and ends the body.

        Leaving the block normally records that the rows were asserted and held.
        """
        try:
            yield
        except AssertionError as error:
            message = str(error) or "an assertion without a message failed"
            place = len(self.commits), self.now_us
            self.failures += [Failure(row, message, *place) for row in rows]
            raise OracleFailed(", ".join(rows)) from error
        self.asserted += [row for row in rows if row not in self.asserted]


def _ask(predicate: Callable[[], bool]) -> tuple[bool, Exception | None]:
    """Whether to wake the waiter, and with which exception: what the predicate raises is raised in the
    body."""
    try:
        return predicate(), None
    except Exception as error:
        return True, error


def _takes_the_process(make: Callable[..., object]) -> bool:
    """Whether it cannot be called without: a parameter with a default has its own meaning."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not tell
        return False
    return any(
        one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        for one in parameters
    )

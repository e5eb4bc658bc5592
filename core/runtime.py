"""Runtime: one worker process, with its dispatchers and leases, from start to shutdown (RT-21)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Literal

from holdfast.core.client import Client
from holdfast.core.contract.arguments import OF_OPTIONS, able, duration, instance_of
from holdfast.core.contract.clock import Clock, IdSource
from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.ids import Micros
from holdfast.core.contract.observe import Observer, ShutdownBegan, ShutdownReturned
from holdfast.core.contract.provider import DispatcherCapabilityFilter, Provider
from holdfast.core.contract.watchdog import Watchdog, watching
from holdfast.core.dispatching.batch_decision import DispatchPolicy
from holdfast.core.dispatching.dispatcher import Dispatcher
from holdfast.core.hosting.crew import Crew
from holdfast.core.hosting.forwarding import FencedProvider
from holdfast.core.hosting.gauge_poll import gauge_poll
from holdfast.core.hosting.idle_options import without_effect
from holdfast.core.hosting.instrumented import InstrumentedProvider
from holdfast.core.hosting.log import Log, takes_records, tee
from holdfast.core.hosting.metrics import Metrics
from holdfast.core.hosting.options import (
    DEFAULTS,
    ObservabilityOptions,
    RuntimeOptions,
    Timing,
    in_micros,
    to_millis,
)
from holdfast.core.hosting.standard_logging import set_up
from holdfast.core.program.limits import TurnLimits
from holdfast.core.program.registry import Registry
from holdfast.core.working.activity_run import ActivityRunner, lookup_in
from holdfast.core.working.handler import Handlers
from holdfast.core.working.item_renewal import ItemRenewals
from holdfast.core.working.lease_keeper import LeaseKeeper
from holdfast.core.working.lease_records import LeaseView
from holdfast.core.working.system_activities import system_activities
from holdfast.core.working.worker import Worker

DUROXIDE_VERSION: Final = "0.1.32"
"""The replay behaviour this engine implements, stamped into its events (RT-14.14)."""

SHUTDOWN_TIMEOUT: Final = timedelta(seconds=1)
"""The default shutdown timeout (RT-21.6)."""

_DRAIN: Final = Micros(50_000)
"""How long a fetch under way may still answer before shutdown cancels it: it may have committed already,
and cancelling it then would leave a session claimed by nobody (INV-30)."""

_LAST_CALLS: Final = Micros(1_000_000)
"""Beyond the shutdown timeout: time for the final provider calls of what was aborted at the timeout."""


_State = Literal["new", "running", "stopping", "stopped"]

_NEXT: Final[dict[_State, tuple[_State, ...]]] = {
    "new": ("running", "stopping"),
    "running": ("stopping",),
    "stopping": ("stopped",),
    "stopped": (),
}
"""The states of a runtime. One that was never started can be shut down; none is started twice."""


class Runtime:
    """Runs orchestrations and activities of a registry on a provider; several may share one (RT-21.5).

    `metrics` counts what it does, and asks the store for gauges (RT-23.7, RT-23.11).

    Raises ConfigurationError at `start` for mistakes in the registry.
    """

    def __init__(
        self,
        provider: Provider,
        registry: Registry,
        options: RuntimeOptions | None = None,
        *,
        clock: Clock,
        ids: IdSource,
        observer: Observer | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        able("provider", provider, "fetch_work_item", "an opened provider: `store.open()`")
        instance_of("registry", registry, Registry, OF_OPTIONS)
        able("clock", clock, "monotonic_us", "a clock, such as SystemClock()")
        able("ids", ids, "token", "a source of ids, such as SystemIds()")
        self._options = options = DEFAULTS if options is None else options
        instance_of("options", options, RuntimeOptions, OF_OPTIONS)
        self._timing = timing = Timing.of(options)
        self._metrics = metrics
        if metrics is not None:
            observer = tee(observer, metrics)
            provider = InstrumentedProvider(provider, clock=clock, sink=metrics)
        self._provider = provider
        self._registry = registry
        self._clock = clock
        self._observer = observer
        self._log = Log(observer)
        self._runtime_id = f"{ids.bits(16):04x}"
        self._owner = options.worker_node_id or f"{ids.bits(64):016x}"
        self._state: _State = "new"
        self._changed = asyncio.Event()
        # Two events, not one: a task may fail while a graceful shutdown goes on. That ends `run`, but not the
        # wait for the shutdown, and waiting for an event that is set already would be a busy loop.
        self._run_over = asyncio.Event()
        self._stopped = asyncio.Event()
        self._failure: BaseException | None = None
        self._crew = crew = Crew(self._failed)
        self._fence = FencedProvider(provider)
        self._handlers = Handlers(
            Client(self._fence, clock=clock, observer=observer), observer, stuck_max=options.max_stuck_threads
        )
        self._keeper = LeaseKeeper(
            provider,
            clock,
            crew,
            owner=self._owner,
            timing=timing,
            limit=options.max_sessions_per_worker,
            slot_count=options.worker_concurrency,
            observer=observer,
            on_change=self._changed.set,
        )
        self._runner = self._make_runner(ids, Log(observer, "runtime.worker"))
        self._worker = self._make_worker()
        self._dispatcher = Dispatcher(
            provider,
            clock,
            crew,
            policy=_policy(registry, options, timing),
            timing=timing,
            observer=observer,
            watchdog=self._watchdog(),
            on_change=self._changed.set,
        )

    def _watchdog(self) -> Watchdog | None:
        limit, clock = self._options.turn_cpu_limit, watching(self._clock)
        if limit is None or clock is None:
            return None
        return clock.watchdog(in_micros(to_millis(limit)), self._ends_process)

    def _ends_process(self, why: str) -> None:
        """Called on another thread, as the last thing before the process is gone."""
        assert why, "the process ends, and nobody says why"
        self._log.error("Worker process ends: its code cannot be interrupted", error=why)

    def _make_runner(self, ids: IdSource, log: Log) -> ActivityRunner:
        return ActivityRunner(
            self._provider,
            self._clock,
            self._crew,
            self._keeper,
            ItemRenewals(self._provider, self._clock, self._crew, self._keeper, log, timing=self._timing),
            self._handlers,
            lookup_in(system_activities(self._clock, ids), self._registry.resolve_activity),
            log,
            timing=self._timing,
            max_attempts=self._options.max_attempts,
        )

    def _make_worker(self) -> Worker:
        return Worker(
            self._provider,
            self._clock,
            self._crew,
            self._keeper,
            self._runner,
            owner=self._owner,
            timing=self._timing,
            tag_filter=self._options.worker_tag_filter,
            uses_sessions=self._provider.supports_sessions() and self._options.max_sessions_per_worker > 0,
            observer=self._observer,
            on_change=self._changed.set,
        )

    @property
    def owner_identity(self) -> str:
        """This worker's name in session rows: one for all slots, fresh at every start (SS-3.10, SS-3.11)."""
        return self._owner

    @property
    def options(self) -> RuntimeOptions:
        """The options this runtime was made with."""
        return self._options

    @property
    def stuck_threads(self) -> int:
        """How many plain-function activities were given up on and still run, each in its thread (RT-6.14)."""
        return self._handlers.stuck_count

    def leases(self) -> tuple[LeaseView, ...]:
        """The session leases held now; a snapshot for oracles and diagnosis."""
        return self._keeper.leases()

    # --- beginning ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Check the registry and start the dispatchers (RT-21.4). Once per object."""
        if self._state != "new":
            raise ConfigurationError("a runtime is started once; make a new one to start again")
        self._registry.check()
        self._enter("running")
        self._set_up_logging()
        self._log.info(
            "Runtime started",
            provider=self._provider.name(),
            provider_version=self._provider.version(),
            worker_id=self._owner,
            runtime_id=self._runtime_id,
        )
        self._log.info(
            "Orchestration dispatcher capability filter configured",
            ranges=[f"{low}..{high}" for low, high in self._options.replay_versions],
        )
        management = self._provider.as_management()
        if self._metrics is not None and management is not None:
            interval = in_micros(to_millis(self._options.observability.gauge_poll_interval))
            poll = gauge_poll(management, self._metrics, self._clock, self._log, interval=interval)
            self._crew.start(poll, name="gauges")
        self._dispatcher.start(self._options.orchestration_concurrency, self._runtime_id)
        self._worker.start(self._options.worker_concurrency)

    def _set_up_logging(self) -> None:
        """Logging for a program without it; then say which options do nothing (RT-21.4)."""
        assert self._state == "running", f"a runtime that is {self._state} says which options do nothing"
        idle = list(without_effect(self._options, supports_sessions=self._provider.supports_sessions()))
        interval = self._options.observability.gauge_poll_interval
        if self._metrics is None and interval != ObservabilityOptions().gauge_poll_interval:
            idle.append(f"observability.gauge_poll_interval {interval!r}: this runtime has no metrics")
        limit = self._options.turn_cpu_limit
        if limit != DEFAULTS.turn_cpu_limit and watching(self._clock) is None:
            idle.append(f"turn_cpu_limit {limit!r}: this clock watches no CPU time, SystemClock does")
        if not takes_records(self._observer):
            try:
                idle += set_up(self._options.observability)
            except Exception as error:  # tolerated: it must not keep a worker from working
                self._log.failure("logging cannot be set up", error, "warning")
        for text in idle:
            self._log.warning(f"This option has no effect: {text}")

    async def run(self, *, shutdown_timeout: timedelta | None = None) -> None:
        """Start, and run until cancelled, shut down or broken; then shut down.

        Raises what broke it: an exception that no clause foresees ends the runtime and is not hidden.
        """
        if shutdown_timeout is not None:
            duration("the shutdown timeout", shutdown_timeout, OF_OPTIONS)
        await self.start()
        try:
            await self._run_over.wait()
        finally:
            await self.shutdown(shutdown_timeout if self._failure is None else timedelta(0))
        if self._failure is not None:
            raise self._failure

    def _failed(self, error: BaseException) -> None:
        """One of our tasks raised an unexpected exception."""
        self._log.failure("runtime task failed", error)
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a task of the durable runtime failed", "exception": error}
        )
        if self._failure is None:
            self._failure = error
        self._run_over.set()
        self._changed.set()

    def _enter(self, state: _State) -> None:
        assert state in _NEXT[self._state], f"a runtime that is {self._state} becomes {state}"
        self._state = state
        if state == "stopped":
            self._run_over.set()
            self._stopped.set()

    # --- end ------------------------------------------------------------------------------------------

    async def shutdown(self, timeout: timedelta | None = None) -> None:
        """Stop; when this returns, no task of the runtime runs and no provider call is made any more.

        Graceful (None: one second): fetch no more, signal session activities, let the others finish, give
        back what did not, release the sessions (SS-9.8 to SS-9.13). A timeout of zero stops like a crash:
        what was in flight is redelivered when its locks expire (SS-9.14, RT-21.8).
        """
        given = SHUTDOWN_TIMEOUT if timeout is None else duration("the shutdown timeout", timeout, OF_OPTIONS)
        allowance = in_micros(to_millis(given))
        if self._state in ("stopping", "stopped"):
            await self._stopped.wait()
            return
        self._enter("stopping")
        if self._observer is not None:
            self._observer.notify(ShutdownBegan(self._owner, graceful=allowance > 0, timeout_us=allowance))
        self._dispatcher.stop()
        self._worker.stop()
        try:
            if allowance > 0:
                await self._wind_down(allowance)
        finally:
            await self._cut_off()

    async def _wind_down(self, allowance: Micros) -> None:
        assert allowance > 0, f"{allowance} us leave no time to wind down"
        began = self._clock.monotonic_us()
        steps = self._crew.start(self._release_everything(began, allowance), name="shutdown")
        cut = self._crew.start(
            self._clock.sleep_until(Micros(began + allowance + _LAST_CALLS)), name="shutdown timeout"
        )
        await asyncio.wait((steps, cut), return_when=asyncio.FIRST_COMPLETED)

    async def _release_everything(self, began: Micros, allowance: Micros) -> None:
        """The order of SS-9c: signal, wait, give items back, release sessions, then the rest."""
        assert self._state == "stopping", f"a runtime that is {self._state} releases everything"
        self._keeper.begin_closing()
        self._runner.stop(
            sessions_by=Micros(began + min(self._timing.grace, allowance)),
            plain_by=Micros(began + allowance),
        )
        await self._until(lambda: not self._worker.holds_session_items)
        if self._worker.fetching or self._dispatcher.running:
            await self._clock.sleep_until(Micros(self._clock.monotonic_us() + min(_DRAIN, allowance)))
        self._dispatcher.unpark()
        self._worker.unpark()
        await self._until(lambda: not self._worker.fetching and not self._worker.holds_session_items)
        self._keeper.release_all(self._handlers.unstopped())
        await self._until(
            lambda: not (self._worker.running or self._dispatcher.running or self._keeper.releasing)
        )

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._changed.clear()
            await self._changed.wait()

    async def _cut_off(self) -> None:
        self._keeper.stop()
        await self._crew.cancel()
        await self._handlers.abort_all()
        self._fence.fence()
        self._enter("stopped")
        if self._observer is not None:
            self._observer.notify(ShutdownReturned(self._owner))


def _policy(registry: Registry, options: RuntimeOptions, timing: Timing) -> DispatchPolicy:
    return DispatchPolicy(
        registry=registry,
        supported_versions=DispatcherCapabilityFilter(options.replay_versions),
        duroxide_version=DUROXIDE_VERSION,
        limits=TurnLimits(sessions_per_orchestration_max=options.max_sessions_per_orchestration),
        unregistered_base=timing.unregistered_base,
        unregistered_max=timing.unregistered_most,
        max_attempts=options.max_attempts,
    )

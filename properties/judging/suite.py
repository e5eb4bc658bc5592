"""MonitorSuite: all monitors of a run, and the recognisers of situations, as one watcher.

One ledger takes in each commit and local event; what it means is told only to those who listen for it. A
monitor that raises is dropped: its rule is unknown, with the text of the exception.

A suite is made for every schedule and told of every commit, so who listens to what is worked out once for
each set of rules (`_listening`) and only bound here. Things are told in this order, each for a reason:

    time       what was due before now is overdue by what was known before this commit
    ledger     monitors are asked about the state after it; what a rule needs of the one before is in the fact
    Commit     for those who judge the call itself, whether or not any rule is about what it means
    the fact   to the listeners of its type; then RowsChanged and WorkChanged, with the same fact
    situations last, as the scene remembers what the next fact is compared with

Situations hear of a fault before the ledger does: they ask what it strikes, and once the ledger knows, a
crashed worker holds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from holdfast.core.contract.observe import Logged
from holdfast.properties.judging.invariants.monitor import Listener, Monitor, RowsChanged, WorkChanged
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.registry import selected
from holdfast.properties.judging.situations.recogniser import Recogniser
from holdfast.properties.judging.timing import Timings, WorkerTiming
from holdfast.properties.judging.verdict import Holds, Unknown, Verdict, Violated
from holdfast.traces.failure import Failure
from holdfast.traces.record import Booted, Commit, Fault, Local, RunEnd


class MonitorSuite:
    """Implements `traces.record.Watcher`.

    Args:
        store: the live store; its inspection hooks are read, where it has them.
        timings: by process name; it may grow during the run.
        rules: ids of the rules to watch; all for None.
        default: the timing of processes that `timings` does not name.
        situations: names of the situations to look for; all for None.
        to_the_end: whether a run goes on when a rule is broken, to see what else breaks.
    """

    def __init__(
        self,
        store: object,
        timings: Mapping[str, WorkerTiming],
        rules: Iterable[str] | None = None,
        *,
        default: WorkerTiming | None = None,
        situations: Iterable[str] | None = None,
        to_the_end: bool = False,
    ) -> None:
        self.ledger = Ledger(store)
        known = Timings(default, timings)
        kinds = selected(rules)
        self.monitors: tuple[Monitor, ...] = tuple([kind(self.ledger, known) for kind in kinds])
        self._recogniser = Recogniser(self.ledger, situations)
        self._time_us = 0
        self._end: RunEnd | None = None
        self._to_the_end = to_the_end
        self._breaches: list[Violated] = []
        for monitor in self.monitors:
            monitor.breaches = self._breaches
        self._lasting = [monitor.id for monitor in self.monitors if not monitor.ends_run]
        watching = self.monitors
        missing = self.ledger.rows.missing
        if missing:
            watching = tuple(monitor for monitor in watching if not _lacks(monitor, missing))
            kinds = tuple(type(monitor) for monitor in watching)
        self._watching = watching
        self._places = _listening(kinds)
        self._listeners: dict[type, list[Listener]] = {}  # bound when there is first something to tell them
        self._dismissed: set[Monitor] = set()
        self._timed = [monitor for monitor in watching if monitor.timed]

    def _dismiss(self, monitor: Monitor, error: Exception) -> None:
        monitor.unknown = f"the monitor failed: {type(error).__name__}: {error}"
        self._dismissed.add(monitor)
        for kind, listeners in self._listeners.items():
            self._listeners[kind] = [
                one for one in listeners if getattr(one, "__self__", None) is not monitor
            ]
        self._timed = [one for one in self._timed if one is not monitor]

    # --- watching -------------------------------------------------------------------------------------

    def on_commit(self, commit: Commit) -> None:
        ledger = self.ledger
        if commit.time_us != self._time_us:
            self._pass_time(commit.time_us)
        fact = ledger.commit(commit)
        self._tell(Commit, commit)
        if fact is not None and ledger.unsure is None:
            self._tell(type(fact), fact)
            if ledger.rows.changed:
                self._tell(RowsChanged, fact)
            if ledger.rows.work_changed:
                self._tell(WorkChanged, fact)
            self._recogniser.fact(fact)
        if commit.outcome != "answered":
            self._recogniser.outcome(commit)

    def on_local(self, local: Local) -> None:
        kind = type(local.event)
        if kind is Logged:  # for readers: every rule is about events that are told themselves
            return
        if local.time_us != self._time_us:
            self._pass_time(local.time_us)
        self.ledger.local(local)
        self._tell(kind, local)
        self._recogniser.local(local)

    def on_fault(self, fault: Fault) -> None:
        if fault.time_us != self._time_us:
            self._pass_time(fault.time_us)
        self._recogniser.fault(fault)
        self.ledger.fault(fault)
        self._tell(Fault, fault)

    def on_boot(self, booted: Booted) -> None:
        if booted.time_us != self._time_us:
            self._pass_time(booted.time_us)
        self.ledger.booted(booted)

    def on_end(self, end: RunEnd) -> None:
        assert self._end is None, f"the run ended at {self._end.time_us} µs, and again at {end.time_us}"
        self._end = end
        self.ledger.time_us = end.time_us
        if end.cut_off is None:
            # The run went on until `open_until_us`, so whatever the monitors that asked for that still wait
            # for is overdue. Nothing can be said of the obligations of others: the run did not wait for them.
            self._timed = [monitor for monitor in self._timed if monitor.latest_due_us()]
            self._pass_time(end.time_us + 1)
            self._tell(RunEnd, end)

    def _tell(self, kind: type, what: object) -> None:
        listeners = self._listeners.get(kind)
        if listeners is None:
            listeners = self._listeners[kind] = self._bound(kind)
        for listener in listeners:
            try:
                listener(what)
            except Exception as error:
                self._dismiss(listener.__self__, error)  # type: ignore[attr-defined]

    def _bound(self, kind: type) -> list[Listener]:
        named = [(self._watching[index], name) for index, name in self._places.get(kind, ())]
        return [getattr(monitor, name) for monitor, name in named if monitor not in self._dismissed]

    def _pass_time(self, time_us: int) -> None:
        self._time_us = time_us
        for monitor in self._timed:
            if monitor.due_us < time_us:
                try:
                    monitor.overdue(time_us)
                except Exception as error:
                    self._dismiss(monitor, error)

    # --- what came of it ------------------------------------------------------------------------------

    @property
    def violated(self) -> bool:
        """Whether a rule is already broken that ends the run."""
        if self._to_the_end:
            return False
        return bool(self._breaches) and any(one.rule not in self._lasting for one in self._breaches)

    def open_until_us(self) -> int:
        return max((monitor.latest_due_us() for monitor in self._timed), default=0)

    @property
    def situations(self) -> Mapping[str, int]:
        """The situations that occurred, each with the number of commits before it first did."""
        return self._recogniser.seen

    @property
    def blind(self) -> str | None:
        """Why not all situations that are looked for can be recognised on this store; None if they can."""
        return self._recogniser.blind

    @property
    def verdicts(self) -> list[Verdict]:
        """What each rule says of the run, in the order of the specification."""
        return [self._verdict(monitor) for monitor in self.monitors]

    def _verdict(self, monitor: Monitor) -> Verdict:
        if monitor.violation is not None:
            return monitor.violation
        unsure = self.ledger.unsure if monitor.reads_ledger else None
        unknown = monitor.unknown or unsure or monitor.undecided()
        if unknown is not None:
            return Unknown(monitor.id, unknown)
        if self._end is None:
            return Unknown(monitor.id, "the run is not over")
        if self._end.cut_off is not None:
            return Unknown(monitor.id, f"the run was cut off: {self._end.cut_off}")
        return Holds(monitor.id)

    @property
    def failures(self) -> Sequence[Failure]:
        """What is broken, in order, first what ends a run; written out here and nowhere earlier."""
        by_id = {monitor.id: monitor for monitor in self.monitors} if self._breaches else {}
        return [
            Failure(
                one.rule,
                f"{by_id[one.rule].title}: {by_id[one.rule].told(one)}",
                one.position + 1,  # seen after the commit at that position
                one.time_us,
            )
            for one in sorted(self._breaches, key=lambda one: one.rule in self._lasting)
        ]


def _lacks(monitor: Monitor, missing: Sequence[str]) -> bool:
    """Whether the store lacks a hook that the rule needs; it is unknown then."""
    lacking = [hook for hook in monitor.hooks if hook in missing]
    if lacking:
        monitor.unknown = f"the store has no inspection hook {', '.join(lacking)}"
    return bool(lacking)


@cache
def _listening(kinds: tuple[type[Monitor], ...]) -> dict[type, list[tuple[int, str]]]:
    """Who listens to what: a monitor's place among these, and the method. The same for every run."""
    places: dict[type, list[tuple[int, str]]] = {}
    for index, monitor in enumerate(kinds):
        for kind, name in monitor.handlers:
            places.setdefault(kind, []).append((index, name))
    return places

"""Polls: how a fetch that finds nothing waits, and how its wait ends.

The world does the waiting: the process learns that there was nothing when its poll timeout has passed, or, in
a long wait (`long_waits`), somewhat later.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from holdfast.sim.loop.virtual_time import VirtualTime
from holdfast.sim.stage.agenda import Agenda
from holdfast.sim.stage.long_waits import is_overdue
from holdfast.sim.stage.parking import Parking
from holdfast.sim.stage.steps import FETCHES, Request, Step, settle_future


class Polls:
    """The waits of fetches. `answer` and `post` let a process hear something, at once or as a step."""

    def __init__(
        self,
        ready: list[Step],
        time: VirtualTime,
        agenda: Agenda,
        *,
        answer: Callable[[Request, object, BaseException | None], None],
        post: Callable[..., None],
    ) -> None:
        self.parking = Parking(self.look_again, time.provider_ms)
        self._ready = ready
        self._time = time
        self._agenda = agenda
        self._answer = answer
        self._post = post

    def nothing_found(self, request: Request) -> None:
        """A fetch found nothing: it waits for a change, or until its poll timeout is over.

        Enabled fetches that ask the same wait with it: they would find nothing either.
        """
        assert request.operation in FETCHES, f"{request.operation} is no fetch, it does not wait"
        if request.future.done() or not request.process.alive:
            self.parking.gave_up(request)
        elif request.issued_us + request.arguments["poll_timeout"] * 1000 <= self._time.now_us:
            self.parking.gave_up(request)
            self._answer(request, None, None)
        else:
            self.park(request)
            kind = request.fetch_kind()
            alike = [
                step
                for step in self._ready
                if type(step) is Request
                and step.process is request.process
                and step.operation == request.operation
                and step.arguments["poll_timeout"]
                and step.fetch_kind() == kind
            ]
            for step in alike:
                self._ready.remove(step)
                self.park(step)

    def park(self, request: Request) -> None:
        """Let it wait for a change, or until its poll timeout is over."""
        if request.deadline_us is None:
            timeout_ms = request.arguments["poll_timeout"]
            process = request.process
            process.poll_timeout_max = max(process.poll_timeout_max, timeout_ms)
            self.wait_until(request, request.issued_us + timeout_ms * 1000)
        self.parking.park(request)

    def wait_until(self, request: Request, deadline_us: int) -> None:
        """Let its wait end then, and not before."""
        request.deadline_us = deadline_us
        self._agenda.put(deadline_us, partial(self.give_up, request), request)

    def give_up(self, request: Request) -> None:
        """The poll timeout of a fetch has passed: only now does its process learn that there was nothing."""
        now_us, due_us = self._time.now_us, request.deadline_us
        assert due_us is not None, f"{request.actor} gives up, but has never waited"
        assert now_us >= due_us, f"{request.actor} gives up at {now_us} us, it is to wait until {due_us} us"
        self.parking.remove(request)
        if request in self._ready:
            self._ready.remove(request)
            self.parking.gave_up(request)
        self._nothing_came(request)

    def _nothing_came(self, request: Request) -> None:
        assert not request.settled, f"{request.actor} ends with nothing, and has its answer"
        request.settled = True
        if request.process.alive and not request.future.done():
            self._post(request.process, settle_future, request.future, None, None)

    def look_again(self, request: Request) -> None:
        """Something may have come for a parked fetch. One put off ends, and its process asks anew."""
        if is_overdue(request, self._time.now_us):
            self._nothing_came(request)
            self.parking.gave_up(request)
        else:
            self._ready.append(request)

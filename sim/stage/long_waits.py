"""Long waits: while nothing but polls is due, only a few of them are made.

An idle worker asks the store again whenever a fetch has waited for its poll timeout, and learns nothing: a
month would be a hundred thousand such rounds. Once enough of them in a row have found nothing, the polls that
come next are put off, each time for about as long as nothing has happened, by a drawn part of it:

    something happened      rounds as they come      put off      put off           put off
          |---------------------|-|-|-|-|-|-|----------|--------------|---------------------|-|--->
                                                                                            | the next moment
                                                                             just before it, and as it comes

So the rounds of a wait grow with the logarithm of its length, and a store that lets a delivery or an expiry
come too early is still seen: between rounds, just before the moment, and at it. What the processes do of
their own accord meanwhile (renewals, timers of activities) is done at its time.

A fetch that was put off has waited for longer than its process allowed, which must not show: when something
may have come for it, it ends with nothing, as it would have long ago, and its process asks anew. A fetch with
less than its process's full poll timeout is never put off: something in its process waits for its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from holdfast.sim.loop.virtual_time import VirtualTime
from holdfast.sim.stage.agenda import Agenda
from holdfast.sim.stage.draws import Draws
from holdfast.sim.stage.parking import Parking
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.steps import Request

PATIENCE: Final = 20
"""How many poll timeouts must have passed without an event before polls are put off."""

_PARTS: Final = 4
_JUST_US: Final = 1_000


class LongWaits:
    """Decides how far the polls of parked fetches are put off; `poll_until` gives a fetch its new end."""

    def __init__(
        self, agenda: Agenda, parking: Parking, draws: Draws, poll_until: Callable[[Request, int], None]
    ) -> None:
        self._agenda = agenda
        self._parking = parking
        self._draws = draws
        self._poll_until = poll_until
        self._event_us = 0
        self._patience_us = 0
        self._round_us = 0
        self._moment_us: int | None = None  # what the round put off comes just before, if anything

    def to_consider(self, now_us: int, event_us: int) -> bool:
        """Whether polls may have to be put off, or brought back, if something last happened at `event_us`."""
        assert event_us <= now_us, f"something happened at {event_us} us, and it is {now_us} us"
        if event_us > self._event_us and self._round_us > self._event_us:
            return True
        return now_us - event_us >= self._patience_us

    def only_polls(self, now_us: int, event_us: int, processes: Sequence[Process]) -> bool:
        """Whether polls have found nothing for long enough, and no process has a timer."""
        if not self._patience_us or now_us - event_us < self._patience_us:
            return False
        return all(process.loop.next_due_us() is None for process in processes)

    def next_change_us(self, processes: Sequence[Process], time: VirtualTime) -> int | None:
        """When something may next come for a fetch, or the scenario goes on; None if it never does."""
        times = [self._agenda.next_other_us()]
        times += [process.loop.next_due_us() for process in processes if not process.fallible]
        store_ms = self._parking.next_time_ms()
        if store_ms is not None:
            times.append(time.when_provider_shows(store_ms))
        return min((at_us for at_us in times if at_us is not None), default=None)

    def put_off(self, now_us: int, event_us: int, next_us: int | None, change_us: int | None) -> None:
        """Before time goes on: put the polls off if they are what is due next.

        Args:
            event_us: when something last happened.
            next_us: when the next thing is due, a poll or not.
            change_us: when the next thing is due of which a fetch may learn; None if nothing ever is.
        """
        polls = [
            one
            for one in self._parking.waiting()
            if one.arguments["poll_timeout"] == one.process.poll_timeout_max
            and not one.future.done()  # its process has given it up: nothing ends its wait any more
        ]
        if not polls or next_us is None:
            return
        timeout_us = max(map(_timeout_us, polls))
        assert timeout_us > 0, f"{polls[0].actor} is parked, and does not wait"
        self._patience_us = PATIENCE * timeout_us
        if event_us > self._event_us:  # those put off before it come back to their usual times
            self._event_us = event_us
            for poll in polls:
                if is_overdue(poll, now_us):
                    self._poll_until(poll, now_us + _timeout_us(poll))
            return
        first_us = min(map(_deadline_us, polls))
        assert first_us >= now_us, f"a poll was due at {first_us} us, and it is {now_us} us"
        if now_us - event_us < self._patience_us or first_us > next_us:
            return
        if first_us == self._round_us and self._moment_us in (None, change_us):
            return  # put off until now
        share = _PARTS - self._draws.draw("schedule", "put off", _PARTS)
        target_us = now_us + max(timeout_us, (now_us - event_us) * share // _PARTS)
        self._moment_us = None
        if change_us is not None and target_us > change_us - timeout_us:
            target_us, self._moment_us = change_us - _JUST_US, change_us
        self._round_us = max(target_us, first_us)
        assert target_us > now_us or target_us <= first_us, f"polls are put off to {target_us} us, the past"
        for poll in polls:
            if _deadline_us(poll) < target_us:
                self._poll_until(poll, target_us)


def is_overdue(request: Request, now_us: int) -> bool:
    """Whether a fetch has waited for longer than its process allowed."""
    return request.issued_us + _timeout_us(request) < now_us


def _timeout_us(request: Request) -> int:
    timeout_us: int = request.arguments["poll_timeout"] * 1000
    return timeout_us


def _deadline_us(request: Request) -> int:
    assert request.deadline_us is not None, f"{request.actor} is parked and has no end"
    return request.deadline_us

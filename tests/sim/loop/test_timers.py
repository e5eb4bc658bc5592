"""The timers of a loop against a plain list of them."""

from __future__ import annotations

import contextvars

from hypothesis import given
from hypothesis import strategies as st

from holdfast.sim.loop.tasks import Timer
from holdfast.sim.loop.timers import Timers

WHAT_IS_DONE = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 6)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("advance"), st.integers(0, 4)),
        st.tuples(st.just("pop"), st.integers(0, 1)),
    ),
    max_size=60,
)


def a_timer(due_us: int) -> Timer:
    return Timer(due_us, print, (), contextvars.Context())


@given(WHAT_IS_DONE)
def test_timers_are_counted_and_taken_as_a_list_of_them_would_be(done: list[tuple[str, int]]) -> None:
    timers, made, now = Timers(), list[Timer](), 0
    waiting: list[Timer] = []
    for what, amount in done:
        match what:
            case "put":
                timer = a_timer(now + amount)
                made.append(timer)
                waiting.append(timer)
                timers.put(timer, len(made))
            case "cancel" if made:
                made[amount % len(made)].cancel()
            case "advance":
                now += amount
            case _:
                due = sorted((one for one in waiting if one.due_us <= now), key=lambda one: one.due_us)
                expected = next(iter(due), None)
                assert timers.pop_due(now) is expected
                if expected is not None:
                    waiting.remove(expected)
        waiting = [one for one in waiting if not one.cancelled()]
        assert timers.next_us() == min((one.due_us for one in waiting), default=None)
        assert timers.count_due(now) == sum(one.due_us <= now for one in waiting)
    timers.clear()
    assert not timers and timers.next_us() is None and not timers.count_due(now)
    for timer in made:
        timer.cancel()
    assert not timers.count_due(now)


def test_a_timer_that_was_taken_may_be_cancelled_like_any_other() -> None:
    timers = Timers()
    first, second = a_timer(0), a_timer(0)
    timers.put(first, 1)
    timers.put(second, 2)
    assert timers.pop_due(0) is first
    first.cancel()
    assert timers.count_due(0) == 1
    second.cancel()
    second.cancel()
    assert not timers.count_due(0) and timers.pop_due(0) is None

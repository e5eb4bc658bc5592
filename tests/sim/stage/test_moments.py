"""The moments at which fetches look again, against a plain dictionary of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.sim.stage.moments import MomentKey, Moments

WHAT_IS_DONE = st.lists(
    st.tuples(st.sampled_from(["put", "drop", "advance"]), st.integers(0, 5), st.integers(0, 5)),
    max_size=80,
)


@given(WHAT_IS_DONE)
def test_moments_pass_as_those_of_a_dictionary_would(done: list[tuple[str, int, int]]) -> None:
    moments = Moments[str]()
    plain: dict[MomentKey, tuple[int, str]] = {}
    now = 0
    for what, which, amount in done:
        key = ("delay", str(which))
        if what == "put":
            plain[key] = now + amount, f"queue {amount}"
            moments.put(key, *plain[key])
        elif what == "drop":
            plain.pop(key, None)
            moments.drop(key)
        else:
            now += amount
            passed = [(key, *moment) for key, moment in plain.items() if moment[0] <= now]
            assert moments.take_passed(now) == passed
            plain = {key: moment for key, moment in plain.items() if moment[0] > now}
        assert moments.next_ms() == min((at for at, _ in plain.values()), default=None)
        assert moments.get_ms(key) == (plain[key][0] if key in plain else None)
        assert bool(moments) == bool(plain)


def test_a_moment_that_is_put_off_again_and_again_leaves_nothing_behind() -> None:
    moments = Moments[str]()
    for at in range(10_000):
        moments.put(("session", "i", "s"), at, "work")
    assert moments.take_passed(9_998) == []
    assert len(moments._heap) < 100
    assert moments.take_passed(9_999) == [(("session", "i", "s"), 9_999, "work")]

"""Matrix section 19, signals of a turn: the two lists of the acknowledgement, and nothing else, move rows."""

from __future__ import annotations

from holdfast.core.contract import events
from holdfast.core.contract.store import SessionRecord
from holdfast.properties.matrix.parts.turns_by_hand import (
    ITEM_LOCK,
    D,
    begin,
    event,
    fetch,
    fetched,
    further_turn,
    ids,
    is_refused,
    item,
    items,
    records,
    sessions_named,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario


@scenario(covers=["19.4", "SS-6.4", "SS-6.5", "SS-6.3"], level="provider")
async def close_session_lock_stealing_signal(bench: Bench) -> None:
    """Listing a session in cancelled_sessions takes away its queued and running work and its row."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s"), work=[item(2, "s"), item(3, "s")])
    held = await fetched(provider, "A")
    await provider.renew_work_item_lock(held.token, extend_for=ITEM_LOCK, extend_session_for=D)
    assert ids(bench) == [("i", 2), ("i", 3)]
    await further_turn(provider, "i", closed=sessions_named("s"))
    assert items(bench) == [] and records(bench) == [], (items(bench), records(bench))
    await is_refused(provider.renew_work_item_lock(held.token, extend_for=ITEM_LOCK, extend_session_for=D))
    error = await is_refused(provider.renew_session_lock("i", "s", "A", extend_for=D))
    assert "session i/s not owned by A" in str(error), error
    await is_refused(provider.ack_work_item(held.token))
    for worker in ("A", "B"):
        assert await fetch(provider, worker) is None, f"{worker} is handed something"
    assert items(bench) == [] and records(bench) == [], (items(bench), records(bench))


@scenario(covers=["19.9", "SS-6.4", "SS-12.11"], level="provider")
async def cancelled_list_alone_suffices(bench: Bench) -> None:
    """The close signal needs no session event in the delta, and events without the lists do nothing."""
    provider = bench.provider
    await begin(
        provider, opened=sessions_named("s", "t"), work=[item(2, "s"), item(3, "s"), item(4, "t"), item(5)]
    )
    await fetched(provider, "A")
    rows, queued = records(bench), items(bench)
    await further_turn(provider, "i")
    assert (records(bench), items(bench)) == (rows, queued), "an empty turn changed a row"
    await further_turn(
        provider,
        "i",
        event(events.SessionClosed, 6, session_id="s"),
        event(events.SessionOpened, 7, session_id="u"),
        event(events.SessionClosed, 8, session_id="t"),
    )
    assert (records(bench), items(bench)) == (rows, queued), "session events alone changed a row"
    await further_turn(provider, "i", closed=sessions_named("s"))
    assert records(bench) == [SessionRecord("i", "t", None, None)], records(bench)
    assert ids(bench) == [("i", 4), ("i", 5)], items(bench)
    assert [one.event_id for one in await provider.read("i")] == [1, 6, 7, 8], "the closing delta was empty"


@scenario(covers=["19.11", "SS-5.9", "SS-12.11", "SS-15.1"], level="provider")
async def opened_list_alone_suffices(bench: Bench) -> None:
    """Listing a session in opened_sessions creates its row without any session event in the delta."""
    provider = bench.provider
    await begin(provider)
    assert records(bench) == []
    await further_turn(provider, "i", event(events.SessionOpened, 2, session_id="u"))
    assert records(bench) == [], f"an event opened a session: {records(bench)}"
    await further_turn(provider, "i", opened=sessions_named("s"))
    assert records(bench) == [SessionRecord("i", "s", None, None)], records(bench)
    assert [one.event_id for one in await provider.read("i")] == [1, 2], "the opening delta was empty"
    await begin(provider, "j", opened=sessions_named("j/s"))
    assert records(bench) == [SessionRecord("i", "s", None, None), SessionRecord("j", "s", None, None)]

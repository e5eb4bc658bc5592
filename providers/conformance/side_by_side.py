"""Texts that are looked up by stand side by side however alike they are (PV-2.15): ids, keys, sessions, tags.

Each function stores something under every twin of `texts.TWINS` and then finds, changes and removes it under
every second one. A collation that takes two twins for one text loses or overwrites one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.provider import FetchedTurn, TagFilter
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.harness import Broken
from holdfast.providers.conformance.messages import (
    activity,
    external,
    kv_clear,
    kv_set,
    named,
    note,
    start,
    started,
    status,
)
from holdfast.providers.conformance.texts import FEW, SEPARATORS, each, escaped, mixed, outside_json, twins


def apart(actual: Mapping[str, object], expected: Mapping[str, object], what: str) -> None:
    """What was found under each text is what was stored under it. A message names the first that differs."""
    for text, value in expected.items():
        here = f"PV-2.15: {what} {escaped(text)}"
        if text not in actual:
            raise Broken(f"{here}: nothing is stored under it, expected {expect.shown(value, 80)}")
        if actual[text] != value:
            raise Broken(
                f"{here}: expected {expect.shown(value, 120)}, got {expect.shown(actual[text], 120)}"
            )
    for text in actual:
        if text not in expected:
            raise Broken(f"PV-2.15: {what} {escaped(text)} was never stored: another came back as this")


async def keys(fx: Fixture) -> None:
    """A value under every twin, set, overwritten, cleared under every second one, and settled."""
    names = twins(length_max=1_024)
    await fx.begin("i", *(kv_set(2 + n, key, f"value {n}") for n, key in enumerate(names)))
    await _keys_are(fx, {key: f"value {n}" for n, key in enumerate(names)})
    left = names[1::2]
    cleared = [kv_clear(500 + n, key) for n, key in enumerate(names[::2])]
    again = [kv_set(1_000 + n, key, f"again {n}") for n, key in enumerate(left[::2])]
    await fx.step("i", *cleared, *again)
    values = {key: f"value {1 + 2 * n}" for n, key in enumerate(left)}
    values |= {key: f"again {n}" for n, key in enumerate(left[::2])}
    await _keys_are(fx, values)
    await fx.step("i", status="ContinuedAsNew")
    await fx.send(external())
    snapshot = (await fx.turn("i")).item.kv_snapshot
    apart({key: entry.value for key, entry in snapshot.items()}, values, "in the snapshot, the key")


async def _keys_are(fx: Fixture, expected: Mapping[str, str]) -> None:
    apart(await fx.provider.get_kv_all_values("i"), expected, "among all values, the key")
    each = {key: await fx.provider.get_kv_value("i", key) for key in expected}
    apart(each, expected, "the key")


async def instances(fx: Fixture) -> None:
    """An instance of every twin, with a parent of its own: found, changed and deleted under every second."""
    names = FEW
    for n, name in enumerate(names):
        await fx.send(start(name, parent=_parent(name)), external(name, f"for {n}"))
    turns = await _turns(fx, names)
    batches = {name: list(turn.item.messages) for name, turn in turns.items()}
    apart(
        batches,
        {
            name: [start(name, parent=_parent(name)), external(name, f"for {n}")]
            for n, name in enumerate(names)
        },
        "the batch of instance",
    )
    for n, name in enumerate(names):
        told = (started(), note(2, f"of {n}"), status(3, f"of {n}"), kv_set(4, "k", f"of {n}"))
        work = [activity(2, name), activity(3, name)]
        await fx.ack(turns[name], *told, name=f"Flow{n}", version="1", parent=_parent(name), work=work)
    await _instances_are(fx, names, {name: n for n, name in enumerate(names)})
    await _cancelled_and_deleted(fx, names)


def _parent(name: str) -> str:
    return "no such parent " + name


async def _turns(fx: Fixture, names: Sequence[str]) -> dict[str, FetchedTurn]:
    """A turn for every name, each fetched once."""
    turns: dict[str, FetchedTurn] = {}
    while (turn := await fx.try_turn()) is not None:
        turns[turn.item.instance] = turn
    apart(dict.fromkeys(turns, True), dict.fromkeys(names, True), "among the turns, instance")
    return turns


async def _instances_are(fx: Fixture, names: Sequence[str], numbers: Mapping[str, int]) -> None:
    """Every look-up by the id finds that instance and no other."""
    listed = await fx.management.list_instances()
    apart(dict.fromkeys(listed, True), dict.fromkeys(names, True), "in the list, instance")
    expect.equal(len(listed), len(names), "instances listed")
    found: dict[str, object] = {}
    for name in names:
        info = await fx.management.get_instance_info(name)
        custom = await fx.provider.get_custom_status(name, 0)
        found[name] = (
            info.instance_id,
            info.orchestration_name,
            info.parent_instance_id,
            len(await fx.provider.read(name)),
            custom and custom.text,
            await fx.provider.get_kv_value(name, "k"),
            await fx.management.list_children(_parent(name)),
        )
    expected = {
        name: (name, f"Flow{n}", _parent(name), 4, f"of {n}", f"of {n}", [name])
        for name, n in numbers.items()
    }
    apart(found, expected, "what is known of instance")


async def _cancelled_and_deleted(fx: Fixture, names: Sequence[str]) -> None:
    """Activities are cancelled and instances deleted under every second id; the others' stay."""
    gone, kept = names[::2], names[1::2]
    await fx.step(kept[0], cancelled=[named(2, name) for name in gone])
    result = await fx.management.delete_instances_atomic(list(gone[::2]), force=True)
    expect.equal(result.instances_deleted, len(gone[::2]), "instances deleted")
    rows: dict[str, list[int]] = {}
    while (work := await fx.try_work()) is not None:
        rows.setdefault(work.item.instance, []).append(work.item.id)
    expected = {name: [3] if name in gone[1::2] else [2, 3] for name in (*gone[1::2], *kept)}
    apart(rows, expected, "activities left of instance")
    left = await fx.management.list_instances()
    apart(dict.fromkeys(left, True), dict.fromkeys(expected, True), "after the deletion, instance")


async def sessions(fx: Fixture) -> None:
    """A session of every twin, each claimed by a worker of its own; every second one is closed."""
    more = outside_json(each() | mixed(), bytes_max=1_024)
    names = list(dict.fromkeys([*twins(length_max=1_024, bytes_max=1_024), *more.values()]))
    work = [activity(2 + n, session=name) for n, name in enumerate(names)]
    await fx.begin("i", opened=names, work=work)
    claimed = {}
    for n in range(len(names)):
        item = (await fx.claim(f"worker {n}")).item
        claimed[str(item.session_id)] = item
    apart(claimed, dict(zip(names, work, strict=True)), "session")
    await fx.step("i", closed=names[::2])
    for n, name in enumerate(names):
        renewal = fx.renew_session(f"worker {n}", session_id=name)
        if n % 2 == 0:
            await expect.refused(renewal)
            continue
        try:
            await renewal
        except ProviderError as error:
            raise Broken(
                f"PV-2.15: session {escaped(name)} is open, but its renewal fails: {error}"
            ) from error


async def joined_keys(fx: Fixture) -> None:
    """Keys and sessions whose parts, joined, read the same as those of another instance."""
    inner = {f"b{separator}c": f"of a, {n}" for n, separator in enumerate(SEPARATORS)}
    outer = {f"a{separator}b": f"of its own, {n}" for n, separator in enumerate(SEPARATORS)}
    await fx.begin("a", *(kv_set(2 + n, key, value) for n, (key, value) in enumerate(inner.items())))
    for instance, value in outer.items():
        await fx.begin(instance, kv_set(2, "c", value))
    apart(await fx.provider.get_kv_all_values("a"), inner, "of instance a, the key")
    found = {instance: await fx.provider.get_kv_all_values(instance) for instance in outer}
    apart(found, {instance: {"c": value} for instance, value in outer.items()}, "the keys of instance")


async def joined_sessions(fx: Fixture) -> None:
    """The same for sessions: each is claimed by a worker of its own."""
    pairs = [("a", f"b{each}c") for each in SEPARATORS] + [(f"a{each}b", "c") for each in SEPARATORS]
    for instance, session_id in pairs:
        await fx.put(activity(2, instance, session=session_id))
    found = {}
    for worker, pair in enumerate(pairs):
        item = (await fx.claim(f"worker {worker}")).item
        found[" + ".join(pair)] = (item.instance, item.session_id)
    apart(found, {" + ".join(pair): pair for pair in pairs}, "session")


async def workers(fx: Fixture) -> None:
    """A worker of every twin claims a session, and then gets the next row of that session and no other."""
    names = [name for name in FEW if len(name) <= 256]
    for n in range(len(names)):
        await fx.put(activity(2, f"i{n}", session="s"))
    owned = {name: (await fx.claim(name)).item.instance for name in names}
    apart(owned, {name: f"i{n}" for n, name in enumerate(names)}, "claimed by worker")
    for n in reversed(range(len(names))):
        await fx.put(activity(3, f"i{n}", session="s"))
    found = {}
    for name in names:
        work = await fx.try_claim(name, claim_new=False)
        found[name] = work and work.item.instance
    apart(found, owned, "the second row of worker")


async def tags(fx: Fixture) -> None:
    """A row of every twin as tag, from both queues; a filter of one tag hands out that row."""
    names = [name for name in FEW if len(name.encode()) <= 256]
    await fx.put(*(activity(2 + n, tag=name) for n, name in enumerate(names)))
    await fx.begin("j", work=[activity(2 + n, "j", tag=name) for n, name in enumerate(names)])
    await fx.no_work()
    found: dict[str, object] = {}
    for name in reversed(names):
        fetched = [await fx.try_work(TagFilter.only(name)) for _ in range(3)]
        found[name] = [work and work.item for work in fetched]
    expected = {
        name: [activity(2 + n, tag=name), activity(2 + n, "j", tag=name), None]
        for n, name in enumerate(names)
    }
    apart(found, expected, "rows of the tag")

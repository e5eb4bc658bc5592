"""Key-value entries: setting, clearing, reading, isolation between instances (PV-17)."""

from __future__ import annotations

from holdfast.providers.conformance import expect, side_by_side, texts
from holdfast.providers.conformance.carrying import same
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.messages import external, kv_clear, kv_set
from holdfast.providers.conformance.messages import kv_clear_all as clear_all
from holdfast.providers.conformance.registry import check


async def _value(fx: Fixture, key: str, expected: str | None, instance: str = "i") -> None:
    """Both reads agree on the value of a key."""
    expect.equal(await fx.provider.get_kv_value(instance, key), expected, f"the value of {key!r}")
    everything = await fx.provider.get_kv_all_values(instance)
    expect.equal(everything.get(key), expected, f"the value of {key!r} among all")


async def _values(fx: Fixture, expected: dict[str, str], instance: str = "i") -> None:
    """All keys of the instance, as clients see them."""
    expect.equal(await fx.provider.get_kv_all_values(instance), expected, f"all keys of {instance}")


@check("PVC-146")
async def kv_set_and_get(fx: Fixture) -> None:
    """A set value can be read."""
    await fx.begin("i", kv_set(2, "k", "v"))
    await _value(fx, "k", "v")


@check("PVC-147")
async def kv_overwrite(fx: Fixture) -> None:
    """A later set replaces the value, within a turn and across turns."""
    await fx.begin("i", kv_set(2, "k", "one"), kv_set(3, "k", "two"))
    await _value(fx, "k", "two")
    await fx.step("i", kv_set(4, "k", "three"))
    await _value(fx, "k", "three")


@check("PVC-148")
async def kv_clear_single(fx: Fixture) -> None:
    """A cleared key reads as absent."""
    await fx.begin("i", kv_set(2, "k", "v"), kv_set(3, "other", "w"))
    await fx.step("i", kv_clear(4, "k"))
    await _values(fx, {"other": "w"})
    await _value(fx, "k", None)


@check("PVC-149")
async def kv_clear_all(fx: Fixture) -> None:
    """Clear-all makes every key of the instance absent."""
    await fx.begin("i", kv_set(2, "a", "1"), kv_set(3, "b", "2"))
    await fx.step("i", clear_all(4))
    await _values(fx, {})


@check("PVC-150")
async def kv_get_nonexistent(fx: Fixture) -> None:
    """A key never set reads as absent."""
    await fx.begin("i", kv_set(2, "k", "v"))
    await _value(fx, "K", None)


@check("PVC-159")
async def kv_instance_isolation(fx: Fixture) -> None:
    """One key name in two instances holds two values."""
    await fx.begin("i", kv_set(2, "k", "of i"))
    await fx.begin("j", kv_set(2, "k", "of j"))
    await _value(fx, "k", "of i")
    await _value(fx, "k", "of j", "j")
    await side_by_side.joined_keys(fx)


@check("PVC-160")
async def kv_delete_instance_cascades(fx: Fixture) -> None:
    """Deleting the instance removes its keys."""
    await fx.begin("i", kv_set(2, "k", "v"), status="Completed")
    await fx.management.delete_instance("i", force=False)
    await _values(fx, {})
    await fx.send(external("other"))
    await fx.begin()
    await _value(fx, "k", None)


@check("PVC-161")
async def kv_clear_nonexistent_key(fx: Fixture) -> None:
    """Clearing a key never set is no error."""
    await fx.begin("i", kv_clear(2, "never"))
    await _values(fx, {})
    await fx.step("i", clear_all(3), status="Completed")
    await _values(fx, {})


@check("PVC-162")
async def kv_get_unknown_instance(fx: Fixture) -> None:
    """Reading from an unknown instance gives nothing."""
    expect.nothing(await fx.provider.get_kv_value("nobody", "k"), "the value")
    expect.equal(await fx.provider.get_kv_all_values("nobody"), {}, "all values")


@check("PVC-163")
async def kv_set_after_clear(fx: Fixture) -> None:
    """Clear-all followed by a set in one delta leaves only the new key."""
    await fx.begin("i", kv_set(2, "old", "1"))
    await fx.step("i", clear_all(3), kv_set(4, "new", "2"))
    await _values(fx, {"new": "2"})


@check("PVC-164")
async def kv_empty_value(fx: Fixture) -> None:
    """The empty string is kept as a value."""
    await fx.begin("i", kv_set(2, "k", ""))
    await _value(fx, "k", "")


@check("PVC-165")
async def kv_large_value(fx: Fixture) -> None:
    """Values of many lengths and ends, up to 64 KiB, come back whole, settled or not."""
    sizes = texts.outside_json(texts.payloads(), bytes_max=65_536)
    values = {f"k{n}": (name, text) for n, (name, text) in enumerate(sizes.items())}
    await fx.begin("i", *(kv_set(2 + n, f"k{n}", text) for n, text in enumerate(sizes.values())))
    everything = await fx.provider.get_kv_all_values("i")
    for key, (name, text) in values.items():
        same(everything.get(key), text, f"among all values, {name}")
        same(await fx.provider.get_kv_value("i", key), text, f"a value, {name}")
    await fx.step("i", status="ContinuedAsNew")
    await fx.send(external())
    snapshot = (await fx.turn("i")).item.kv_snapshot
    settled = await fx.provider.get_kv_all_values("i")
    for key, (name, text) in values.items():
        same(snapshot[key].value, text, f"a value in the snapshot, {name}")
        same(settled.get(key), text, f"a settled value, {name}")


@check("PVC-166")
async def kv_special_chars_in_key(fx: Fixture) -> None:
    """Keys that a collation may take for one stand side by side, up to 1,024 characters; the empty too."""
    await side_by_side.keys(fx)


@check("PVC-171")
async def kv_clear_isolation(fx: Fixture) -> None:
    """Clear-all in one instance leaves another's keys, settled and running."""
    await fx.begin("j", kv_set(2, "settled", "1"), status="ContinuedAsNew")
    await fx.step("j", kv_set(1, "running", "2"), execution_id=2)
    await fx.begin("i", kv_set(2, "settled", "3"), clear_all(3), status="Completed")
    await _values(fx, {"settled": "1", "running": "2"}, "j")
    await _values(fx, {})


@check("PVC-170")
async def kv_delete_instance_with_children(fx: Fixture) -> None:
    """Deleting a root removes the keys of its child as well."""
    await fx.begin("i", kv_set(2, "k", "v"), status="Completed")
    await fx.begin("child", kv_set(2, "k", "w"), parent="i", status="Completed")
    await fx.management.delete_instance("i", force=False)
    await _values(fx, {})
    await _values(fx, {}, "child")


@check("PVC-179")
async def kv_delta_delete_instance_cascades(fx: Fixture) -> None:
    """Deletion removes values of the running execution too."""
    await fx.begin("i", kv_set(2, "settled", "1"), status="ContinuedAsNew")
    await fx.step("i", kv_set(1, "running", "2"), execution_id=2)
    await fx.management.delete_instance("i", force=True)
    await _values(fx, {})
    await fx.begin()
    await _values(fx, {})

"""Which rows a worker gets by tag; tags compare exactly and stay with the row (PV-12)."""

from __future__ import annotations

from functools import partial

from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.provider import TagFilter
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.providers.conformance import expect, side_by_side, texts
from holdfast.providers.conformance.carrying import carried, work_enqueued, work_of_a_turn
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.messages import activity
from holdfast.providers.conformance.racing import succeeded, together
from holdfast.providers.conformance.registry import check


async def _mixed(fx: Fixture) -> None:
    """Rows 2 to 6: gpu, untagged, cpu, gpu, untagged."""
    for id, tag in enumerate(("gpu", None, "cpu", "gpu", None), start=2):
        await fx.put(activity(id, tag=tag))


@check("PVC-136")
async def default_only_fetches_untagged(fx: Fixture) -> None:
    """The default filter hands out untagged rows in order and passes over tagged ones."""
    await _mixed(fx)
    expect.equal(await fx.all_work(), [3, 6], "rows")
    expect.equal((await fx.work(TagFilter.any())).attempt_count, 1, "attempts of a row passed over")


@check("PVC-137")
async def tags_fetches_only_matching(fx: Fixture) -> None:
    """A tag filter hands out matching rows only."""
    await _mixed(fx)
    expect.equal(await fx.all_work(TagFilter.only("gpu")), [2, 5], "rows")
    await fx.no_work(TagFilter.only("tpu"))


@check("PVC-138")
async def default_and_fetches_untagged_and_matching(fx: Fixture) -> None:
    """The combined filter hands out untagged and matching rows in order."""
    await _mixed(fx)
    expect.equal(await fx.all_work(TagFilter.default_and("gpu")), [2, 3, 5, 6], "rows")


@check("PVC-139")
async def none_filter_returns_nothing(fx: Fixture) -> None:
    """The none filter never hands out anything."""
    await _mixed(fx)
    await fx.no_work(TagFilter.none())
    expect.equal(len(await fx.all_work(TagFilter.any())), 5, "rows left")


@check("PVC-140")
async def multi_tag_filter(fx: Fixture) -> None:
    """A filter with two tags hands out rows of both."""
    await _mixed(fx)
    expect.equal(await fx.all_work(TagFilter.only("cpu", "gpu")), [2, 4, 5], "rows")


@check("PVC-141")
async def tag_round_trip_preservation(fx: Fixture) -> None:
    """The tag comes back with the item."""
    long = "é" * 128
    await carried(fx, "t1", work_of_a_turn, _tagged("t1"))
    await carried(fx, "t2", work_enqueued, _tagged("t2"))
    await fx.put(activity(2, tag="gpu"), activity(3, tag=long), activity(4))
    tags = [(await fx.work(TagFilter.any())).item.tag for _ in range(3)]
    expect.equal(tags, ["gpu", long, None], "tags")


def _tagged(instance: str) -> dict[str, ActivityExecute]:
    """An item for every text that is short enough for a tag."""
    short = texts.outside_json(texts.each() | texts.mixed(), bytes_max=256)
    return {name: activity(2 + n, instance, tag=text) for n, (name, text) in enumerate(short.items())}


@check("PVC-142")
async def any_filter_fetches_everything(fx: Fixture) -> None:
    """The any filter hands out every row."""
    await _mixed(fx)
    expect.equal(await fx.all_work(TagFilter.any()), [2, 3, 4, 5, 6], "rows")


@check("PVC-143")
async def tag_survives_abandon_and_refetch(fx: Fixture) -> None:
    """After abandon the tag still routes the row, under a new token and a higher count."""
    await fx.put(activity(2, tag="gpu"))
    first = await fx.work(TagFilter.only("gpu"))
    await fx.provider.abandon_work_item(first.token)
    await fx.no_work()
    second = await fx.work(TagFilter.only("gpu"))
    expect.different(second.token, first.token, "tokens")
    expect.equal((second.item.tag, second.attempt_count), ("gpu", 2), "tag and attempts")
    fx.clock.advance(fx.lock_timeout)
    await fx.no_work()
    await fx.work(TagFilter.only("gpu"))


@check("PVC-144")
async def multi_runtime_tag_isolation(fx: Fixture) -> None:
    """Disjoint, overlapping and all-embracing filters on one queue share it out without double delivery."""
    for id in range(60):
        await fx.put(activity(id, tag=(None, "gpu", "cpu")[id % 3]))
    filters = [
        TagFilter.default_only(),
        TagFilter.only("gpu"),
        TagFilter.default_and("cpu"),
        TagFilter.any(),
    ]
    providers = [fx.open() for _ in filters]
    taken: list[int] = []
    for _ in range(60):
        calls = [partial(fx.try_work, tags, by=by) for tags, by in zip(filters, providers, strict=True)]
        answers = succeeded(await together(*calls))
        expect.equal(len(answers), len(calls), "fetches that raised nothing")
        for tags, work in zip(filters, answers, strict=True):
            if work is not None:
                expect.true(tags.matches(work.item.tag), f"{work.item} matches {tags}")
                taken.append(work.item.id)
        if not any(answers):
            break
    expect.equal(sorted(taken), list(range(60)), "rows handed out")


@check("PVC-145")
async def tag_preserved_through_ack_orchestration_item(fx: Fixture) -> None:
    """Tags of activities enqueued by a turn's acknowledgement route them just as well."""
    await fx.begin(work=[activity(2, tag="gpu"), activity(3)])
    expect.equal((await fx.work()).item, activity(3), "the untagged row")
    await fx.no_work()
    expect.equal((await fx.work(TagFilter.only("gpu"))).item, activity(2, tag="gpu"), "the tagged row")


@check("PVC-369")
async def tag_filter_construction_and_exactness(fx: Fixture) -> None:
    """Filters with no or six tags are refused; tags differ by case and blanks; the empty tag is a tag."""
    for build in (TagFilter.only, TagFilter.default_and):
        for tags in ((), ("a", "b", "c", "d", "e", "f")):
            try:
                build(*tags)
            except ConfigurationError:
                continue
            expect.true(False, f"{build.__name__} refuses {len(tags)} tags")
    await side_by_side.tags(fx)
    await fx.put(
        *(activity(id, tag=tag) for id, tag in enumerate(("GPU", " gpu", "gpu ", "", None), start=2))
    )
    await fx.no_work(TagFilter.only("gpu"))
    expect.equal((await fx.work()).item.id, 6, "the untagged row")
    await fx.no_work()
    expect.equal((await fx.work(TagFilter.only(""))).item.id, 5, "the row of the empty tag")
    expect.equal((await fx.work(TagFilter.only(" gpu"))).item.id, 3, "the row of the tag with a blank")

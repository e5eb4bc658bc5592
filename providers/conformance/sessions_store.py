"""Explicit sessions: what a provider reports of its support, wrappers, and stores of implicit sessions."""

from __future__ import annotations

from typing import get_args

from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import Provider, TagFilter
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import LEASE, NOW, Fixture
from holdfast.providers.conformance.harness import ImplicitContent, ImplicitStore, Skipped
from holdfast.providers.conformance.messages import activity
from holdfast.providers.conformance.registry import session_check


@session_check("PVC-228")
async def supports_sessions_false_default(fx: Fixture) -> None:
    """A provider that does not override it reports no session support and its session methods raise."""
    other = fx.provider
    expect.equal(Provider.supports_sessions(other), False, "the default of supports_sessions()")
    fetch = Provider.fetch_session_work_item(
        other, fx.lock_timeout, NOW, worker_id="A", session_lock_duration=LEASE
    )
    await expect.refused(fetch, "does not support sessions")
    renewal = Provider.renew_session_lock(other, "i", "s", "A", extend_for=Millis(1))
    await expect.refused(renewal, "does not support sessions")
    await expect.refused(Provider.release_session_lock(other, "i", "s", "A"), "does not support sessions")


@session_check("PVC-241")
async def supports_sessions_reported(fx: Fixture) -> None:
    """The provider reports session support, and so does each other object on its store."""
    expect.equal(fx.provider.supports_sessions(), True, "supports_sessions()")
    expect.equal(fx.open().supports_sessions(), True, "supports_sessions() of a second object")


@session_check("PVC-283")
async def wrapper_delegates_session_methods(fx: Fixture) -> None:
    """Through the metrics wrapper every session method behaves as on the bare provider."""
    if fx.factory.wrap is None:
        raise Skipped("the factory has no metrics wrapper")
    bare, fx.provider = fx.provider, fx.factory.wrap(fx.provider)
    expect.equal(fx.provider.supports_sessions(), bare.supports_sessions(), "supports_sessions()")
    await fx.put(activity(2, session="s"), activity(3, session="s"))
    work = await fx.claim("A")
    await fx.no_claim("B", by=bare)
    await fx.renew_work(work, session_for=LEASE)
    await fx.renew_session("A")
    error = await expect.refused(fx.renew_session("B"))
    expect.equal(
        error, await expect.refused(bare.renew_session_lock("i", "s", "B", extend_for=LEASE)), "error"
    )
    await fx.release("A")
    await fx.claim("B", by=bare)


@session_check("PVC-405")
async def implicit_session_store_refused(fx: Fixture) -> None:
    """A store of implicit sessions is refused and left as it was if one is in use, otherwise adopted."""
    make = fx.factory.implicit_store
    if not fx.factory.durable or make is None:
        raise Skipped("the factory cannot make a store of the implicit feature")

    async def open_and_use(store: ImplicitStore) -> None:
        provider = store.open()
        await provider.enqueue_for_worker(activity(9, session="s"))
        fetch = provider.fetch_session_work_item(
            fx.lock_timeout, NOW, worker_id="A", session_lock_duration=LEASE, tag_filter=TagFilter.any()
        )
        expect.equal(expect.present(await fetch, "an item").item, activity(9, session="s"), "the item")
        await provider.close()

    for content in get_args(ImplicitContent):
        store = make(fx.clock, fx.ids, content)
        try:
            before = store.contents()
            if content == "nothing":
                await open_and_use(store)
                continue
            error = await expect.refused(open_and_use(store), "sessions")
            expect.true("'i'" in error.message, f"the error names instance 'i': {error.message}")
            expect.equal(store.contents(), before, f"the store that was refused for its {content}")
        finally:
            store.close()

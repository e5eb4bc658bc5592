"""Explicit sessions: whatever can happen to them, in a long reproducible walk, against a small model."""

from __future__ import annotations

from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import FetchedWork
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.audit import audit
from holdfast.providers.conformance.fixture import LEASE, Fixture
from holdfast.providers.conformance.messages import activity, completed
from holdfast.providers.conformance.racing import CheckDice
from holdfast.providers.conformance.registry import session_check

WORKERS = ("A", "B", "C", "D")
SESSIONS = ("s", "t", "u")
STEPS = 400


class _Walk:
    """The walk and its model: who is attached to which session until when, and who holds which row."""

    def __init__(self, fx: Fixture, dice: CheckDice) -> None:
        self.fx = fx
        self.dice = dice
        self.open: dict[str, bool] = dict.fromkeys(SESSIONS, False)
        self.owner: dict[str, tuple[str, int] | None] = dict.fromkeys(SESSIONS, None)
        self.held: list[tuple[str, FetchedWork, int]] = []
        self.next_id = 2

    def pick(self, names: tuple[str, ...]) -> str:
        return names[self.dice.below(len(names))]

    def attached(self, name: str) -> str | None:
        owner = self.owner[name]
        return owner[0] if owner is not None and owner[1] > self.fx.clock() else None

    async def open_or_close(self) -> None:
        name = self.pick(SESSIONS)
        if self.open[name]:
            reopen = self.dice.below(2) == 1
            await self.fx.step(closed=[name], opened=[name] if reopen else [])
            self.open[name], self.owner[name] = reopen, None
            self.held = [entry for entry in self.held if entry[1].item.session_id != name]
        else:
            await self.fx.step(opened=[name])
            self.open[name] = True

    async def schedule(self) -> None:
        name = self.pick(SESSIONS)
        if self.open[name]:
            await self.fx.step(work=[activity(self.next_id, session=name)])
            self.next_id += 1

    async def claim(self) -> None:
        worker = self.pick(WORKERS)
        work = await self.fx.try_claim(worker)
        if work is None:
            return
        name = expect.present(work.item.session_id, "the session of a row of this walk")
        expect.true(self.open[name], f"{work.item} is handed out while {name} is open")
        expect.true(
            self.attached(name) in (None, worker), f"{name} was free or owned by {worker}: {self.owner[name]}"
        )
        twice = [entry for entry in self.held if entry[1].item.id == work.item.id]
        expect.true(all(until <= self.fx.clock() for _, _, until in twice), f"{work.item} is held once")
        self.held = [entry for entry in self.held if entry not in twice]
        self.held.append((worker, work, self.fx.clock() + self.fx.lock_timeout))
        self.extend(name, worker)

    async def finish_or_renew(self) -> None:
        if not self.held:
            return
        worker, work, until = self.held.pop(self.dice.below(len(self.held)))
        name = str(work.item.session_id)
        live = until > self.fx.clock()
        mine = self.owner[name] is not None and (self.owner[name] or ("", 0))[0] == worker
        if self.dice.below(2):
            call = self.fx.provider.ack_work_item(work.token, completed(id=work.item.id))
            await (call if live else expect.refused(call))
            return
        renewal = self.fx.renew_work(work, session_for=LEASE)
        await (renewal if live and mine else expect.refused(renewal))
        if live and mine:
            self.held.append((worker, work, self.fx.clock() + self.fx.lock_timeout))
            self.extend(name, worker)

    async def renew_or_release(self) -> None:
        name, worker = self.pick(SESSIONS), self.pick(WORKERS)
        owner = self.owner[name]
        if self.dice.below(2):
            await self.fx.release(worker, session_id=name)
            if owner is not None and owner[0] == worker:
                self.owner[name] = None
            return
        renewal = self.fx.renew_session(worker, session_id=name)
        if owner is not None and owner[0] == worker:
            await renewal
            self.extend(name, worker)
        else:
            await expect.refused(renewal)

    async def wait_or_crash(self) -> None:
        """Time passes: a little, or past every lock, as if all workers had died."""
        self.fx.clock.advance(Millis(2_000) if self.dice.below(4) else LEASE)

    def extend(self, name: str, worker: str) -> None:
        owner = self.owner[name]
        until = self.fx.clock() + LEASE
        self.owner[name] = (worker, max(until, owner[1]) if owner and owner[0] == worker else until)


@session_check("PVC-357")
async def stress_session_churn(fx: Fixture) -> None:
    """Open, claim, renew, close, reopen, crash and take-over in a repeatable walk break no invariant."""
    await fx.begin()
    dice = CheckDice(357)
    walk = _Walk(fx, dice)
    moves = (
        walk.open_or_close,
        walk.schedule,
        walk.schedule,
        walk.claim,
        walk.claim,
        walk.finish_or_renew,
        walk.renew_or_release,
        walk.wait_or_crash,
    )
    for number in range(STEPS):
        await moves[dice.below(len(moves))]()
        while (turn := await fx.try_turn()) is not None:
            await fx.ack(turn)
        if number % 50 == 0:
            await audit(fx)

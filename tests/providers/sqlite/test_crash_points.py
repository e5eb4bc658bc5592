"""What each durability level promises, shown at every write and sync of a run (docs/durability.md).

A run through the provider is recorded, with the state of the store after each acknowledged call. Then the run
is cut off after each change that SQLite made to its files, by a kill or by a power cut; what would be left is
opened by the provider, and must be whole and hold a state that the level allows. With HOLDFAST_FULL=1 every
change is a crash point, otherwise a sample of them.
"""

import hashlib
import os
import random
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.providers.sqlite.disk import Change, disk_in_place
from tests.providers.sqlite.power_cuts import Image, PowerCuts
from tests.providers.sqlite.test_calls import InlineLoop, every_call, one_step
from tests.providers.sqlite.test_files import fill_reference

from holdfast.core.contract.ids import Millis
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.conformance.messages import activity, external
from holdfast.providers.sqlite import SqliteProvider, durability, sqlite_store
from holdfast.providers.sqlite.durability import Synchronous, Syncs
from holdfast.providers.sqlite.opening import TABLES

EVERY_POINT = os.environ.get("HOLDFAST_FULL") == "1"
SAMPLE = 24
"""How many crash points are tried unless all are."""

LOCK = Millis(5_000)
NOW = Millis(0)

Calls = Callable[[SqliteProvider, Callable[[Any], Any]], Coroutine[Any, Any, None]]
"""Makes calls to a provider, each through a function that takes note of its end."""

NAME = "store.db"

WITHOUT_LOG = "unix-dotfile"
"""A VFS whose files have no shared memory, so that a store on it has a rollback journal."""


class BrokenPromise(AssertionError):
    """What was left after a crash is not what the level promises."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A call returned when SQLite had made so many changes, and the store had this state then."""

    changes: int
    state: str


@dataclass(frozen=True, slots=True)
class Recording:
    """One run: the files before it, every change to them, and what was acknowledged when."""

    before: Image
    changes: list[Change]
    acknowledged: list[Acknowledged]


def state_of(connection: apsw.Connection) -> str:
    """All rows of all tables, as a digest."""
    rows = [connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall() for table in TABLES]
    rows.append(connection.execute("SELECT * FROM sqlite_sequence ORDER BY name").fetchall())
    return hashlib.sha256(repr(rows).encode()).hexdigest()


# --- recording ----------------------------------------------------------------------------------------------


def record(folder: Path, level: Synchronous, before: Callable[[Path], None], real: str = "") -> Recording:
    """Run every call of the contract and more on a store, with checkpoints on the way, and close it twice."""
    before(folder / NAME)
    image = {each.name: each.read_bytes() for each in folder.iterdir()}
    acknowledged: list[Acknowledged] = []
    loop, clock, ids = InlineLoop(), SteppedClock(), CountingIds()
    with disk_in_place(real=real) as disk:

        def use(calls: Calls) -> None:
            store = sqlite_store(clock, ids, path=folder / NAME, synchronous=level)

            def drive(call: Any) -> Any:
                answer = one_step(call)
                acknowledged.append(Acknowledged(len(disk.changes), state_of(store._own.connection)))
                return answer

            acknowledged.append(Acknowledged(len(disk.changes), state_of(store._own.connection)))
            provider = store.open()
            # As in a long run, but sooner: the log is copied into the file and begun anew several times.
            provider._calls._database.connection.wal_autocheckpoint(20)
            loop.run_until_complete(calls(provider, drive))
            loop.run_until_complete(provider.close())
            store.close()

        use(more_calls if image else every_call)
        use(more_calls)
    loop.close()
    return Recording(image, disk.changes, acknowledged)


async def more_calls(provider: SqliteProvider, drive: Callable[[Any], Any]) -> None:
    """Long payloads, which need pages of their own, and pages that become free again."""
    for number in range(6):
        drive(provider.enqueue_for_worker(activity(10 + number, input="x" * 3_000 * number)))
        drive(provider.enqueue_for_orchestrator(external("i")))
    while (work := drive(provider.fetch_work_item(LOCK, NOW))) is not None:
        drive(provider.ack_work_item(work.token))


def nothing(_: Path) -> None:
    """No file yet."""


# --- judging ------------------------------------------------------------------------------------------------


class Recovery:
    """What the provider makes of an image; equal images are opened once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[bytes, str] = {}

    def state(self, image: Image) -> str:
        """The state after recovery. Raises BrokenPromise if it cannot be opened or is damaged."""
        digest = hashlib.sha256(repr(sorted(image.items())).encode()).digest()
        if digest not in self._known:
            self._known[digest] = self._recovered(image)
        return self._known[digest]

    def _recovered(self, image: Image) -> str:
        for each in self._folder.iterdir():
            each.unlink()
        for name, content in image.items():
            (self._folder / name).write_bytes(content)
        try:
            store = sqlite_store(SteppedClock(), CountingIds(), path=self._folder / NAME)
        except Exception as error:
            raise BrokenPromise(f"it cannot be opened: {error}") from error
        try:
            connection = store._own.connection
            found = connection.pragma("integrity_check")
            if found != "ok":
                raise BrokenPromise(f"it is damaged: {found}")
            return state_of(connection)
        except apsw.CorruptError as error:
            raise BrokenPromise(f"it is damaged: {error}") from error
        finally:
            store.close()


def crash_points(recording: Recording, seed: int) -> set[int]:
    """After how many changes the run is cut off."""
    every = range(len(recording.changes) + 1)
    return set(every) if EVERY_POINT else set(random.Random(seed).sample(every, min(SAMPLE, len(every))))


def judge(recording: Recording, level: Synchronous, folder: Path, points: set[int], drawn: int = 3) -> int:
    """Cut the run off at each point, and return how many images were judged. Raises BrokenPromise."""
    recovery = Recovery(folder)
    cuts = PowerCuts(recording.before)
    judged = lasts = 0
    for done in range(len(recording.changes) + 1):
        if done:
            cuts.follow(recording.changes[done - 1])
            if recording.changes[done - 1].kind == "sync":
                lasts = done
        if done not in points:
            continue
        rng = random.Random(done)
        for kind, image in images(cuts, rng, drawn):
            # NORMAL may forget what was acknowledged since the last sync; what is there is a state that was.
            kept = lasts if level == "NORMAL" and kind == "power cut" else done
            allowed = allowed_states(recording, kept, done)
            try:
                found = recovery.state(image)
                if found not in allowed:
                    raise BrokenPromise(what_it_is(recording, found, len(allowed)))
            except BrokenPromise as broken:
                last = recording.changes[done - 1] if done else "nothing"
                raise BrokenPromise(
                    f"{level}, {kind} after change {done} ({last!r:.90}): {broken}"
                ) from broken
            judged += 1
    return judged


def images(cuts: PowerCuts, rng: random.Random, drawn: int) -> Iterator[tuple[str, Image]]:
    """What a kill leaves, and what a power cut may leave."""
    yield "kill", cuts.after_a_kill()
    for image in cuts.after_a_power_cut(rng, drawn):
        yield "power cut", image


def allowed_states(recording: Recording, kept: int, done: int) -> list[str]:
    """From the last state acknowledged by `kept` changes to the call that was under way after `done`."""
    states = recording.acknowledged
    first = max((n for n, each in enumerate(states) if each.changes <= kept), default=0)
    last = max((n for n, each in enumerate(states) if each.changes <= done), default=0)
    return [each.state for each in states[first : last + 2]]


def what_it_is(recording: Recording, found: str, allowed: int) -> str:
    """Where else in the run the state occurs."""
    earlier = [n for n, each in enumerate(recording.acknowledged) if each.state == found]
    return f"the state is none of {allowed} allowed ones but that after calls {earlier}"


# --- the promises -------------------------------------------------------------------------------------------


@pytest.fixture
def disk_folder() -> Iterator[Path]:
    """A folder to recover in; in memory where that can be had, for a thousand recoveries take a while."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.mark.parametrize("level", ["NORMAL", "FULL"])
@pytest.mark.parametrize("before", [nothing, fill_reference], ids=["new file", "file of the reference"])
@pytest.mark.parametrize("real", ["", WITHOUT_LOG], ids=["log", "rollback journal"])
def test_pv_30_8_whatever_a_crash_leaves_is_a_state_that_the_level_promises(
    level: Synchronous, before: Callable[[Path], None], real: str, folder: Path, disk_folder: Path
) -> None:
    """PV-28.5: a kill loses nothing at either level; a power cut loses nothing at FULL."""
    recording = record(folder, level, before, real)
    assert len(recording.acknowledged) > 40
    points = crash_points(recording, seed=len(recording.changes))
    assert judge(recording, level, disk_folder, points) >= 2 * len(points)


@pytest.mark.parametrize(
    ("level", "real", "too_little"),
    [
        ("FULL", "", "NORMAL"),
        ("NORMAL", "", "OFF"),
        ("FULL", WITHOUT_LOG, "FULL"),
        ("NORMAL", WITHOUT_LOG, "NORMAL"),
    ],
)
def test_with_fewer_syncs_than_a_level_needs_the_promise_is_broken(
    level: Synchronous,
    real: str,
    too_little: Syncs,
    folder: Path,
    disk_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The test above can fail: one step less, in either journal mode, and it does."""
    monkeypatch.setitem(durability.WITHOUT_LOG if real else durability.WITH_LOG, level, too_little)
    recording = record(folder, level, nothing, real)
    with pytest.raises((BrokenPromise, apsw.CorruptError)):  # a file that cannot be read breaks it as well
        judge(recording, level, disk_folder, set(range(len(recording.changes) + 1)), drawn=6)


def test_normal_does_forget_and_full_does_not(folder: Path, disk_folder: Path) -> None:
    """PV-30.8: the difference between the levels is seen, not only allowed."""
    recording = record(folder, "NORMAL", nothing)
    with pytest.raises(BrokenPromise, match="after calls"):
        judge(recording, "FULL", disk_folder, set(range(len(recording.changes) + 1)))

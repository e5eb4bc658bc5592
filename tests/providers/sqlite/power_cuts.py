"""What a disk holds after a power cut, as far as SQLite may rely on it.

A sync makes what was written to the file before it last, and the first sync of a journal or log after its
opening also what was done to the folder. Everything later may be there or not, each write apart from the
others and in parts: a write of several sectors may reach the disk in some of them.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from tests.providers.sqlite.disk import Change

SECTOR = 512

SHARES = (0.1, 0.5, 0.9)
"""How much of what was not synced reaches the disk."""

Image = dict[str, bytes]
"""The files of a folder."""


@dataclass(slots=True)
class Inode:
    """A file apart from its name: what lasts of it, and what was done to it since."""

    lasting: bytes = b""
    pending: list[Change] = field(default_factory=list)


class PowerCuts:
    """A folder, followed change by change, and the images that a power cut could leave of it."""

    def __init__(self, before: Image) -> None:
        """`before` is what the folder held at first, all of it lasting."""
        self._folder: dict[str, Inode | None] = {name: Inode(content) for name, content in before.items()}
        self._renamed: list[tuple[str, Inode | None]] = []  # creations and deletions that may not last
        self._now: dict[str, Inode | None] = dict(self._folder)

    def follow(self, change: Change) -> None:
        """The next change is made."""
        match change.kind:
            case "create":
                self._name(change.file, Inode())
            case "delete":
                self._name(change.file, None)
            case "write" | "truncate":
                inode = self._now[change.file]
                assert inode is not None, f"{change} is made to a file that is not there"
                inode.pending.append(change)
            case "sync":
                inode = self._now[change.file]
                assert inode is not None, f"{change} is made to a file that is not there"
                inode.lasting = applied(inode.lasting, inode.pending)
                inode.pending = []
        if change.lasting:
            self._folder.update(self._renamed)
            self._renamed = []

    def _name(self, file: str, inode: Inode | None) -> None:
        self._renamed.append((file, inode))
        self._now[file] = inode

    def after_a_kill(self) -> Image:
        """Everything that was done; a kill of the process loses nothing that was handed over."""
        return image(self._now, lambda pending: pending)

    def after_a_power_cut(self, rng: random.Random, number: int) -> Iterator[Image]:
        """Only what lasts; everything but one write; and images drawn from all that are possible."""
        yield image(self._folder, lambda _: [])
        waiting = [change for inode in self._now.values() if inode is not None for change in inode.pending]
        if waiting:
            left_out = rng.choice(waiting)
            yield image(self._now, lambda pending: [change for change in pending if change is not left_out])
        for _ in range(number):
            yield image(self._drawn_folder(rng), partial(drawn, rng, rng.choice(SHARES)))

    def _drawn_folder(self, rng: random.Random) -> dict[str, Inode | None]:
        """Some of the creations and deletions; those of one name in their order."""
        folder = dict(self._folder)
        lost: set[str] = set()
        for name, inode in self._renamed:
            if name in lost or rng.random() < 0.5:
                lost.add(name)
            else:
                folder[name] = inode
        return folder


def image(folder: dict[str, Inode | None], choose: Callable[[list[Change]], list[Change]]) -> Image:
    """What is in a folder if of each file's unsynced changes the chosen ones have reached the disk."""
    return {
        name: applied(inode.lasting, choose(inode.pending))
        for name, inode in folder.items()
        if inode is not None
    }


def applied(content: bytes, changes: list[Change]) -> bytes:
    """A file's content after some changes; a gap is filled with zeros."""
    after = bytearray(content)
    for change in changes:
        if change.kind == "truncate":
            del after[change.offset :]
            after.extend(bytes(change.offset - len(after)))
        else:
            after.extend(bytes(max(0, change.offset - len(after))))
            after[change.offset : change.offset + len(change.data)] = change.data
    return bytes(after)


def drawn(rng: random.Random, share: float, pending: list[Change]) -> list[Change]:
    """Some of the changes, and some of those in parts."""
    reached: list[Change] = []
    for change in pending:
        if rng.random() >= share:
            continue
        if change.kind == "write" and rng.random() < 0.3:
            reached.extend(part for part in sectors(change) if rng.random() < 0.5)
        else:
            reached.append(change)
    return reached


def sectors(change: Change) -> Iterator[Change]:
    """A write, cut where sectors of the disk end."""
    start, end = change.offset, change.offset + len(change.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        part = change.data[start - change.offset : stop - change.offset]
        yield Change("write", change.file, start, part)
        start = stop

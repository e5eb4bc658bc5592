"""Which code was checked: a name for the source of the rooms that a verdict depends on."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from holdfast.properties.spec import spec_fingerprint

_ROOMS = ("core", "providers", "sim", "properties", "traces")
_SOURCES = (".py", ".sql")


def evidence_fingerprint() -> str:
    """What evidence is valid for: this code, with this specification."""
    return f"{code_fingerprint()}-{spec_fingerprint()}"


@cache
def code_fingerprint() -> str:
    """A digest of the source files, by name and content; the same wherever they are installed."""
    made = hashlib.blake2b(digest_size=16)
    for room in _ROOMS:
        for name, content in _sources(files("holdfast").joinpath(room), room):
            made.update(name.encode())
            made.update(len(content).to_bytes(8, "big"))
            made.update(content)
    return made.hexdigest()


def _sources(folder: Traversable, path: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        name = f"{path}/{entry.name}"
        if entry.is_dir():
            found += _sources(entry, name)
        elif entry.name.endswith(_SOURCES):
            found.append((name, entry.read_bytes()))
    return found

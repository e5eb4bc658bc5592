"""The SQL of this provider: read once from the `.sql` files that ship beside the code.

A statement begins at a line `-- name: <name>` and is followed by a sentence about it. Texts stay constant,
because the connection caches prepared statements by their text.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_NAME_MARK = "-- name: "


def script(name: str) -> str:
    """The whole text of `<name>.sql`, for scripts that are run as one."""
    return files("holdfast.providers.sqlite").joinpath(f"{name}.sql").read_text(encoding="utf-8")


@cache
def statements(name: str) -> Mapping[str, str]:
    """The named statements of `queries/<name>.sql`, without comments and the closing semicolon."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in script(f"queries/{name}").splitlines():
        if line.startswith(_NAME_MARK):
            current = found.setdefault(line.removeprefix(_NAME_MARK).strip(), [])
            assert not current, f"queries/{name}.sql has two statements of one name: {line}"
        elif current is not None and not line.startswith("--") and line.strip():
            current.append(line)
    return MappingProxyType({key: "\n".join(lines).rstrip(";") for key, lines in found.items()})

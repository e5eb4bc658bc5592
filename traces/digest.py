"""Digest: one hexadecimal name for everything that must be equal when a tape is run again.

It covers, in commit order, process, operation, canonical arguments, result or error class, outcome and
virtual time, and then the final histories. Lock tokens are renamed by their first appearance; error texts,
provider, Python version and paths stay out. So it is the same on every provider, under every PYTHONHASHSEED.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec
import xxhash

from holdfast.core.contract.work_items import stored_name
from holdfast.traces.record import Commit


class Digest:
    """Takes commits one by one, then the histories; `hexdigest` at any time."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_128()
        self._tokens: dict[str, str] = {}

    def commit(self, commit: Commit) -> None:
        """Add a commit."""
        self._hash.update(self.line(commit).encode())
        self._hash.update(b"\n")

    def line(self, commit: Commit) -> str:
        """The canonical text of a commit, with tokens as renamed so far; what two runs are compared by."""
        if commit.error is not None:
            answer = (
                f"{type(commit.error).__name__}({'retryable' if commit.error.retryable else 'permanent'})"
            )
        else:
            answer = self._renamed(commit.result)
        arguments = ", ".join(
            f"{name}={self._token(value) if name == 'token' else canonical(value)}"
            for name, value in sorted(commit.arguments.items())
        )
        return (
            f"{commit.time_us} {commit.process}/{commit.boot} {commit.operation}({arguments})"
            f" {commit.outcome} {answer}"
        )

    def history(self, instance: str, execution_id: int, events: Sequence[object]) -> None:
        """Add the final history of one execution."""
        self._hash.update(f"{instance}/{execution_id}: {canonical(events)}\n".encode())

    def unreadable(self, instance: str, execution_id: int) -> None:
        """Add that the history of one execution cannot be decoded; how the store reports that does not
        matter."""
        self._hash.update(f"{instance}/{execution_id}: unreadable\n".encode())

    def hexdigest(self) -> str:
        """The digest of what was added so far: 32 hexadecimal digits."""
        return self._hash.hexdigest()

    def _renamed(self, result: Any) -> str:
        if "token" in getattr(result, "_fields", ()):
            return canonical(result._replace(token=self._token(result.token)))
        return canonical(result)

    def _token(self, token: object) -> str:
        return self._tokens.setdefault(str(token), f"token-{len(self._tokens) + 1}")


def digest(commits: Iterable[Commit]) -> str:
    """The digest of a sequence of commits, without histories."""
    made = Digest()
    for commit in commits:
        made.commit(commit)
    return made.hexdigest()


def canonical(value: object) -> str:
    """A text that is equal for equal values, whatever kind of sequence, mapping or set holds them."""
    if value is None or isinstance(value, str | int | float | bytes | bool):
        return repr(value)
    if isinstance(value, msgspec.Struct):
        return _members(value, value.__struct_fields__)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _members(value, value._fields)
    if is_dataclass(value) and not isinstance(value, type):
        return _members(value, tuple(field.name for field in fields(value)))
    if isinstance(value, Mapping):
        return "{" + ", ".join(sorted(f"{canonical(k)}: {canonical(v)}" for k, v in value.items())) + "}"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(canonical(member) for member in value)) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(canonical(member) for member in value) + "]"
    raise TypeError(f"no canonical form for {type(value).__name__}: {value!r}")


def _members(value: object, names: Sequence[str]) -> str:
    inside = ", ".join(f"{name}={canonical(getattr(value, name))}" for name in names)
    return f"{stored_name(type(value))}({inside})"

"""The specification as data: sections, rows of the matrix, clauses with invariants, provider checks.

The fields are those of the data files beside this module, which say in their headers what they mean.
"""

import hashlib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

MATRIX = "sessions-matrix.toml"
CHECKS = "provider-checks.toml"
CLAUSES = "clauses.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One of the 34 sections of the test matrix."""

    id: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """One row of the test matrix: a claim, how it is judged, and what it needs."""

    id: str
    section: int
    title: str
    claim: str
    clauses: tuple[str, ...]
    invariants: tuple[str, ...]
    level: Literal["unit", "provider", "runtime", "multi-runtime", "fault"]
    workers: int
    faults: tuple[str, ...]
    oracle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One clause (SS-, PV-, RT-) or invariant (INV-), under the heading it stands under."""

    id: str
    section: str
    sentence: str
    title: str = ""  # invariants only
    marks: tuple[str, ...] = ()  # strict, obs, py, >=X


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecCheck:
    """One conformance check of the provider contract."""

    id: str
    category: str
    name: str
    claim: str
    clauses: tuple[str, ...]
    profile: Literal["core", "explicit", "implicit"]
    origin: Literal["upstream", "matrix", "branch", "gap"]
    concurrent: bool
    hooks: tuple[str, ...] = ()
    needs: Literal["clock", "durable", "reopen"] | None = None
    polling: Literal["short", "long"] | None = None
    level: Literal["must", "should"] = "must"
    matrix: str | None = None
    explicit: Literal["same", "adapt", "none"] | None = None  # implicit checks only


def _read(name: str) -> bytes:
    return files("holdfast.properties.spec").joinpath(name).read_bytes()


@cache
def _tables(name: str) -> dict[str, object]:
    return tomllib.loads(_read(name).decode("utf-8"))


@cache
def sections() -> tuple[Section, ...]:
    return msgspec.convert(_tables(MATRIX)["section"], tuple[Section, ...])


@cache
def rows() -> tuple[MatrixRow, ...]:
    return msgspec.convert(_tables(MATRIX)["row"], tuple[MatrixRow, ...])


@cache
def clauses() -> tuple[Clause, ...]:
    """SS, INV, PV and RT, each in the order of its text."""
    return msgspec.convert(_tables(CLAUSES)["clause"], tuple[Clause, ...])


@cache
def checks() -> tuple[SpecCheck, ...]:
    return msgspec.convert(_tables(CHECKS)["check"], tuple[SpecCheck, ...])


@cache
def spec_fingerprint() -> str:
    """A name for this state of the specification, for reports and traces that must last."""
    digest = hashlib.blake2b(digest_size=16)
    for name in (MATRIX, CHECKS, CLAUSES):
        content = _read(name)
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()

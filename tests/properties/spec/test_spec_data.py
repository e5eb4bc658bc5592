"""The specification as data is whole, consistent with itself, and reproducible from its texts."""

import tomllib
from collections import Counter
from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import pytest

from holdfast.properties.spec import (
    Check,
    Clause,
    Row,
    Section,
    checks,
    clauses,
    extract_clauses,
    rows,
    sections,
    spec_fingerprint,
)

SAMPLE = {
    "sessions.md": """\
# Sessions

## 1. Purpose

- **SS-1.1** A *session* is **affinity** only; `a * b` and 2 * 3 stay.

### 9a. Crash

- **SS-9.1** The owner dies.

## 25. State machine

| id | transition | trigger | guard | effect |
|---|---|---|---|---|
| **SS-25.1** | Absent → Unclaimed | ack opens s | `a \\| b` | insert row |

- **INV-01 Single winner.** Two claims never both commit.
""",
    "provider.md": """\
## 4. Errors

**PV-4.1** Which case raises which class:

| method | outcome |
|---|---|
| `read` | permanent |
| `ack` | retryable |

Not a clause.
""",
    "runtime.md": """\
## 2. Events

### 2.1 Envelope

- `[obs]`: a convention, not a clause.
- **RT-2.1** `[>=0.1.30]` The "id" grows `[strict]`.
- **RT-2.2** First. `[obs]` Then this `[obs: timer]`: yes. `[py]`
""",
}


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    for name, text in SAMPLE.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_counts() -> None:
    assert (len(sections()), len(rows()), len(checks())) == (34, 292, 405)
    assert Counter(clause.id.split("-")[0] for clause in clauses()) == {
        "SS": 280,
        "INV": 49,
        "PV": 381,
        "RT": 498,
    }


def test_ids_are_unique() -> None:
    for table in (sections(), rows(), checks(), clauses()):
        repeated = [key for key, count in Counter(entry.id for entry in table).items() if count > 1]
        assert not repeated


def test_every_clause_and_invariant_that_is_named_exists() -> None:
    known = {clause.id for clause in clauses()}
    named = {
        name
        for entry in (*rows(), *checks())
        for name in (*entry.clauses, *(entry.invariants if isinstance(entry, Row) else ()))
    }
    assert named <= known, named - known


def test_every_session_clause_and_invariant_has_a_row() -> None:
    named = {name for row in rows() for name in (*row.clauses, *row.invariants)}
    required = {clause.id for clause in clauses() if clause.id.startswith(("SS-", "INV-"))}
    assert required <= named, required - named


def test_every_row_is_in_its_section() -> None:
    known = {section.id for section in sections()}
    assert {row.section for row in rows()} == known
    assert all(row.id.split(".")[0] == str(row.section) for row in rows())


def test_the_matrix_rows_that_checks_name_exist() -> None:
    known = {row.id for row in rows()}
    named = {check.matrix for check in checks() if check.matrix is not None}
    assert named <= known, named - known


def test_no_member_of_the_data_files_is_left_unread() -> None:
    for file, key, kind in (
        ("sessions-matrix.toml", "section", Section),
        ("sessions-matrix.toml", "row", Row),
        ("provider-checks.toml", "check", Check),
        ("clauses.toml", "clause", Clause),
    ):
        tables = tomllib.loads((files("holdfast.properties.spec") / file).read_text(encoding="utf-8"))
        members = {member for table in tables[key] for member in table}
        assert members <= {field.name for field in fields(kind)}


def test_invariants_have_titles_and_only_they() -> None:
    assert all(bool(clause.title) == clause.id.startswith("INV-") for clause in clauses())


def test_sentences_are_plain() -> None:
    for clause in clauses():
        assert clause.sentence, clause.id
        assert clause.section, clause.id
        assert "**" not in clause.sentence, clause.id
        assert clause.sentence == clause.sentence.strip(), clause.id


def test_fingerprint_is_a_name_that_lasts() -> None:
    assert spec_fingerprint() == spec_fingerprint()
    assert len(spec_fingerprint()) == 32


def test_extraction_of_a_sample(sample: Path) -> None:
    tables = tomllib.loads(extract_clauses.extract_directory(sample))["clause"]
    assert tables == [
        {
            "id": "SS-1.1",
            "section": "1. Purpose",
            "sentence": "A session is affinity only; `a * b` and 2 * 3 stay.",
        },
        {"id": "SS-9.1", "section": "9a. Crash", "sentence": "The owner dies."},
        {
            "id": "SS-25.1",
            "section": "25. State machine",
            "sentence": "Absent → Unclaimed; trigger: ack opens s; guard: `a | b`; effect: insert row.",
        },
        {
            "id": "INV-01",
            "section": "25. State machine",
            "title": "Single winner",
            "sentence": "Two claims never both commit.",
        },
        {
            "id": "PV-4.1",
            "section": "4. Errors",
            "sentence": "Which case raises which class: `read`, permanent; `ack`, retryable.",
        },
        {
            "id": "RT-2.1",
            "section": "2.1 Envelope",
            "sentence": 'The "id" grows.',
            "marks": [">=0.1.30", "strict"],
        },
        {
            "id": "RT-2.2",
            "section": "2.1 Envelope",
            "sentence": "First. `[obs]` Then this `[obs: timer]`: yes.",
            "marks": ["obs", "py"],
        },
    ]


def test_extraction_is_reproducible(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command writes the same bytes twice, and they are those of the function."""
    written = []
    for name in ("first.toml", "second.toml"):
        monkeypatch.setattr("sys.argv", ["extract_clauses", str(sample), "--output", str(tmp_path / name)])
        extract_clauses.main()
        written.append((tmp_path / name).read_text(encoding="utf-8"))
    assert written[0] == written[1] == extract_clauses.extract_directory(sample)


SHARED = Path(__file__).parents[4] / "shared" / "spec"
"""Where the texts lie beside a checkout that has them."""


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="the texts of the specification do not lie beside this checkout"
)
def test_the_data_is_what_the_texts_beside_this_checkout_say() -> None:
    """An amended text means: extract the clauses anew, copy the tables, and make docs/clauses.md again."""
    package = files("holdfast.properties.spec")
    assert (package / "clauses.toml").read_text("utf-8") == extract_clauses.extract_directory(SHARED)
    for table in ("sessions-matrix.toml", "provider-checks.toml"):
        assert (package / table).read_text("utf-8") == (SHARED / table).read_text("utf-8"), table

"""The SQL files: each statement has a name and a sentence, is used, and is what the code asks for."""

import re
from pathlib import Path

import pytest

import holdfast.providers.sqlite
from holdfast.providers.sqlite.statements import script, statements

FOLDER = Path(holdfast.providers.sqlite.__file__).parent
FILES = sorted(path.stem for path in (FOLDER / "queries").glob("*.sql"))
CODE = "\n".join(path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.py")))


@pytest.mark.parametrize("file", FILES)
def test_each_statement_has_a_sentence(file: str) -> None:
    """The line after the name begins a comment that ends with a full stop."""
    for block in script(f"queries/{file}").split("-- name: ")[1:]:
        lines = block.splitlines()
        comment = [line for line in lines[1:] if line.startswith("--")]
        assert lines[1].startswith("-- "), f"{file}: {lines[0]} has no sentence"
        assert comment[-1].endswith((".", ").")), f"{file}: {lines[0]}: {comment[-1]}"


@pytest.mark.parametrize("file", FILES)
def test_each_statement_is_used(file: str) -> None:
    """A name that no module mentions is a leftover."""
    unused = [name for name in statements(file) if not re.search(rf'"{name}"', CODE)]
    assert unused == []


def test_the_schema_says_what_each_table_is_for() -> None:
    """In the comment it opens with."""
    schema = script("schema")
    opening = schema[: schema.index("CREATE TABLE")]
    for table in re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", schema):
        assert re.search(rf"^--   {table} +\w", opening, re.MULTILINE), table

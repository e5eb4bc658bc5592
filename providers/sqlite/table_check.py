"""Whether the tables of a file are those of this version: what is missing is named when it is opened.

What they should have is read from the schema itself, in a database in memory. Further columns and tables do
no harm: a later version, or an operator, may have added them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from types import MappingProxyType

import apsw

from holdfast.providers.sqlite.statements import script


def missing_tables(connection: apsw.Connection, *, but: Collection[str] = ()) -> list[str]:
    """The tables that a database of this version has and this one lacks, in order."""
    return [f"table {each}" for each in _expected() if each not in but and not columns_of(connection, each)]


def missing_columns(connection: apsw.Connection) -> list[str]:
    """The columns that tables of this version have and those of this database lack, in order."""
    return [
        f"column {table}.{column}"
        for table, columns in _expected().items()
        if (present := columns_of(connection, table))
        for column in columns
        if column not in present
    ]


@cache
def _expected() -> Mapping[str, tuple[str, ...]]:
    connection = apsw.Connection(":memory:")
    connection.execute(script("schema"))
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid").fetchall()
    names = [str(name) for (name,) in rows if not str(name).startswith("sqlite_")]
    tables = {name: tuple(columns_of(connection, name)) for name in names}
    connection.close()
    assert all(tables.values()), f"the schema has tables without columns: {tables}"
    return MappingProxyType(tables)


def columns_of(connection: apsw.Connection, table: str) -> dict[str, None]:
    """The columns of a table in their order; none if there is no such table."""
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
    return {str(name): None for (name,) in rows}

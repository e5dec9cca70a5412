"""What a database consists of: attached databases, tables, views, indexes and their definitions."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from .values import quoted


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a schema table."""

    database: str
    type: str
    name: str
    table: str
    #: The definition; None for what SQLite makes of itself.
    sql: str | None

    @property
    def full_name(self) -> str:
        """The name, behind that of its database where that is not the main one."""
        return self.name if self.database == "main" else f"{self.database}.{self.name}"


def databases(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Name and file of each database of a connection; the temporary one only if it is in use."""
    return [(name, file or "") for _, name, file in connection.execute("PRAGMA database_list")]


def entries(connection: sqlite3.Connection, pattern: str | None = None) -> list[Entry]:
    """The schemas of all databases, in the order of their making.

    ``pattern`` is for LIKE and compared to the name of an entry and to that of its table.
    """
    found: list[Entry] = []
    for database, _ in databases(connection):
        rows = connection.execute(
            f"SELECT type, name, tbl_name, sql FROM {quoted(database)}.sqlite_schema "
            "WHERE ?1 IS NULL OR name LIKE ?1 OR tbl_name LIKE ?1 ORDER BY rowid",
            (pattern,),
        )
        found += [Entry(database, *row) for row in rows]
    return found


def is_internal(name: str) -> bool:
    """Whether SQLite keeps the name for itself (fileformat2, section 2.6)."""
    return name[:7].lower() == "sqlite_"


def tables(connection: sqlite3.Connection, pattern: str | None = None) -> list[str]:
    """The names of tables and views that match, sorted."""
    return sorted(
        entry.full_name
        for entry in entries(connection)
        if entry.type in ("table", "view") and not is_internal(entry.name)
        if pattern is None or _like(connection, pattern, entry.name)
    )


def indexes(connection: sqlite3.Connection, table_pattern: str | None = None) -> list[str]:
    """The names of indexes of the tables that match, sorted."""
    return sorted(
        entry.full_name
        for entry in entries(connection)
        if entry.type == "index"
        if table_pattern is None or _like(connection, table_pattern, entry.table)
    )


def _like(connection: sqlite3.Connection, pattern: str, name: str) -> bool:
    return bool(connection.execute("SELECT ?1 LIKE ?2", (name, pattern)).fetchone()[0])


def columns(connection: sqlite3.Connection) -> list[str]:
    """The names of the columns of all tables and views of the main database, each once."""
    rows = connection.execute(
        "SELECT DISTINCT c.name FROM sqlite_schema AS s JOIN pragma_table_info(s.name) AS c "
        "WHERE s.type IN ('table', 'view')"
    )
    return [name for (name,) in rows]

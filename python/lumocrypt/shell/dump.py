"""A database as SQL text from which it can be made again."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator

from .savepoint import savepoint
from .values import literal, quoted

_SCHEMA = "SELECT name, type, sql FROM main.sqlite_schema WHERE sql IS NOT NULL"


def dump(connection: sqlite3.Connection, pattern: str | None = None) -> Generator[str, None, None]:
    """The statements, one at a time, each with its semicolon.

    ``pattern`` is for LIKE: only the tables that match it are dumped, with what belongs to them. All of it is
    of one moment, read under a savepoint. The standard library's ``iterdump`` is not used: it writes into
    generated columns, cannot write infinity, NUL characters or text that is not UTF-8, and takes no pattern
    before Python 3.13.
    """
    yield "PRAGMA foreign_keys=OFF;"
    yield "BEGIN TRANSACTION;"
    try:
        with savepoint(connection):
            yield from _tables(connection, pattern)
            yield from _rest(connection, pattern)
    except sqlite3.Error:
        yield "ROLLBACK; -- due to errors"
        raise
    yield "COMMIT;"


def _tables(connection: sqlite3.Connection, pattern: str | None) -> Iterator[str]:
    rows = connection.execute(
        f"{_SCHEMA} AND type = 'table' AND (?1 IS NULL OR name LIKE ?1) "
        "ORDER BY name = 'sqlite_sequence', rowid",
        (pattern,),
    )
    schema_is_writable = False
    for name, _, sql in rows.fetchall():
        match name:
            case "sqlite_sequence":
                # There already, with what the tables' own rows made of it.
                yield "DELETE FROM sqlite_sequence;"
            case "sqlite_stat1":
                yield "ANALYZE sqlite_schema;"
            case _ if name.startswith("sqlite_"):
                # The other statistics; ANALYZE makes them.
                continue
            case _ if sql[:20].upper() == "CREATE VIRTUAL TABLE":
                # Its tables are dumped, so that creating it would find them in its way.
                if not schema_is_writable:
                    schema_is_writable = True
                    yield "PRAGMA writable_schema=ON;"
                yield (
                    "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql) "
                    f"VALUES('table',{literal(name)},{literal(name)},0,{literal(sql)});"
                )
                continue
            case _ if sql[:14].upper() == "CREATE TABLE '":
                # A table that a virtual one has made.
                yield f"CREATE TABLE IF NOT EXISTS {sql[13:]};"
            case _:
                yield f"{sql};"
        yield from _rows(connection, name)
    if schema_is_writable:
        yield "PRAGMA writable_schema=OFF;"


def _rest(connection: sqlite3.Connection, pattern: str | None) -> Iterator[str]:
    # Behind the rows: triggers must not fire, and indexes are made faster at once.
    rows = connection.execute(
        f"{_SCHEMA} AND type IN ('index', 'trigger', 'view') AND (?1 IS NULL OR tbl_name LIKE ?1) "
        "ORDER BY rowid",
        (pattern,),
    )
    for _, _, sql in rows.fetchall():
        yield f"{sql};"


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    # table_info leaves out generated columns, as an INSERT without a list of columns does.
    names = [quoted(row[1]) for row in connection.execute(f"PRAGMA main.table_info({quoted(table)})")]
    into = f"INSERT INTO {quoted(table)} VALUES("
    for row in connection.execute(f"SELECT {','.join(names)} FROM main.{quoted(table)}"):
        yield into + ",".join(map(literal, row)) + ");"

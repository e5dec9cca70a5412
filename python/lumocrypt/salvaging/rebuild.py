"""The database that ``salvage`` writes: tables first, then rows, then everything that rests on them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import TypeVar

from ..errors import SQLITE_ERROR, quoting_files
from ..pages.btree import RawText, Value
from ..pages.rows import Row, SchemaRow
from .shape import Shape, quoted, shape_of

LOST_AND_FOUND = "lost_and_found"
# How many rows are tried at once. One that is refused makes its whole batch go in one by one.
_BATCH = 500
_COLLATION = "no such collation sequence: "
# SQLITE_ERROR, SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_AUTH.
_REFUSALS = (1, 18, 19, 20, 23)
# SQLite's limit is 2000 columns, and some are ours.
_MOST_COLUMNS = 1990

_Result = TypeVar("_Result")
_Parameters = list[Value]


class Rebuild:
    """A new database, open until :meth:`close`."""

    def __init__(self, connection: sqlite3.Connection, first: bytes | None, page_size: int) -> None:
        self._connection = connection
        self._collations: set[str] = set()
        self.warnings: list[str] = []
        #: The name of the table for rows whose table is not known, once there are any.
        self.lost_and_found: str | None = None
        self.found_rows = 0
        self._found_columns = 0
        self._wal = False
        self._run(f"PRAGMA page_size={page_size}")
        # Nobody but this process sees the file until it is complete; then it is synced.
        for pragma in (
            "journal_mode=MEMORY",
            "synchronous=OFF",
            "foreign_keys=OFF",
            "ignore_check_constraints=ON",
        ):
            self._run(f"PRAGMA {pragma}")
        if first is not None:
            self._take_settings(first)

    def _take_settings(self, first: bytes) -> None:
        """From SQLite's header (fileformat2, section 1.3)."""

        def number(at: int) -> int:
            return int.from_bytes(first[at : at + 4], "big", signed=True)

        self._wal = first[18] == 2
        self._run(f"PRAGMA auto_vacuum={(2 if number(64) else 1) if number(52) else 0}")
        encoding = {2: "UTF-16le", 3: "UTF-16be"}.get(number(56), "UTF-8")
        self._run(f"PRAGMA encoding='{encoding}'")
        self._run(f"PRAGMA user_version={number(60)}")
        self._run(f"PRAGMA application_id={number(68)}")

    def _run(self, sql: str, parameters: Iterable[Value] = ()) -> list[tuple[object, ...]]:
        with quoting_files():
            return self._with_collations(lambda: self._connection.execute(sql, tuple(parameters)).fetchall())

    def _with_collations(self, action: Callable[[], _Result]) -> _Result:
        """Runs an action. A collation that only the application has is replaced by a plain comparison."""
        while True:
            try:
                return action()
            except sqlite3.OperationalError as error:
                name = str(error).removeprefix(_COLLATION)
                if name == str(error) or name in self._collations:
                    raise
            self._collations.add(name)
            self._connection.create_collation(name, _compare)
            self.warnings.append(
                f"the collation {name!r} is the application's own; run REINDEX {name} there before using "
                "the result"
            )

    # Tables and rows

    def create(self, entry: SchemaRow) -> bool:
        """Creates what an entry of the schema says. False if SQLite refuses."""
        if entry.sql is None:
            return True
        # A schema holds no query to fill a table with, which could go on for ever.
        self._connection.set_authorizer(_no_query if entry.type == "table" else None)
        try:
            self._run(entry.sql)
        except (sqlite3.Error, ValueError) as error:
            if isinstance(error, sqlite3.Error) and not _is_refusal(error):
                raise
            self.warnings.append(f"{entry.type} {entry.name} could not be created: {error}")
            return False
        finally:
            self._connection.set_authorizer(None)
        return True

    def shape(self, table: str) -> Shape:
        """The shape of a table that was created."""
        return shape_of(self._connection, table)

    def insert(self, shape: Shape, rows: Iterable[Row]) -> tuple[int, list[Row]]:
        """Inserts whole rows. Returns how many, and those that the table refused."""
        done = 0
        refused: list[Row] = []
        batch: list[Row] = []
        insertions = _Insertions(shape)
        self._run("BEGIN")
        for row in rows:
            if not shape.accepts(row.values):
                refused.append(row)
                continue
            batch.append(row)
            if len(batch) == _BATCH:
                done += self._insert_batch(insertions, batch, refused)
                batch.clear()
        done += self._insert_batch(insertions, batch, refused)
        self._run("COMMIT")
        return done, refused

    def _insert_batch(self, insertions: _Insertions, batch: list[Row], refused: list[Row]) -> int:
        # Rows with the same columns go together; a change of the schema made others shorter.
        groups: dict[str, tuple[list[Row], list[_Parameters]]] = {}
        for row in batch:
            sql, parameters = insertions.of(row)
            rows, all_parameters = groups.setdefault(sql, ([], []))
            rows.append(row)
            all_parameters.append(parameters)
        done = 0
        for sql, (rows, parameters) in groups.items():
            if self._try_all(sql, parameters):
                done += len(rows)
                continue
            for row, one in zip(rows, parameters, strict=True):
                if self._try_all(sql, [one]):
                    done += 1
                else:
                    refused.append(row)
        return done

    def _try_all(self, sql: str, parameters: list[_Parameters]) -> bool:
        self._run("SAVEPOINT batch")
        try:
            self._with_collations(lambda: self._connection.executemany(sql, parameters))
        except sqlite3.Error as error:
            if not _is_refusal(error):
                raise
            self._run("ROLLBACK TO batch")
            # Not for a constraint, but such as a generated column whose function only the application has.
            if not isinstance(error, sqlite3.IntegrityError) and str(error) not in self.warnings:
                self.warnings.append(str(error))
            done = False
        else:
            done = True
        self._run("RELEASE batch")
        return done

    def keep(self, table: str | None, page: int, state: str, rows: Iterable[Row]) -> None:
        """Puts rows that belong to no table, or not wholly, into the table of lost and found ones."""
        self._run("BEGIN")
        for row in rows:
            values = row.values[:_MOST_COLUMNS]
            if not values:
                continue
            self._widen(len(values))
            assert self.lost_and_found is not None
            fixed: list[Value] = [table, page, state, row.rowid]
            marks = ", ".join(_mark(value) for value in fixed + values)
            columns = ", ".join(["source", "page", "state", "id", *(f"c{i}" for i in range(len(values)))])
            sql = f"INSERT INTO {quoted(self.lost_and_found)} ({columns}) VALUES ({marks})"
            self._run(sql, _bound(fixed + values))
            self.found_rows += 1
        self._run("COMMIT")

    def _widen(self, columns: int) -> None:
        if self.lost_and_found is None:
            name, count = LOST_AND_FOUND, 0
            while self._run("SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE", (name,)):
                count += 1
                name = f"{LOST_AND_FOUND}_{count}"
            self._run(f"CREATE TABLE {quoted(name)} (source TEXT, page INTEGER, state TEXT, id INTEGER)")
            self.lost_and_found = name
        while self._found_columns < columns:
            # Without a type: values are kept as they are.
            self._run(f"ALTER TABLE {quoted(self.lost_and_found)} ADD COLUMN c{self._found_columns}")
            self._found_columns += 1

    # What rests on the tables

    def replace_rows(self, table: str, rows: Iterable[Row]) -> bool:
        """Fills a table that SQLite itself keeps: sqlite_sequence or sqlite_stat1. False if there is none."""
        if table.startswith("sqlite_stat"):
            self._run("ANALYZE sqlite_schema")
        if not self._run("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)):
            return False
        if table == "sqlite_sequence":
            # Inserting has set the numbers of the tables; what the original says is exact.
            for row in rows:
                self._run(f"DELETE FROM {table} WHERE name = ?", row.values[:1])
                self._run(f"INSERT INTO {table} VALUES (?, ?)", row.values[:2])
            return True
        self._run(f"DELETE FROM {table}")
        self.insert(self.shape(table), rows)
        return True

    def create_virtual(self, entries: Iterable[SchemaRow]) -> None:
        """Puts virtual tables back as they were: their content is in other tables, which exist already."""
        rows = [(entry.type, entry.name, entry.table, 0, entry.sql) for entry in entries]
        if rows:
            self._run("PRAGMA writable_schema=ON")
            self._connection.executemany("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", rows)
            self._run("PRAGMA writable_schema=RESET")

    def check(self) -> list[str]:
        """What SQLite finds wrong with the result; nothing if it is sound."""
        try:
            found = [str(row[0]) for row in self._run("PRAGMA integrity_check")]
        except sqlite3.DatabaseError as error:
            return [str(error)]
        return [] if found == ["ok"] else found

    def dangling(self) -> int:
        """How many rows refer, by a foreign key, to rows that are not there."""
        try:
            return len(self._run("PRAGMA foreign_key_check"))
        except sqlite3.Error:
            return 0  # a foreign key to a table that is not there, for example

    def close(self) -> None:
        """Completes the file."""
        if self._wal:
            self._run("PRAGMA journal_mode=WAL")
        self._connection.close()


def _no_query(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_SELECT else sqlite3.SQLITE_OK


def _is_refusal(error: sqlite3.Error) -> bool:
    """Whether SQLite refused a statement for what it says, and not because a disk is full, for example."""
    # Without a code it is the sqlite3 module's own: for a NUL, a second statement, a text that is not UTF-8.
    return getattr(error, "sqlite_errorcode", SQLITE_ERROR) & 0xFF in _REFUSALS


class _Insertions:
    """The statements that insert the rows of one table, by their number of columns."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._known: dict[int, str] = {}

    def of(self, row: Row) -> tuple[str, _Parameters]:
        """The statement for a row, and its parameters."""
        shape, values = self._shape, row.values
        place = shape.rowid_column
        if place is not None:
            values[place] = row.rowid
        parameters = values
        if None in shape.columns:
            parameters = [
                value for value, name in zip(values, shape.columns, strict=False) if name is not None
            ]
        if shape.rowid_name is not None:
            parameters = [row.rowid, *parameters]
        if RawText in map(type, values):
            return self._statement(len(values), map(_mark, parameters)), _bound(parameters)
        sql = self._known.get(len(values))
        if sql is None:
            sql = self._known[len(values)] = self._statement(len(values), ["?"] * len(parameters))
        return sql, parameters

    def _statement(self, columns: int, marks: Iterable[str]) -> str:
        names = [quoted(name) for name in self._shape.columns[:columns] if name is not None]
        if self._shape.rowid_name is not None:
            names.insert(0, self._shape.rowid_name)
        return f"INSERT INTO {quoted(self._shape.table)} ({', '.join(names)}) VALUES ({', '.join(marks)})"


def _mark(value: Value) -> str:
    # A literal's bytes become text as they are, in the database's encoding; a parameter's count as UTF-8.
    return f"CAST(x'{value.hex()}' AS TEXT)" if isinstance(value, RawText) else "?"


def _bound(values: Iterable[Value]) -> _Parameters:
    """The values that are parameters."""
    return [value for value in values if not isinstance(value, RawText)]


def _compare(one: str, other: str) -> int:
    return (one > other) - (one < other)

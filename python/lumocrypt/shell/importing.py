"""Rows from a file of comma-separated values."""

from __future__ import annotations

import csv
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .savepoint import savepoint
from .values import quoted

if TYPE_CHECKING:
    from _csv import Reader


class ImportFailedError(Exception):
    """A line of the file cannot be imported; nothing of the file was."""


@dataclass(frozen=True, slots=True)
class Import:
    """What ``.import`` was asked to do."""

    file: str
    table: str
    #: Lines to leave out at the beginning.
    skip: int = 0

    def run(
        self, connection: sqlite3.Connection, warn: Callable[[str], None], check: Callable[[], None]
    ) -> int:
        """Imports all rows or none; returns how many there are.

        A table that does not exist is created, with TEXT columns named by the first row; the rows of one that
        does may have too few fields, which become NULL, or too many, which are ignored: ``warn`` is told.
        ``check`` is called between rows, and may raise.

        Raises OSError, ImportFailedError (with file and line) and sqlite3.Error.
        """
        # The limit is the whole process's; a field may be as long as memory allows.
        csv.field_size_limit(sys.maxsize)
        with open(self.file, encoding="utf-8-sig", newline="") as file:
            for _ in range(self.skip):
                file.readline()
            with savepoint(connection):
                return self._insert(connection, csv.reader(file, strict=True), warn, check)

    def _insert(
        self,
        connection: sqlite3.Connection,
        lines: Reader,
        warn: Callable[[str], None],
        check: Callable[[], None],
    ) -> int:
        rows = self._read(lines)
        width = self._columns(connection)
        if not width:
            names = next(rows, None)
            if names is None:
                raise ImportFailedError(
                    f"{self.file}: empty, so there are no names for the columns of a new table"
                )
            columns = ", ".join(f"{quoted(name)} TEXT" for name in names)
            connection.execute(f"CREATE TABLE {quoted(self.table)} ({columns})")
            width = len(names)
        sql = f"INSERT INTO {quoted(self.table)} VALUES ({','.join('?' * width)})"
        count = 0
        for row in rows:
            check()
            if len(row) != width:
                what = "filling the rest with NULL" if len(row) < width else "the rest is ignored"
                warn(f"{self._at(lines)}: expected {width} columns but found {len(row)}: {what}")
            padded = [*row[:width], *[None] * (width - len(row))]
            try:
                connection.execute(sql, padded)
            except (sqlite3.IntegrityError, sqlite3.DataError) as error:
                raise ImportFailedError(f"{self._at(lines)}: {error}; nothing was imported") from None
            count += 1
        return count

    def _read(self, lines: Reader) -> Iterator[list[str]]:
        while True:
            try:
                row = next(lines)
            except StopIteration:
                return
            except (csv.Error, UnicodeDecodeError) as error:
                raise ImportFailedError(f"{self._at(lines)}: {error}; nothing was imported") from None
            # An empty line is no row.
            if row:
                yield row

    def _columns(self, connection: sqlite3.Connection) -> int:
        return len(connection.execute(f"PRAGMA main.table_info({quoted(self.table)})").fetchall())

    def _at(self, lines: Reader) -> str:
        return f"{self.file}:{self.skip + lines.line_num}"

"""How the columns of a table are stored, so that records can be put back into it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

# In PRAGMA table_xinfo, column "hidden": generated columns.
_VIRTUAL, _STORED = 2, 3
_ROWID_NAMES = ("rowid", "_rowid_", "oid")


def quoted(name: str) -> str:
    """A name as it stands in SQL."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Shape:
    """A table's columns, in the order in which a record has them."""

    table: str
    #: None for a generated column, which is stored but cannot be inserted.
    columns: tuple[str | None, ...]
    #: The place of the column that is another name for the rowid; its value in the record is NULL.
    rowid_column: int | None
    #: A name that sets the rowid; None if there is a rowid column, or no rowid.
    rowid_name: str | None
    without_rowid: bool

    def accepts(self, values: Sequence[object]) -> bool:
        """Whether this may be a record of the table."""
        if not 0 < len(values) <= len(self.columns):
            return False
        place = self.rowid_column
        return place is None or (place < len(values) and values[place] is None)


def shape_of(connection: sqlite3.Connection, table: str) -> Shape:
    """Asks SQLite for the shape of a table."""
    info = connection.execute("SELECT name, pk, hidden FROM pragma_table_xinfo(?)", (table,)).fetchall()
    key_index = [
        str(row[0])
        for row in connection.execute("SELECT name FROM pragma_index_list(?) WHERE origin = 'pk'", (table,))
    ]
    stored: list[str | None] = [str(name) if hidden != _STORED else None for name, _, hidden in info]
    if key_index:
        order = [
            int(row[0])
            for row in connection.execute(
                "SELECT cid FROM pragma_index_xinfo(?) ORDER BY seqno", (key_index[0],)
            )
        ]
        # The index of a table with rowids ends in the rowid, which is column -1.
        if -1 not in order:
            return Shape(table, tuple(stored[column] for column in order), None, None, True)
    kept = [place for place, (_, _, hidden) in enumerate(info) if hidden != _VIRTUAL]
    keys = [place for place in kept if info[place][1]]
    taken = {str(name).lower() for name, _, _ in info}
    free = [name for name in _ROWID_NAMES if name not in taken]
    # One key column without an index of its own is the rowid.
    alias = kept.index(keys[0]) if len(keys) == 1 and not key_index else None
    name = None if alias is not None or not free else free[0]
    return Shape(table, tuple(stored[place] for place in kept), alias, name, False)

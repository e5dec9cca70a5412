"""The rows in the leaves of a b-tree, and the entries of ``sqlite_schema``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from .btree import Layout, Malformed, Node, Payload, ReadPage, Value, overflow_chain, payload, record

_TYPES = frozenset(("table", "index", "view", "trigger"))


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, or an entry of an index."""

    #: None in an index.
    rowid: int | None
    #: The columns as they are stored; if the row is not whole, those in front of what is missing.
    values: list[Value]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class SchemaRow:
    """A row of ``sqlite_schema``."""

    type: str
    name: str
    table: str
    #: 0 for what has no b-tree: views, triggers, virtual tables.
    root: int
    sql: str | None
    #: False if ``sql`` is lost.
    whole: bool = True

    @property
    def is_virtual(self) -> bool:
        """Whether this is a virtual table."""
        return self.type == "table" and self.root == 0


class OverflowPages:
    """Which pages the rows that were read overflow to. Each is there once for each time it was found."""

    def __init__(self) -> None:
        self.pages: list[int] = []
        #: Those that could not be read.
        self.lost: list[int] = []


def rows(page: Node, layout: Layout, read: ReadPage, overflow: OverflowPages) -> Iterator[Row]:
    """The rows on a page, in order. What makes no sense becomes a row without columns that is not whole.

    Cells lie side by side: those that fill the page more than once share their bytes, and make no sense.
    """
    room = layout.usable
    for cell in page.cells:
        try:
            found = payload(page, cell, layout)
            room -= 0 if found is None else found.local
            if room < 0:
                raise Malformed
        except Malformed:
            yield Row(None, [], whole=False)
            continue
        if found is not None:
            yield _row(page, found, layout, read, overflow)


def _row(page: Node, found: Payload, layout: Layout, read: ReadPage, overflow: OverflowPages) -> Row:
    data = page.data[found.start : found.start + found.local]
    try:
        if found.overflow:
            rest, lost = overflow_chain(
                found.overflow, found.length - found.local, layout, read, overflow.pages.append
            )
            data += rest
            if lost is not None:
                overflow.lost.append(lost)
                return Row(found.rowid, record(data, layout.encoding, partial=True), whole=False)
        return Row(found.rowid, record(data, layout.encoding))
    except Malformed:
        return Row(found.rowid, [], whole=False)


def follow_chains(page: Node, layout: Layout, read: ReadPage, overflow: OverflowPages) -> None:
    """Finds the overflow pages of a page's rows without reading the rows."""
    for cell in page.cells:
        with contextlib.suppress(Malformed):
            found = payload(page, cell, layout)
            if found is not None and found.overflow:
                left = found.length - found.local
                lost = overflow_chain(found.overflow, left, layout, read, overflow.pages.append)[1]
                if lost is not None:
                    overflow.lost.append(lost)


def schema_row(row: Row) -> SchemaRow | None:
    """A row of ``sqlite_schema``, None if it cannot be one. Of an incomplete one the definition is lost."""
    values = row.values if row.whole else [*row.values[:4], None]
    match values:
        case [str(kind), str(name), str(table), (int() | None) as root, (str() | None) as sql]:
            pass
        case _:
            return None
    root = root or 0
    if kind not in _TYPES or root < 0 or (sql is not None and not sql.upper().startswith("CREATE")):
        return None
    return SchemaRow(kind, name, table, root, sql, row.whole)

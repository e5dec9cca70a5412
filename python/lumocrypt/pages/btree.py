"""Pages, cells and records of SQLite's b-trees (https://sqlite.org/fileformat2.html, sections 1.6 and 2.1).

What is read here may be a page of another kind than it is taken for, and in a database without a key anybody
may have written it. So nothing in it is trusted: what makes no sense raises :class:`Malformed`, and no number
in it makes for more work than there are pages and bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

#: A column's value. Text that is not valid in the database's encoding is :class:`RawText`.
Value = int | float | str | bytes | None
#: The content of a page by its number, None if there is none.
ReadPage = Callable[[int], bytes | None]

INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF, TABLE_LEAF = 2, 5, 10, 13
KINDS = frozenset((INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF, TABLE_LEAF))
INTERIORS = frozenset((INDEX_INTERIOR, TABLE_INTERIOR))
TABLES = frozenset((TABLE_INTERIOR, TABLE_LEAF))

#: The length of SQLite's header, which precedes the b-tree on page 1.
HEADER = 100
ENCODINGS = {1: "utf-8", 2: "utf-16-le", 3: "utf-16-be"}

_DOUBLE = struct.Struct(">d").unpack_from
# Bytes of the integers with serial types 1 to 6, and of the other fixed types.
_WIDTHS = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)


class Malformed(Exception):
    """The bytes are not what they were taken for."""


class RawText(bytes):
    """Text whose bytes are not valid in the database's encoding."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a database's header says about its pages."""

    page_size: int
    page_count: int
    #: Bytes of a page that SQLite uses.
    usable: int
    encoding: str


@dataclass(frozen=True, slots=True)
class Node:
    """A page of a b-tree."""

    number: int
    kind: int
    data: bytes
    #: Offsets of its cells.
    cells: tuple[int, ...]
    #: The child behind the last cell, of an interior page.
    right: int

    @property
    def is_interior(self) -> bool:
        """Whether it has children."""
        return self.kind in INTERIORS


@dataclass(frozen=True, slots=True)
class Payload:
    """A row, or an index entry, as a cell holds it."""

    #: None in an index.
    rowid: int | None
    length: int
    #: Where the part on the page is, and how long.
    start: int
    local: int
    #: The first overflow page, 0 if there is none.
    overflow: int


def node(data: bytes, number: int, layout: Layout) -> Node:
    """Reads a page's header and cell pointers. Raises Malformed if it is no page of a b-tree."""
    at = HEADER if number == 1 else 0
    kind = data[at]
    if kind not in KINDS:
        raise Malformed
    count = int.from_bytes(data[at + 3 : at + 5], "big")
    interior = kind in INTERIORS
    start = at + (12 if interior else 8)
    end = start + 2 * count
    if end > layout.usable:
        raise Malformed
    cells = struct.unpack_from(f">{count}H", data, start)
    if cells and (min(cells) < end or max(cells) >= layout.usable):
        raise Malformed
    right = int.from_bytes(data[at + 8 : at + 12], "big") if interior else 0
    return Node(number, kind, data, cells, right)


def children(page: Node) -> list[tuple[int, int | None]]:
    """The children of an interior page, each with the largest rowid below it: None if there is no limit."""
    found: list[tuple[int, int | None]] = []
    for cell in page.cells:
        child = int.from_bytes(page.data[cell : cell + 4], "big")
        key = rowid(page.data, cell + 4)[0] if page.kind == TABLE_INTERIOR else None
        found.append((child, key))
    found.append((page.right, None))
    return found


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned variable-length integer and where it ends."""
    try:
        byte = data[at]
        if byte < 0x80:
            return byte, at + 1
        value = byte & 0x7F
        for place in range(at + 1, at + 8):
            byte = data[place]
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value, place + 1
        return value << 8 | data[at + 8], at + 9
    except IndexError:
        raise Malformed from None


def rowid(data: bytes, at: int) -> tuple[int, int]:
    """A signed variable-length integer and where it ends."""
    value, at = varint(data, at)
    return (value - (1 << 64) if value >> 63 else value), at


def payload(page: Node, cell: int, layout: Layout) -> Payload | None:
    """The payload of a cell; None for a cell of a table's interior page, which has none."""
    data, usable = page.data, layout.usable
    if page.kind == TABLE_INTERIOR:
        return None
    if page.kind == INDEX_INTERIOR:
        cell += 4
    length, at = varint(data, cell)
    number: int | None = None
    if page.kind == TABLE_LEAF:
        number, at = rowid(data, at)
        most = usable - 35
    else:
        most = (usable - 12) * 64 // 255 - 23
    local = length
    if length > most:
        least = (usable - 12) * 32 // 255 - 23
        fitting = least + (length - least) % (usable - 4)
        local = fitting if fitting <= most else least
    end = at + local
    if length == local:
        overflow = 0
    else:
        overflow = int.from_bytes(data[end : end + 4], "big")
        end += 4
    if end > usable:
        raise Malformed
    return Payload(number, length, at, local, overflow)


def overflow_chain(
    first: int, length: int, layout: Layout, read: ReadPage, seen: Callable[[int], object]
) -> tuple[bytes, int | None]:
    """Up to ``length`` bytes of a chain of overflow pages, and the first page that could not be read.

    ``seen`` is called with the number of every page of the chain, the unreadable one included. Raises
    Malformed for a chain that comes back to a page of its own, or is longer than the database.
    """
    room = layout.usable - 4
    if length > room * layout.page_count:
        raise Malformed
    parts: list[bytes] = []
    passed: set[int] = set()
    left, number = length, first
    while left > 0:
        if not 2 <= number <= layout.page_count or number in passed:
            raise Malformed
        passed.add(number)
        seen(number)
        data = read(number)
        if data is None:
            return b"".join(parts), number
        parts.append(data[4 : 4 + min(room, left)])
        left -= room
        number = int.from_bytes(data[:4], "big")
    return b"".join(parts), None


def record(data: bytes, encoding: str, *, partial: bool = False) -> list[Value]:
    """The columns of a record. Of a ``partial`` one, those that are complete."""
    end, at = varint(data, 0)
    if end > len(data):
        raise Malformed
    try:
        values, at, place = _columns(data, at, end, encoding)
    except IndexError:  # a serial type without meaning, or bytes that end too early
        raise Malformed from None
    if not partial and (at != end or place != len(data)):
        raise Malformed
    return values


def _columns(data: bytes, at: int, end: int, encoding: str) -> tuple[list[Value], int, int]:
    """The columns that are complete, and where their types and their values end."""
    size, place = len(data), end
    values: list[Value] = []
    append = values.append
    while at < end:
        kind = data[at]
        if kind < 0x80:
            at += 1
        else:
            kind, at = varint(data, at)
        stop = place + ((kind - 12) >> 1 if kind >= 12 else _WIDTHS[kind])
        if stop > size:
            return values, at, stop
        if kind >= 13 and kind & 1:
            try:
                append(data[place:stop].decode(encoding))
            except UnicodeDecodeError:
                append(RawText(data[place:stop]))
        elif kind >= 12:
            append(data[place:stop])
        elif kind == 0:
            append(None)
        elif kind <= 6:
            append(int.from_bytes(data[place:stop], "big", signed=True))
        else:
            append(_DOUBLE(data, place)[0] if kind == 7 else kind - 8)
        place = stop
    return values, at, place

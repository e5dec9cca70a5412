"""B-trees that no SQLite has made: what reads them does no more work than there are pages."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import lumocrypt
from lumocrypt.pages.btree import Layout, Malformed, Node, node, record
from lumocrypt.pages.image import Image
from lumocrypt.pages.pagemap import PageMap
from lumocrypt.pages.rows import OverflowPages, rows
from support.as_it_is import seal

PAGE = 512
#: Pages of the large databases here.
MANY = 20_000
#: Seconds of processor time; each would take minutes, or for ever, if a number in it were believed.
PATIENCE = 30.0


@pytest.fixture(autouse=True)
def _in_time() -> object:
    begun = time.process_time()
    yield
    assert time.process_time() - begun < PATIENCE


def varint(value: int) -> bytes:
    """SQLite's variable-length integer."""
    if value >> 56:
        parts = [value & 0xFF]
        value >>= 8
        for _ in range(8):
            parts.insert(0, value & 0x7F | 0x80)
            value >>= 7
        return bytes(parts)
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.insert(0, value & 0x7F | 0x80)
    return bytes(parts)


def page_of(kind: int, cells: tuple[bytes, ...], right: int | None, pointers: int | None = None) -> bytes:
    """A page of a b-tree with these cells at its end; ``pointers``: so many, and all to the last of them."""
    at, places, content = PAGE, [], b""
    for cell in cells:
        at -= len(cell)
        places.append(at)
        content = cell + content
    if pointers is not None:
        places = [at] * pointers
    head = bytes([kind]) + bytes(2) + len(places).to_bytes(2, "big") + at.to_bytes(2, "big") + bytes(1)
    head += b"" if right is None else right.to_bytes(4, "big")
    head += b"".join(place.to_bytes(2, "big") for place in places)
    assert len(head) <= at
    return head.ljust(at, b"\0") + content


def leaf(*cells: bytes, pointers: int | None = None) -> bytes:
    return page_of(13, cells, None, pointers)


def interior(*children: int, right: int) -> bytes:
    cells = tuple(child.to_bytes(4, "big") + varint(number) for number, child in enumerate(children))
    return page_of(5, cells, right)


def spilling(length: int, first: int, usable: int = PAGE) -> bytes:
    """A cell of a table whose payload goes on in a chain that begins at page ``first``."""
    least = (usable - 12) * 32 // 255 - 23
    local = least + (length - least) % (usable - 4)
    local = local if local <= usable - 35 else least
    return varint(length) + varint(1) + bytes([3, 0, 0]).ljust(local, b"\0") + first.to_bytes(4, "big")


def sealed(path: Path, pages: dict[int, bytes], count: int = 40) -> Path:
    """A checksummed database with a table ``t`` on page 2, whose other pages are those that are given."""
    plain = path.with_suffix(".plain")
    connection = sqlite3.connect(plain)
    connection.execute(f"PRAGMA page_size={PAGE}")
    connection.execute("CREATE TABLE t (a, b)")
    connection.commit()
    connection.close()
    content = bytearray(plain.read_bytes()[: 2 * PAGE].ljust(count * PAGE, b"\0"))
    content[28:32] = count.to_bytes(4, "big")
    for number, page in pages.items():
        content[(number - 1) * PAGE : number * PAGE] = page[:PAGE].ljust(PAGE, b"\0")
    plain.write_bytes(content)
    seal(plain, path)
    plain.unlink()
    return path


def salvaged(path: Path) -> lumocrypt.SalvageResult:
    return lumocrypt.salvage(path, path.with_name("saved.db"), key=None)


def chain_to(number: int) -> bytes:
    return number.to_bytes(4, "big").ljust(PAGE, b"c")


# Chains


@pytest.mark.parametrize(
    ("links", "first", "length"),
    [
        ({5: 5}, 5, 10_000),
        ({5: 6, 6: 7, 7: 5}, 5, 10_000),
        ({5: 5}, 5, 2**62),
        ({5: 0}, 5, 2**62),
        ({5: 9999}, 5, 10_000),
    ],
    ids=["itself", "a ring", "a ring without end", "a payload without end", "beyond the end"],
)
def test_a_chain_that_makes_no_sense_loses_its_row_and_nothing_else(
    tmp_path: Path, links: dict[int, int], first: int, length: int
) -> None:
    good = varint(5) + varint(7) + bytes([3, 1, 1, 42, 43])
    pages = {number: chain_to(to) for number, to in links.items()}
    path = sealed(tmp_path / "app.db", {2: leaf(good, spilling(length, first)), **pages})
    result = salvaged(path)
    (table,) = result.tables
    assert (table.rows, table.rows_lost, result.ok) == (1, 1, False)


def test_one_chain_for_every_cell_is_not_followed_for_every_cell(tmp_path: Path) -> None:
    """As many cells as fit, each over a chain of all pages: a product of two sizes."""
    leaves = range(3, 300)
    first = 300
    pages = {2: interior(*leaves[:60], right=leaves[-1])}
    pages |= {number: leaf(*[spilling((MANY - first - 1) * (PAGE - 4), first)] * 3) for number in leaves}
    pages |= {number: chain_to(number + 1) for number in range(first, MANY)}
    path = sealed(tmp_path / "app.db", pages, MANY)
    assert not salvaged(path).ok
    assert lumocrypt.verify(path).ok


def test_a_page_that_two_chains_lead_to_is_read_for_both(tmp_path: Path) -> None:
    """Damage does that; it is no reason to lose either row."""
    pages = {2: leaf(spilling(1055, 5), spilling(1055, 5)), 5: chain_to(6), 6: chain_to(0)}
    path = sealed(tmp_path / "app.db", pages)
    with Image(str(path), 0, {}) as image:
        owners = PageMap(image, frozenset())
        found = owners.rows(2)
        assert [len(row.values) for row in found] == [len(found[0].values)] * 2


# Cells


def test_cells_that_share_their_bytes_are_not_multiplied(tmp_path: Path) -> None:
    one = varint(393) + varint(1) + bytes([3]) + varint(12 + 2 * 390) + bytes(390)
    page = leaf(one, pointers=40)
    layout = Layout(PAGE, 10, PAGE, "utf-8")
    found = list(rows(node(page, 2, layout), layout, lambda _: None, OverflowPages()))
    assert len(found) == 40
    assert sum(bool(row.values) for row in found) == 1
    path = sealed(tmp_path / "app.db", {2: page})
    assert not salvaged(path).ok


@pytest.mark.parametrize("kind", [2, 5, 10, 13])
@pytest.mark.parametrize("count", [1, 250, 65535])
def test_counts_of_cells_beyond_the_page(kind: int, count: int) -> None:
    data = bytes([kind]) + bytes(2) + count.to_bytes(2, "big") + bytes(PAGE - 5)
    with pytest.raises(Malformed):
        node(data, 2, Layout(PAGE, 10, PAGE, "utf-8"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 9,
        b"\xff" * 200,
        b"\x02\xff",
        varint(2**63) + b"\0",
        b"\x0a" + b"\xff" * 9 + b"x",
        b"\x02\x0a",
    ],
)
def test_records_that_say_more_than_there_is(data: bytes) -> None:
    with pytest.raises(Malformed):
        record(data, "utf-8")
    with contextlib.suppress(Malformed):
        record(data, "utf-8", partial=True)


# Trees


def _itself(count: int) -> dict[int, bytes]:
    return {2: interior(2, 2, right=2)}


def _ring(count: int) -> dict[int, bytes]:
    return {2: interior(3, right=3), 3: interior(4, right=4), 4: interior(2, right=3)}


def _deep(count: int) -> dict[int, bytes]:
    """Each level one page: deeper than any recursion."""
    return {number: interior(right=number + 1) for number in range(2, count)}


def _shared(count: int) -> dict[int, bytes]:
    """Each level leads to the next twice: twice as many ways each time."""
    return {number: interior(number + 1, number + 1, right=number + 1) for number in range(2, count)}


@pytest.mark.parametrize("shape", [_itself, _ring, _deep, _shared])
def test_trees_that_are_none(tmp_path: Path, shape: Callable[[int], dict[int, bytes]]) -> None:
    count = 3000
    path = sealed(tmp_path / "app.db", shape(count), count)
    assert not salvaged(path).ok
    # Something has to be damaged for the owners to be asked for.
    content = bytearray(path.read_bytes())
    content[65536 + (count - 1) * (PAGE + 16) + 8] ^= 1
    path.write_bytes(content)
    assert lumocrypt.verify(path).damaged_total == 1


def test_the_pointer_map_is_no_maze(tmp_path: Path) -> None:
    """Every page of it leads to the next, the last to the first; then the owners of all are asked for."""
    count = MANY
    plain = tmp_path / "plain.db"
    connection = sqlite3.connect(plain)
    connection.execute(f"PRAGMA page_size={PAGE}")
    connection.execute("PRAGMA auto_vacuum=FULL")
    connection.execute("CREATE TABLE t (a, b)")
    connection.commit()
    connection.close()
    content = bytearray(plain.read_bytes().ljust(count * PAGE, b"\0"))
    content[28:32] = count.to_bytes(4, "big")
    mapped = PAGE // 5
    for where in range(2, count + 1, mapped + 1):
        entries = b"".join(
            bytes([5]) + (number % count + 1).to_bytes(4, "big")
            for number in range(where + 1, where + 1 + mapped)
        )
        content[(where - 1) * PAGE : where * PAGE] = entries.ljust(PAGE, b"\0")
    plain.write_bytes(content)
    path = tmp_path / "app.db"
    seal(plain, path)
    with Image(str(path), 0, {}) as image:
        owners = PageMap(image, frozenset())
        types = {owners.owner(number).type for number in range(5, count)}
    assert types <= {"unknown", "freelist", "table", "pointer map", "schema"}


def test_freelists_that_end_nowhere(tmp_path: Path) -> None:
    trunk = (5).to_bytes(4, "big") + b"\xff\xff\xff\xff" + bytes(PAGE - 8)
    path = sealed(tmp_path / "app.db", {5: trunk, 2: leaf()})
    with Image(str(path), 0, {}) as image:
        assert not PageMap(image, frozenset()).freelist_whole or image.page_count
    assert salvaged(path).tables[0].rows == 0


# What a schema says


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
        "CREATE TABLE t(a); DROP TABLE t",
        "CREATE",
        'CREATE TABLE t(a COLLATE "nobody\'s", b COLLATE "nobody\'s")',
        "CREATE TABLE t(a\0, b)",
        "CREATE VIRTUAL TABLE t USING nothing(a)",
        'CREATE TABLE "" (a, b)',
    ],
)
def test_a_schema_is_not_carried_out_beyond_making_tables(tmp_path: Path, sql: str) -> None:
    plain = tmp_path / "plain.db"
    connection = sqlite3.connect(plain)
    connection.execute(f"PRAGMA page_size={PAGE}")
    connection.execute("CREATE TABLE t (a, b)")
    connection.execute("INSERT INTO t VALUES (1, 2)")
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute("UPDATE sqlite_master SET sql = ?", (sql,))
    connection.commit()
    connection.close()
    path = tmp_path / "app.db"
    seal(plain, path)
    result = salvaged(path)
    assert result.lost_and_found_rows + sum(table.rows for table in result.tables) == 1


def test_names_that_are_not_text(tmp_path: Path) -> None:
    """SQLite quotes them in its messages, which Python then cannot decode."""
    plain = tmp_path / "plain.db"
    connection = sqlite3.connect(plain)
    connection.execute("CREATE TABLE t (a, b)")
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute("UPDATE sqlite_master SET name = CAST(x'74ff' AS TEXT), sql = 'CREATE NONSENSE'")
    connection.commit()
    connection.close()
    with pytest.raises(sqlite3.DatabaseError, match="malformed database schema"):
        lumocrypt.encrypt(plain, tmp_path / "app.db", key="key")
    seal(plain, tmp_path / "app.db")
    with pytest.raises(sqlite3.DatabaseError, match="malformed database schema"):
        lumocrypt.decrypt(tmp_path / "app.db", key=None)
    assert salvaged(tmp_path / "app.db").ok is not None


def test_a_node_is_what_it_says() -> None:
    page = interior(3, right=4)
    assert isinstance(node(page.ljust(PAGE, b"\0")[:PAGE], 2, Layout(PAGE, 9, PAGE, "utf-8")), Node)

"""Changed, moved, copied and missing blocks of the main file; every byte of the header region."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import lumocrypt
from lumocrypt.opening.connection import Io
from support.known_keys import RAW
from support.layout import CELL_A, CELL_B, CELL_USED, CELLS_END, COPY, HEADER, OVERHEAD, slot_at
from support.seal import open_block, seal_block
from support.tiny import BLOCK, ROWS, Attacked, Rows, make_tiny

SLOT = BLOCK + OVERHEAD
MODES = pytest.mark.parametrize("io", ["map", "pread"])


class Target(Attacked):
    """A database with its original bytes, open for changes while no connection is."""

    original: bytes
    right: Rows
    file: int

    @classmethod
    def make(cls, folder: Path) -> Target:
        target = cls(make_tiny(folder / "tiny.db"), lumocrypt.Key.raw(RAW))
        object.__setattr__(target, "original", target.path.read_bytes())
        object.__setattr__(target, "right", target.rows())
        object.__setattr__(target, "file", os.open(target.path, os.O_RDWR))
        return target

    @property
    def slots(self) -> int:
        return (len(self.original) - HEADER) // SLOT

    def put(self, content: bytes, offset: int = 0) -> None:
        os.pwrite(self.file, content, offset)

    def restore(self) -> None:
        os.ftruncate(self.file, len(self.original))
        self.put(self.original)

    def slot(self, index: int) -> bytes:
        start = slot_at(index, BLOCK)
        return self.original[start : start + SLOT]

    def never_wrong(self, io: Io) -> bool:
        """Whether a query still gets the right rows; anything but that or an error fails the test."""
        outcome = self.outcome(io)
        if isinstance(outcome, sqlite3.Error):
            return False
        assert outcome == self.right
        return True


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target.make(tmp_path_factory.mktemp("slots"))
    yield made
    os.close(made.file)


@pytest.fixture(autouse=True)
def _restored(target: Target) -> Iterator[None]:
    yield
    target.restore()


def changes(target: Target, offsets: range) -> Iterator[int]:
    """Changes one byte after the other, each to another random value, and puts it back."""
    rng = random.Random(offsets.start)
    for offset in offsets:
        old = target.original[offset]
        target.put(bytes([old ^ rng.randrange(1, 256)]), offset)
        yield offset
        target.put(bytes([old]), offset)


def test_the_untouched_file_is_in_order(target: Target) -> None:
    assert target.slots >= 8
    assert len(target.original) == HEADER + target.slots * SLOT
    assert target.verdict()
    assert len(target.right) == 2 * ROWS
    assert target.rows("pread") == target.right


@MODES
@pytest.mark.parametrize("parity", [0, 1])
def test_every_byte_of_every_slot(target: Target, io: Io, parity: int) -> None:
    untouched = 0
    for offset in changes(target, range(HEADER + parity, len(target.original), 2)):
        # verify has one way of reading, and waits before it condemns a block: once is enough.
        assert io == "pread" or not target.verdict(), f"verify overlooks byte {offset}"
        untouched += target.never_wrong(io)
    # Only the page on the free list is not read by the queries.
    assert untouched == SLOT // 2


@pytest.mark.parametrize("copy", [0, COPY])
@pytest.mark.parametrize("half", [0, COPY // 2])
def test_every_byte_of_the_superblock_copies(target: Target, copy: int, half: int) -> None:
    """One copy is enough to read by; verify reports the other."""
    for offset in changes(target, range(copy + half, copy + half + COPY // 2)):
        assert not target.verdict(), f"verify overlooks byte {offset}"
        assert target.never_wrong("map"), f"byte {offset}"


@pytest.mark.parametrize("cell", [CELL_A, CELL_B])
def test_every_byte_of_the_cells(target: Target, cell: int) -> None:
    for offset in changes(target, range(cell, cell + CELL_USED)):
        assert not target.verdict(), f"verify overlooks byte {offset}"
        assert target.never_wrong("pread"), f"byte {offset}"


@pytest.mark.parametrize(
    ("start", "end"), [(CELL_A + CELL_USED, CELL_B), (CELL_B + CELL_USED, CELLS_END), (CELLS_END, HEADER)]
)
def test_every_reserved_byte_of_the_header(target: Target, start: int, end: int) -> None:
    """They decide nothing, but whoever wrote there was not lumocrypt."""
    for offset in changes(target, range(start, end)):
        assert not target.verdict(), f"verify overlooks byte {offset}"
        if offset % 64 == 0:
            assert target.never_wrong("map")


@MODES
def test_every_pair_of_slots_swapped(target: Target, io: Io) -> None:
    for first, second in itertools.combinations(range(target.slots), 2):
        target.put(target.slot(second), slot_at(first, BLOCK))
        target.put(target.slot(first), slot_at(second, BLOCK))
        assert not target.verdict(), f"verify overlooks the exchange of {first} and {second}"
        target.never_wrong(io)
        with pytest.raises(lumocrypt.TamperedError):
            lumocrypt.decrypt(target.path, target.path.with_name("out.db"), key=target.key)
        target.put(target.slot(first), slot_at(first, BLOCK))
        target.put(target.slot(second), slot_at(second, BLOCK))


@MODES
def test_truncation_at_every_slot_boundary_and_in_between(target: Target, io: Io) -> None:
    cuts = {
        slot_at(index, BLOCK) + extra for index in range(target.slots) for extra in (-1, 0, 1, 40, 41, 300)
    }
    for cut in sorted(cut for cut in cuts if cut > HEADER):
        os.ftruncate(target.file, cut)
        assert not target.verdict(), f"verify overlooks a cut at {cut}"
        # A last block cut short still counts as a page: the free page that it may be is not read.
        assert not target.never_wrong(io) or (cut - HEADER) % SLOT > OVERHEAD
        target.restore()


@MODES
@pytest.mark.parametrize("keep", [2, 15, 16, 100, COPY - 1, COPY, CELL_A, CELL_B + 1, HEADER - 1])
def test_truncation_inside_the_header(target: Target, io: Io, keep: int) -> None:
    os.ftruncate(target.file, keep)
    assert not target.verdict()
    assert isinstance(target.outcome(io), lumocrypt.HeaderDamagedError)
    assert target.path.read_bytes() == target.original[:keep]


@pytest.mark.parametrize("keep", [0, 1])
def test_truncation_to_nothing_is_a_new_database(target: Target, keep: int) -> None:
    """SQLite's own VFS reports a file of one byte as empty."""
    os.ftruncate(target.file, keep)
    assert not target.verdict()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        target.rows()
    assert target.path.read_bytes() == target.original[:keep]


@MODES
def test_truncation_to_the_bare_header_is_damage(target: Target, io: Io) -> None:
    """It looks like a database whose creation was interrupted, but the header says that there were blocks."""
    os.ftruncate(target.file, HEADER)
    assert not target.verdict()
    outcome = target.outcome(io)
    assert isinstance(outcome, lumocrypt.TamperedError)
    assert "the end of the database was cut off" in str(outcome)


@MODES
@pytest.mark.parametrize("extra", [1, OVERHEAD, OVERHEAD + 1, SLOT - 1, SLOT, SLOT + 1])
def test_bytes_behind_the_end(target: Target, io: Io, extra: int) -> None:
    """Zeros, noise, or slots of the file itself: they are not part of the database."""
    for tail in (bytes(extra), os.urandom(extra), (target.slot(0) * 2)[:extra]):
        target.put(tail, len(target.original))
        assert not target.verdict()
        target.never_wrong(io)
        target.restore()


@MODES
def test_an_erased_slot_is_damage(target: Target, io: Io) -> None:
    for index in range(target.slots):
        target.put(bytes(SLOT), slot_at(index, BLOCK))
        assert not target.verdict()
        target.never_wrong(io)
        target.restore()


def test_damaged_blocks_are_named(target: Target) -> None:
    for index in (1, target.slots - 1):
        target.put(b"\0" * 8, slot_at(index, BLOCK) + 100)
    found = lumocrypt.verify(target.path, key=target.key)
    assert [(page.file_kind, page.number) for page in found.damaged] == [
        ("main", 1),
        ("main", target.slots - 1),
    ]
    with pytest.raises(lumocrypt.TamperedError) as caught:
        target.rows()
    assert (caught.value.file_kind, caught.value.block) == ("main", 1)
    assert caught.value.path == str(target.path)


# Slots from elsewhere


@MODES
def test_a_slot_of_another_database_is_refused(target: Target, tmp_path: Path, io: Io) -> None:
    """The same content under the same raw key, at the same place: only the UUID and the data key differ."""
    other = make_tiny(tmp_path / "other.db").read_bytes()
    for index in range(target.slots):
        start = slot_at(index, BLOCK)
        target.put(other[start : start + SLOT], start)
        assert not target.verdict()
        target.never_wrong(io)
        target.restore()


def test_a_slot_of_a_relative_is_refused(target: Target, tmp_path: Path) -> None:
    """VACUUM INTO makes a copy under the same data key: the UUID keeps their blocks apart."""
    relative = tmp_path / "relative.db"
    connection = lumocrypt.connect(target.path, key=target.key)
    connection.execute("VACUUM INTO ?", (str(relative),))
    connection.close()
    assert lumocrypt.info(relative).key_id == lumocrypt.info(target.path).key_id
    assert lumocrypt.info(relative).uuid != lumocrypt.info(target.path).uuid
    size = lumocrypt.info(relative).block_size
    assert size == BLOCK
    content = relative.read_bytes()
    for index in range(4):
        start = slot_at(index, BLOCK)
        target.put(content[start : start + SLOT], start)
        assert not target.verdict()
        target.never_wrong("map")
        target.restore()


@pytest.mark.parametrize("kind", range(1, 7))
def test_a_slot_of_another_kind_of_file_is_refused(tmp_path: Path, kind: int) -> None:
    """Sealed by an independent implementation with the right data key, as a block of each kind of file."""
    attacked = Attacked(make_tiny(tmp_path / "x.db", cipher="xchacha20-poly1305"), lumocrypt.Key.raw(RAW))
    right = attacked.rows()
    content = bytearray(attacked.path.read_bytes())
    index, start = 1, slot_at(1, BLOCK)
    plain = open_block(bytes(content), RAW, index, BLOCK)
    content[start : start + SLOT] = seal_block(bytes(content), RAW, index, plain, kind=kind)
    attacked.path.write_bytes(content)
    if kind == 1:
        # The control: the forger can write what the engine accepts.
        assert attacked.verdict()
        assert attacked.rows() == right
    else:
        assert not attacked.verdict()
        assert isinstance(attacked.outcome(), lumocrypt.TamperedError)


# Known limits (SECURITY.md): what authentication without a freshness root cannot see.


def test_known_limit_an_older_version_of_a_slot_in_its_own_place(tmp_path: Path) -> None:
    attacked = Attacked(make_tiny(tmp_path / "x.db"), lumocrypt.Key.raw(RAW))
    before, old = attacked.path.read_bytes(), attacked.rows()
    connection = lumocrypt.connect(attacked.path, key=attacked.key)
    connection.execute("UPDATE t SET v = 'row 03, later' WHERE id = 3")
    connection.commit()
    connection.close()
    new = attacked.rows()
    assert new != old
    content = bytearray(attacked.path.read_bytes())
    copy = tmp_path / "copy.db"
    shutil.copyfile(attacked.path, copy)
    mixed = 0
    for index in range((len(content) - HEADER) // SLOT):
        start = slot_at(index, BLOCK)
        if before[start : start + SLOT] != content[start : start + SLOT]:
            replayed = bytearray(content)
            replayed[start : start + SLOT] = before[start : start + SLOT]
            attacked.path.write_bytes(replayed)
            assert attacked.verdict()
            mixed += attacked.outcome() not in (old, new)
    assert mixed > 0, "replay is detected now: say so in SECURITY.md and make this a test of it"


def test_known_limit_the_whole_file_replaced_by_an_older_copy(tmp_path: Path) -> None:
    attacked = Attacked(make_tiny(tmp_path / "x.db"), lumocrypt.Key.raw(RAW))
    before, old = attacked.path.read_bytes(), attacked.rows()
    connection = lumocrypt.connect(attacked.path, key=attacked.key)
    connection.execute("DELETE FROM t")
    connection.commit()
    connection.close()
    attacked.path.write_bytes(before)
    assert attacked.verdict()
    assert attacked.rows() == old

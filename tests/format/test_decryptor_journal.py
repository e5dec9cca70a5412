"""The independent decryptor reads databases with journals: hot ones, torn ones, what PERSIST leaves."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from pathlib import Path

import pytest

import lumocrypt
from decryptor import ForeignLogError, read_database
from decryptor.journal import rollback
from samples import OVERHEAD, SUITES, connect, content, content_of, copy_database, fill, read, reopened
from support.bytes_on_disk import flip
from support.known_keys import RAW

SPILL = "PRAGMA cache_size=5"
SYNCED = SUITES[::2]


def test_rollback_is_sqlites(tmp_path: Path) -> None:
    """The decryptor's rollback, on a journal that no encryption ever touched."""
    path = tmp_path / "plain.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(SPILL)
    fill(connection)
    before = path.read_bytes()
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET data = zeroblob(2000)")
    journal = path.with_name("plain.db-journal").read_bytes()
    connection.close()
    undo = rollback(journal)
    assert undo is not None
    assert undo.page_count * 4096 == len(before)
    assert len(undo.pages) > 10
    for number, data in undo.pages.items():
        assert before[(number - 1) * 4096 : number * 4096] == data
    # A record whose checksum is wrong ends the journal: here the third, after a header of 512 bytes.
    third = 512 + 2 * (4096 + 8)
    assert journal[third : third + 4] != bytes(4)
    sampled = third + 4 + 4096 - 200
    damaged = journal[:sampled] + bytes([journal[sampled] ^ 1]) + journal[sampled + 1 :]
    undo = rollback(damaged)
    assert undo is not None
    assert len(undo.pages) == 2


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
@pytest.mark.parametrize("suite", SUITES)
def test_a_hot_journal(suite: str, page_size: int, tmp_path: Path) -> None:
    """Copied in mid-transaction, when some of the changes are in the main file already."""
    # Synced, a spill ends a segment of the journal; not synced, there is one without a count of records.
    synced = suite in SYNCED
    path = tmp_path / "app.db"
    connection = connect(path, suite)
    connection.execute(f"PRAGMA page_size={page_size}")
    connection.execute(SPILL)
    fill(connection, 1200 if page_size == 65536 else 300)
    before, main = read(path, suite).image, path.read_bytes()
    expected = content_of(connection)
    connection.execute("PRAGMA synchronous=FULL" if synced else "PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    connection.execute("DELETE FROM t WHERE id % 7 = 0")
    connection.execute("UPDATE t SET name = 'changed ' || name, data = zeroblob(length(data) + 700)")
    copy = copy_database(path, tmp_path / "crash")
    connection.execute("COMMIT")
    after = content_of(connection)
    connection.close()

    assert copy.read_bytes()[65536 : len(main)] != main[65536:]
    found = read(copy, suite)
    assert found.journal is not None
    assert found.journal.extents > 0
    assert found.rolled_back is not None
    assert len(found.rolled_back.pages) > 1
    assert found.image == before
    # A slot torn by the crash is put right by the rollback.
    torn = max(number for number in found.rolled_back.pages if number <= found.rolled_back.page_count)
    if page_size == 4096:
        flip(copy, 65536 + (torn - 1) * (4096 + OVERHEAD[suite]))
        assert read(copy, suite).image == before
    assert reopened(copy, suite) == expected
    assert content(read(path, suite).image) == after


@pytest.mark.parametrize("suite", SUITES)
def test_what_persist_leaves(suite: str, tmp_path: Path) -> None:
    """A finished journal counts for nothing, and the next one is written over it."""
    path = tmp_path / "app.db"
    connection = connect(path, suite)
    connection.execute("PRAGMA journal_mode=PERSIST")
    connection.execute(SPILL)
    fill(connection)
    for seed in range(3):
        expected = content_of(connection)
        found = read(path, suite)
        assert path.with_name("app.db-journal").stat().st_size > 128
        assert found.rolled_back is None
        assert content(found.image) == expected
        connection.execute(f"PRAGMA synchronous={seed}")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET data = zeroblob(?)", (2000 >> seed,))
        copy = copy_database(path, tmp_path / f"crash{seed}")
        connection.execute("COMMIT")
        undone = read(copy, suite)
        assert undone.rolled_back is not None
        assert content(undone.image) == expected
        assert reopened(copy, suite) == expected
    connection.close()


def test_a_journal_of_another_database(tmp_path: Path) -> None:
    journals: list[Path] = []
    for name in ("one", "two"):
        connection = connect(tmp_path / name, "aegis-256")
        connection.execute(SPILL)
        fill(connection)
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET data = zeroblob(2000)")
        copy = copy_database(tmp_path / name, tmp_path / f"crash-{name}")
        journals.append(copy.with_name(name + "-journal"))
        connection.close()
    shutil.copyfile(journals[1], journals[0])
    with pytest.raises(ForeignLogError):
        read_database(tmp_path / "crash-one" / "one", RAW)
    with pytest.raises(lumocrypt.CryptError):
        reopened(tmp_path / "crash-one" / "one", "aegis-256")
    journals[0].write_bytes(bytes.fromhex("d9d505f920a163d7") + bytes(504))
    with pytest.raises(ForeignLogError):
        read_database(tmp_path / "crash-one" / "one", RAW)


def test_a_torn_journal(tmp_path: Path) -> None:
    """The preamble may be torn; the extents before the first unauthentic one are rolled back."""
    path = tmp_path / "app.db"
    connection = connect(path, "aegis-256")
    connection.execute(SPILL)
    fill(connection)
    before = read(path, "aegis-256").image
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET data = zeroblob(2000)")
    copy = copy_database(path, tmp_path / "crash")
    connection.close()
    journal = copy.with_name("app.db-journal")
    whole = read(copy, "aegis-256").journal
    assert whole is not None
    flip(journal, 40)
    assert read(copy, "aegis-256").image == before
    # The last extent, whose pages are not in the main file yet or are restored by no other.
    pristine = journal.read_bytes()
    (length,) = struct.unpack_from("<I", pristine, 128 + 4)
    assert pristine[128:132] == b"LJX1"
    journal.write_bytes(pristine[: 128 + 24 + length + 40] + b"\0" + pristine[128 + 24 + length + 41 :])
    cut = read(copy, "aegis-256").journal
    assert cut is not None
    assert cut.extents == 1 < whole.extents


def test_a_changed_bit_in_a_finished_journal_undoes_nothing(tmp_path: Path) -> None:
    """What PERSIST leaves is a whole journal behind zeros; a commit must not hang on each of their bits."""
    path = tmp_path / "app.db"
    connection = connect(path, "aegis-256")
    connection.execute("PRAGMA journal_mode=PERSIST")
    fill(connection, 20)
    connection.execute("UPDATE t SET name = 'committed'")
    expected = content_of(connection)
    connection.close()
    flip(path.with_name("app.db-journal"), 100)
    assert content(read(path, "aegis-256").image) == expected
    assert reopened(path, "aegis-256") == expected

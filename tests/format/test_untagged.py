"""`adiantum` and `aes-256-xts`: blocks that are as long as their content, with nothing to tell damage by."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import lumocrypt
from samples import UNTAGGED, connect, content_of, copy_database, fill, key_for, reopened
from support.bytes_on_disk import flip
from support.known_keys import RAW
from support.layout import HEADER
from support.peers import Peer

BLOCK = 4096


@pytest.fixture(params=UNTAGGED)
def suite(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def path(tmp_path: Path, suite: str) -> Path:
    connection = connect(tmp_path / "app.db", suite)
    fill(connection, 100)
    connection.close()
    return tmp_path / "app.db"


def test_the_file_grows_by_its_header_alone(path: Path, suite: str) -> None:
    found = lumocrypt.info(path)
    assert (found.cipher, found.overhead) == (suite, 0)
    assert path.stat().st_size == HEADER + found.logical_size
    connection = connect(path, suite)
    assert connection.execute("PRAGMA lumo_cipher").fetchone() == (suite,)
    assert found.logical_size == BLOCK * connection.execute("PRAGMA page_count").fetchone()[0]
    connection.close()


def test_a_wrong_key_is_told(path: Path) -> None:
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.connect(path, lumocrypt.Key.raw(bytes(31) + b"\1"))


@pytest.mark.parametrize("io", ["map", "pread"])
@pytest.mark.parametrize("journal_mode", ["wal", "delete", "truncate", "persist", "memory"])
def test_two_connections_see_each_others_commits(path: Path, suite: str, journal_mode: str, io: str) -> None:
    one, other = connect(path, suite, io=io), connect(path, suite, io=io)
    one.execute(f"PRAGMA journal_mode={journal_mode}")
    for number in range(20):
        writer, reader = (one, other) if number % 2 else (other, one)
        writer.execute("INSERT INTO t (name) VALUES (?)", (f"commit {number}",))
        assert reader.execute("SELECT name FROM t ORDER BY id DESC LIMIT 1").fetchone() == (
            f"commit {number}",
        )
        if number % 5 == 4 and journal_mode == "wal":
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert content_of(one) == content_of(other)
    assert content_of(one)[0] == "integrity_check: [('ok',)]"
    one.close()
    other.close()


def test_opening_while_another_process_checkpoints(path: Path, suite: str, peer: Callable[..., Peer]) -> None:
    """SQLite looks at the first block without a lock, and may see half of what is being written."""
    other, stop = peer(path, RAW), threading.Event()
    assert other.run("PRAGMA journal_mode=WAL") == {"rows": [["wal"]]}

    def write() -> None:
        while not stop.is_set():
            other.run("CREATE TABLE IF NOT EXISTS more (a)")
            other.run("DROP TABLE more")
            other.run("PRAGMA wal_checkpoint")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            connection = connect(path, suite)
            assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            connection.close()
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_pages_of_other_sizes_than_blocks(tmp_path: Path, suite: str, page_size: int) -> None:
    """Backups in both directions, and back to the page."""
    plain, path = tmp_path / "plain.db", tmp_path / "app.db"
    source = sqlite3.connect(plain, isolation_level=None)
    source.execute(f"PRAGMA page_size={page_size}")
    fill(source, 60)
    target = connect(path, suite)
    source.backup(target)
    expected = content_of(source)
    assert content_of(target) == expected
    target.execute("DELETE FROM t WHERE id % 2")
    target.execute("VACUUM")
    after = content_of(target)
    target.close()
    assert reopened(path, suite) == after
    back = tmp_path / "back.db"
    lumocrypt.decrypt(path, back, key=key_for(suite))
    connection = sqlite3.connect(back)
    assert content_of(connection) == after
    connection.close()
    source.close()


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_a_crash_in_a_transaction_hazard_14(tmp_path: Path, suite: str, journal_mode: str) -> None:
    """What was spilled into the files is undone, or not seen, on the word of logs that are authenticated."""
    path = tmp_path / "app.db"
    connection = connect(path, suite)
    connection.execute(f"PRAGMA journal_mode={journal_mode}")
    fill(connection, 200)
    expected = content_of(connection)
    connection.execute("PRAGMA cache_size=2")
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET data = zeroblob(3000)")
    copy = copy_database(path, tmp_path / "copy")
    log = copy.with_name("app.db-wal" if journal_mode == "wal" else "app.db-journal")
    assert log.stat().st_size > 100_000
    if journal_mode == "delete":
        # A block that the crash tore, whatever it was torn into.
        flip(copy, HEADER + 3 * BLOCK + 100)
    assert reopened(copy, suite) == expected
    connection.close()


def test_a_changed_log_is_noticed_hazard_14(tmp_path: Path, suite: str) -> None:
    path = tmp_path / "app.db"
    connection = connect(path, suite)
    connection.execute("PRAGMA journal_mode=WAL")
    fill(connection, 50)
    connection.execute("INSERT INTO t (name) VALUES ('last')")
    copy = copy_database(path, tmp_path / "copy")
    connection.close()
    wal = copy.with_name("app.db-wal")
    flip(wal, wal.stat().st_size // 2)
    found = lumocrypt.verify(copy, key=key_for(suite))
    assert not found.ok
    assert {page.file_kind for page in found.damaged} == {"wal"}


def test_verify_says_what_it_cannot_see_hazard_14(path: Path, suite: str) -> None:
    pristine = path.read_bytes()
    found = lumocrypt.verify(path, key=key_for(suite))
    assert found.ok
    assert any(f"{suite} authenticates no block" in warning for warning in found.warnings)
    # The limit.
    flip(path, HEADER + 2 * BLOCK)
    assert lumocrypt.verify(path, key=key_for(suite)).ok
    for changed, where in (
        (pristine[:HEADER] + bytes([pristine[HEADER] ^ 1]) + pristine[HEADER + 1 :], 0),
        (pristine[: HEADER + BLOCK] + bytes(BLOCK) + pristine[HEADER + 2 * BLOCK :], 1),
        (pristine[:-BLOCK], len(pristine[HEADER:]) // BLOCK - 1),
        (pristine + b"x" * 100, len(pristine[HEADER:]) // BLOCK),
    ):
        path.write_bytes(changed)
        found = lumocrypt.verify(path, key=key_for(suite))
        assert not found.ok
        assert [page.block for page in found.damaged] == [where]


def test_salvage_counts_pages_that_are_noise_hazard_14(path: Path, suite: str) -> None:
    for index in (3, 5):
        flip(path, HEADER + index * BLOCK)
    found = lumocrypt.salvage(path, path.with_name("saved.db"), key=key_for(suite))
    assert not found.ok
    (table,) = found.tables
    assert table.pages_lost == 2
    assert table.rows_lost
    assert 0 < table.rows < 100
    assert any("authenticates no block" in warning for warning in found.warnings)


def test_a_first_page_of_noise_is_an_error_hazard_14(path: Path, suite: str) -> None:
    flip(path, HEADER)
    with (
        pytest.raises(lumocrypt.TamperedError) as caught,
        contextlib.closing(connect(path, suite)) as connection,
    ):
        connection.execute("SELECT * FROM t").fetchall()
    assert (caught.value.file_kind, caught.value.block) == ("main", 0)


def test_known_limit_a_changed_block_is_noise_hazard_14(path: Path, suite: str) -> None:
    """SQLite sees whatever the block opens to: its own checks may find it, or nothing does."""
    expected = reopened(path, suite)
    flip(path, HEADER + 2 * BLOCK + 2000)
    with contextlib.suppress(sqlite3.DatabaseError):
        assert reopened(path, suite) != expected


def test_known_limit_the_same_content_in_the_same_place_looks_the_same_hazard_14(
    path: Path, suite: str
) -> None:
    """Decrypted to the same plaintext it was before: nothing of a nonce is in it."""
    before = path.read_bytes()
    plain = path.with_name("plain.db")
    lumocrypt.decrypt(path, plain, key=key_for(suite))
    source, target = sqlite3.connect(plain), connect(path, suite)
    source.backup(target)
    source.close()
    target.close()
    after = path.read_bytes()
    # The change counter is in the first block.
    assert after[HEADER + BLOCK :] == before[HEADER + BLOCK :]


def test_sources_that_end_within_a_page_are_refused(tmp_path: Path, suite: str) -> None:
    plain = tmp_path / "plain.db"
    connection = sqlite3.connect(plain, isolation_level=None)
    fill(connection, 5)
    connection.close()
    with plain.open("ab") as file:
        file.write(b"odd")
    original = plain.read_bytes()
    with pytest.raises(ValueError, match="whole pages only"):
        lumocrypt.encrypt(plain, key=key_for(suite), cipher=suite)
    assert plain.read_bytes() == original


@pytest.mark.parametrize("cut", [1, 512, 1024, BLOCK - 512, BLOCK])
def test_an_end_that_was_cut_off_is_an_error(path: Path, suite: str, cut: int) -> None:
    """A part of the last block, too: nothing reads zeros in its place, and nobody seals any."""
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert not lumocrypt.verify(path, key=key_for(suite))
    for attempt in ("SELECT sum(length(data)), sum(length(name)) FROM t", "CREATE TABLE more (a)"):
        with pytest.raises(lumocrypt.TamperedError, match="cut off"):
            lumocrypt.connect(path, key=key_for(suite)).execute(attempt)
    assert path.read_bytes() == whole[:-cut]

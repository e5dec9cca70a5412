"""VFSs of the gosqlite format: the bytes on disk, recovery, wrong keys and sizes, and the life of a VFS."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lumocrypt
from support.crash import crashed, log_of
from support.folders import fast_folder
from support.gosqlite import (
    CIPHERS,
    JOURNAL,
    KEYS,
    LOG_BLOCK,
    MAIN,
    PAGE_SIZES,
    SUB_JOURNAL,
    TEMP,
    TEMP_JOURNAL,
    WAL,
    connect,
    count,
    decrypt_xts,
    insert,
    make,
)
from support.plaintext import MARKER, make_plain

SQLITE_MAGIC = b"SQLite format 3\0"


@contextlib.contextmanager
def vfs_for(cipher: str, page_size: int = 4096, **arguments: object) -> Iterator[lumocrypt.CryptoVFS]:
    with lumocrypt.crypto_vfs(KEYS[cipher], cipher, page_size, **arguments) as vfs:  # type: ignore[arg-type]
        yield vfs


@pytest.mark.parametrize("journal_mode", ["delete", "truncate", "persist", "memory", "wal"])
@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_database_comes_back(tmp_path: Path, cipher: str, page_size: int, journal_mode: str) -> None:
    path = tmp_path / "a.db"
    with (
        vfs_for(cipher, page_size) as vfs,
        contextlib.closing(make(vfs, path, page_size, journal_mode)) as connection,
    ):
        insert(connection, 50)
        connection.execute("DELETE FROM t WHERE id % 3 = 0")
        connection.execute("BEGIN")
        connection.execute("DELETE FROM t")
        connection.execute("ROLLBACK")
        connection.execute("VACUUM")
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        assert count(connection) == 100
    # As long as plaintext, and every byte of it encrypted.
    assert path.stat().st_size == pages * page_size
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert MARKER.encode() not in content
        assert SQLITE_MAGIC not in content
    with vfs_for(cipher, page_size) as vfs, contextlib.closing(connect(vfs, path)) as connection:
        assert count(connection) == 100


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_the_bytes_are_those_of_the_format(tmp_path: Path, page_size: int) -> None:
    """Main file, journal and WAL, decrypted by another library, are what stock SQLite makes, and recovers."""
    path = tmp_path / "a.db"
    with vfs_for("aes-256-xts", page_size) as vfs:
        connection = make(vfs, path, page_size)
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET data = zeroblob(3 * 300)")
        hot = crashed(path, tmp_path / "hot")
        connection.execute("ROLLBACK")
        connection.execute("PRAGMA journal_mode=WAL")
        insert(connection, 20)
        wal = crashed(path, tmp_path / "wal")
        connection.close()
    kinds = {"": MAIN, "-journal": JOURNAL, "-wal": WAL}
    for copy, suffix, rows in [(hot, "-journal", 100), (wal, "-wal", 120)]:
        for name in ("", suffix):
            file, block_size = log_of(copy, name), LOG_BLOCK if name else page_size
            file.write_bytes(decrypt_xts(file.read_bytes(), kinds[name], block_size))
        with contextlib.closing(sqlite3.connect(copy)) as stock:
            assert stock.execute("PRAGMA page_size").fetchone() == (page_size,)
            assert count(stock) == rows
            assert stock.execute("SELECT count(*) FROM t WHERE length(data) != 300").fetchone() == (0,)


@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_hot_journal_is_rolled_back(tmp_path: Path, cipher: str, page_size: int) -> None:
    path = tmp_path / "a.db"
    with vfs_for(cipher, page_size) as vfs:
        connection = make(vfs, path, page_size)
        more = page_size // 25
        insert(connection, more)
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET data = zeroblob(3 * 300)")
        before = path.read_bytes()
        copy = crashed(path, tmp_path / "crashed")
        connection.execute("ROLLBACK")
        assert path.read_bytes() != before, "the transaction had not reached the main file"
        connection.close()
        with contextlib.closing(connect(vfs, copy)) as recovered:
            assert count(recovered) == 100 + more
            assert recovered.execute("SELECT count(*) FROM t WHERE length(data) != 300").fetchone() == (0,)
        assert not log_of(copy, "-journal").exists()


@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("cipher", CIPHERS)
def test_frames_of_a_wal_that_no_checkpoint_copied(tmp_path: Path, cipher: str, page_size: int) -> None:
    path = tmp_path / "a.db"
    with vfs_for(cipher, page_size) as vfs:
        connection = make(vfs, path, page_size, "wal")
        for _ in range(3):
            insert(connection, 10)
        copy = crashed(path, tmp_path / "crashed")
        connection.close()
        assert log_of(copy, "-wal").stat().st_size > page_size
        with contextlib.closing(connect(vfs, copy)) as recovered:
            assert count(recovered) == 130


@pytest.mark.parametrize("cipher", CIPHERS)
def test_temporary_files(tmp_path: Path, cipher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: set[int] = set()

    class Kinds:
        def on_read(self, kind: int, *_: object) -> None:
            kinds.add(kind)

        on_write = on_read

    with (
        vfs_for(cipher, recorder=Kinds()) as vfs,
        contextlib.closing(make(vfs, tmp_path / "a.db", 4096)) as connection,
    ):
        connection.execute("PRAGMA temp_store=FILE")
        connection.execute("PRAGMA cache_size=1")
        insert(connection, 20000)
        expected = sorted(connection.execute("SELECT text, id FROM t").fetchall())
        connection.execute("PRAGMA temp.cache_size=1")
        assert connection.execute("SELECT text, id FROM t ORDER BY text, id").fetchall() == expected
        connection.execute("CREATE TEMP TABLE copy AS SELECT * FROM t")
        connection.execute("BEGIN")
        connection.execute("UPDATE temp.copy SET data = zeroblob(350)")
        connection.execute("SAVEPOINT one")
        connection.execute("UPDATE t SET data = zeroblob(310)")
        connection.execute("UPDATE temp.copy SET data = zeroblob(360)")
        connection.execute("ROLLBACK TO one")
        assert connection.execute("SELECT DISTINCT length(data) FROM t").fetchall() == [(300,)]
        assert connection.execute("SELECT DISTINCT length(data) FROM temp.copy").fetchall() == [(350,)]
        connection.execute("ROLLBACK")
        assert connection.execute("SELECT DISTINCT length(data) FROM temp.copy").fetchall() == [(300,)]
    assert {TEMP, TEMP_JOURNAL, SUB_JOURNAL} <= kinds


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_flipped_bit(tmp_path: Path, cipher: str) -> None:
    """It changes the whole page under Adiantum and 16 bytes of it under XTS, and nothing notices."""
    path = tmp_path / "a.db"
    with vfs_for(cipher) as vfs:
        with contextlib.closing(make(vfs, path, 4096)) as connection:
            before = connection.serialize()
        content = bytearray(path.read_bytes())
        content[3 * 4096 + 2000] ^= 1
        path.write_bytes(content)
        with contextlib.closing(connect(vfs, path)) as connection:
            after = connection.serialize()
    different = [place for place in range(len(before)) if before[place] != after[place]]
    if cipher == "aes-256-xts":
        # A garbled byte in 256 is right by chance.
        assert {place // 16 for place in different} == {(3 * 4096 + 2000) // 16}
        assert len(different) > 8
    else:
        assert {place // 4096 for place in different} == {3}
        assert len(different) > 4000


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("log", ["none", "journal", "wal"])
def test_a_wrong_key_is_an_error_and_changes_nothing(tmp_path: Path, cipher: str, log: str) -> None:
    """SQLite deletes logs that it can make nothing of: the key is judged before it sees them."""
    path = tmp_path / "a.db"
    with vfs_for(cipher) as vfs:
        connection = make(vfs, path, 4096, "wal" if log == "wal" else "delete")
        connection.execute("PRAGMA cache_size=1")
        if log == "journal":
            connection.execute("BEGIN")
            connection.execute("UPDATE t SET data = zeroblob(900)")
        copy = crashed(path, tmp_path / "crashed")
        connection.close()
    before = {file.name: file.read_bytes() for file in copy.parent.iterdir()}
    assert len(before) == (1 if log == "none" else 2)
    wrong = bytes(reversed(KEYS[cipher]))
    other = next(name for name in CIPHERS if name != cipher)
    for name, key in [(cipher, wrong), (other, KEYS[other])]:
        with lumocrypt.crypto_vfs(key, name) as vfs:
            for statement in ("SELECT * FROM t", "CREATE TABLE u (a)", "PRAGMA journal_mode=WAL", "VACUUM"):
                with (
                    contextlib.closing(connect(vfs, copy)) as connection,
                    pytest.raises(lumocrypt.WrongKeyError, match="the key does not open the file") as caught,
                ):
                    connection.execute(statement).fetchall()
                assert caught.value.path == str(copy)
                assert caught.value.file_kind == "main"
    now = {file.name: file.read_bytes() for file in copy.parent.iterdir() if not file.name.endswith("-shm")}
    assert now == before


@pytest.mark.parametrize("given", PAGE_SIZES)
@pytest.mark.parametrize("own", PAGE_SIZES)
@pytest.mark.parametrize("cipher", CIPHERS)
def test_another_page_size_is_named(tmp_path: Path, cipher: str, own: int, given: int) -> None:
    path = tmp_path / "a.db"
    with vfs_for(cipher, own) as vfs:
        make(vfs, path, own).close()
    before = path.read_bytes()
    with vfs_for(cipher, given) as vfs, contextlib.closing(connect(vfs, path)) as connection:
        if own == given:
            assert count(connection) == 100
            return
        expected = f"page_size is {own} in the file, and {given} was given"
        with pytest.raises(lumocrypt.UnsupportedFormatError, match=expected):
            connection.execute("SELECT * FROM t").fetchall()
    assert path.read_bytes() == before


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_new_database_of_another_page_size_is_refused(tmp_path: Path, cipher: str) -> None:
    path = tmp_path / "a.db"
    with vfs_for(cipher, 1024) as vfs:
        with (
            contextlib.closing(connect(vfs, path)) as connection,
            pytest.raises(lumocrypt.UnsupportedFormatError, match="run PRAGMA page_size = 1024 before"),
        ):
            connection.execute("CREATE TABLE t (a)")
        with contextlib.closing(connect(vfs, path)) as connection:
            connection.execute("PRAGMA page_size=1024")
            connection.execute("CREATE TABLE t (a)")
        with contextlib.closing(connect(vfs, path)) as connection:
            connection.execute("PRAGMA page_size=4096")
            with pytest.raises(lumocrypt.UnsupportedFormatError, match="would have 4096 bytes"):
                connection.execute("VACUUM")
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_files_of_other_formats(tmp_path: Path, key: lumocrypt.Key) -> None:
    plain = make_plain(tmp_path / "plain.db")
    native = tmp_path / "native.db"
    lumocrypt.encrypt(plain, native, key=key)
    before = plain.read_bytes(), native.read_bytes()
    with vfs_for("adiantum") as vfs:
        with (
            contextlib.closing(connect(vfs, plain)) as connection,
            pytest.raises(lumocrypt.NotEncryptedError, match="plaintext database"),
        ):
            connection.execute("CREATE TABLE u (a)")
        with (
            contextlib.closing(connect(vfs, native)) as connection,
            pytest.raises(lumocrypt.UnsupportedFormatError, match=r"lumocrypt\.connect"),
        ):
            connection.execute("CREATE TABLE u (a)")
    assert (plain.read_bytes(), native.read_bytes()) == before


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_logs_of_others(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "a.db"
    mode = "wal" if suffix == "-wal" else "delete"
    plain = make_plain(tmp_path / "plain.db", journal_mode=mode)
    with contextlib.closing(sqlite3.connect(plain, isolation_level=None)) as stock:
        stock.execute("BEGIN")
        stock.execute("PRAGMA cache_size=1")
        stock.execute("UPDATE t SET data = zeroblob(1000)")
        if mode == "wal":
            stock.execute("COMMIT")
        foreign = log_of(plain, suffix).read_bytes()
    with vfs_for("adiantum") as vfs:
        make(vfs, path, 4096, mode).close()
        log_of(path, suffix).write_bytes(foreign)
        with (
            contextlib.closing(connect(vfs, path)) as connection,
            pytest.raises(lumocrypt.TamperedError, match=r"a plaintext .* lies beside"),
        ):
            connection.execute("SELECT * FROM t").fetchall()
        assert log_of(path, suffix).read_bytes() == foreign
        # Not this key's: SQLite ignores it, but a copy is kept.
        garbage = bytes(range(1, 256)) * 64
        log_of(path, suffix).write_bytes(garbage)
        with contextlib.closing(connect(vfs, path)) as connection:
            assert count(connection) == 100
        assert path.with_name(path.name + suffix + ".lumo-damaged").read_bytes() == garbage


class Snapshots:
    """Keeps what a kill after each write would leave of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken: list[dict[str, bytes]] = []
        self.armed = False

    def on_read(self, *_: object) -> None:
        pass

    def on_write(self, *_: object) -> None:
        if self.armed:
            self.taken.append({file.name: file.read_bytes() for file in self.folder.iterdir()})


@pytest.mark.parametrize("journal_mode", ["delete", "truncate", "persist"])
@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_transaction_over_two_databases_trap_6(cipher: str, journal_mode: str) -> None:
    """It is in both or in neither, whichever is opened first after a kill: SQLite looks for the
    super-journal's name at the end of journals, its own and the other's."""
    with fast_folder() as folder:
        snapshots = Snapshots(folder)
        with vfs_for(cipher, recorder=snapshots) as vfs, vfs_for(cipher) as reader:
            connection = make(vfs, folder / "main.db", 4096, journal_mode)
            connection.execute("ATTACH ? AS other", (str(folder / "other.db"),))
            connection.execute(f"PRAGMA other.journal_mode={journal_mode}")
            connection.execute("CREATE TABLE other.t (id INTEGER PRIMARY KEY, text, data BLOB)")
            connection.execute("INSERT INTO other.t SELECT * FROM main.t")
            connection.execute("BEGIN")
            for schema in ("main", "other"):
                connection.execute(f"UPDATE {schema}.t SET data = zeroblob(301)")
            snapshots.armed = True
            connection.execute("COMMIT")
            snapshots.armed = False
            connection.close()
            assert sum(any("-mj" in name for name in files) for files in snapshots.taken) > 5
            # A kill between the deletions that end the commit: without its super-journal it is one.
            last = next(files for files in reversed(snapshots.taken) if any("-mj" in name for name in files))
            last = {name: content for name, content in last.items() if "-mj" not in name}
            committed = [
                last,
                *({n: c for n, c in last.items() if n != f"{gone}.db-journal"} for gone in ("main", "other")),
            ]
            for files in [*snapshots.taken, *committed]:
                for order in (("main.db", "other.db"), ("other.db", "main.db")):
                    for file in folder.iterdir():
                        file.unlink()
                    for name, content in files.items():
                        (folder / name).write_bytes(content)
                    found = {name: changed_rows(reader, folder / name) for name in order}
                    assert found["main.db"] == found["other.db"], (order, sorted(files))
                    if files in committed:
                        assert found["main.db"] == 100


def changed_rows(vfs: lumocrypt.CryptoVFS, path: Path) -> int:
    with contextlib.closing(connect(vfs, path)) as connection:
        assert count(connection) == 100
        return int(connection.execute("SELECT count(*) FROM t WHERE length(data) = 301").fetchone()[0])


@pytest.mark.parametrize("cipher", CIPHERS)
def test_copies_of_a_database(tmp_path: Path, cipher: str) -> None:
    path = tmp_path / "a.db"
    with vfs_for(cipher) as vfs:
        with contextlib.closing(make(vfs, path, 4096)) as connection:
            connection.execute("VACUUM INTO ?", (str(tmp_path / "into.db"),))
            with contextlib.closing(connect(vfs, tmp_path / "backup.db")) as copy:
                connection.backup(copy)
            with contextlib.closing(sqlite3.connect(tmp_path / "plain.db")) as copy:
                connection.backup(copy)
                assert count(copy) == 100
        for name in ("into.db", "backup.db"):
            assert SQLITE_MAGIC not in (tmp_path / name).read_bytes()
            with contextlib.closing(connect(vfs, tmp_path / name)) as copy:
                assert count(copy) == 100


def test_attached_under_a_foreign_main_database(tmp_path: Path) -> None:
    """SQLite would sort its rows into clear temporary files."""
    path = tmp_path / "a.db"
    with vfs_for("adiantum") as vfs:
        make(vfs, path, 4096).close()
        with (
            contextlib.closing(sqlite3.connect("file::memory:", uri=True)) as stock,
            pytest.raises(lumocrypt.InUseError, match="another VFS"),
        ):
            stock.execute(f"ATTACH 'file:{path}?vfs={vfs.name}' AS a")


def test_pragmas(tmp_path: Path) -> None:
    with vfs_for("aes-256-xts") as vfs, contextlib.closing(make(vfs, tmp_path / "a.db", 4096)) as connection:
        assert connection.execute("PRAGMA lumo_cipher").fetchone() == ("aes-256-xts",)
        connection.execute("SELECT * FROM t").fetchone()
        status = connection.execute("PRAGMA lumo_status").fetchone()[0]
        assert '"format":"gosqlite"' in status
        assert '"state":"unlocked"' in status
        for pragma in ("lumo_key = 'x'", "lumo_cipher = 'adiantum'"):
            with pytest.raises(sqlite3.Error, match="this VFS was made with its"):
                connection.execute(f"PRAGMA {pragma}").fetchone()


def test_over_another_vfs(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with (
        vfs_for("adiantum", wrap_vfs="unix-dotfile") as vfs,
        contextlib.closing(connect(vfs, path)) as connection,
    ):
        connection.execute("CREATE TABLE t (a)")
        connection.execute("BEGIN IMMEDIATE")
        assert path.with_name("a.db.lock").exists()
        connection.execute("COMMIT")
    for name in ("no such vfs", "lumocrypt", "lumocrypt-unix"):
        with pytest.raises(ValueError, match="to encrypt"):
            lumocrypt.crypto_vfs(KEYS["adiantum"], wrap_vfs=name)


def test_closing_is_refused_while_a_database_is_open(tmp_path: Path) -> None:
    vfs = lumocrypt.crypto_vfs(KEYS["adiantum"])
    connection = make(vfs, tmp_path / "a.db", 4096)
    with pytest.raises(lumocrypt.InUseError, match="still open"):
        vfs.close()
    insert(connection, 10)
    assert not vfs.closed
    connection.close()
    vfs.close()
    vfs.close()
    assert vfs.closed
    with pytest.raises(sqlite3.OperationalError, match="no such vfs"):
        connect(vfs, tmp_path / "a.db")


def test_a_connection_without_files_outlives_its_vfs() -> None:
    vfs = lumocrypt.crypto_vfs(KEYS["adiantum"])
    connection = sqlite3.connect(f"file:?vfs={vfs.name}", uri=True)
    vfs.close()
    connection.execute("PRAGMA temp_store=FILE")
    connection.execute("PRAGMA cache_size=1")
    connection.execute("SELECT datetime('now'), random()").fetchone()
    with pytest.raises(sqlite3.Error):
        connection.execute(
            "CREATE TABLE t AS WITH n(a) AS (VALUES (1) UNION ALL SELECT a + 1 FROM n LIMIT 99999) "
            "SELECT randomblob(100) FROM n"
        )
    connection.close()


def test_an_exception_is_not_hidden_by_a_connection_that_it_keeps_open(tmp_path: Path) -> None:
    def fail(vfs: lumocrypt.CryptoVFS) -> None:
        connection = connect(vfs, tmp_path / "a.db")
        connection.execute("CREATE TABLE t (a)")
        raise KeyError("x")

    with pytest.raises(KeyError), vfs_for("adiantum") as vfs:
        fail(vfs)
    gc.collect()
    vfs.close()


def test_the_end_of_a_process_with_everything_open(tmp_path: Path) -> None:
    script = f"""
import sqlite3, threading, lumocrypt
class Recorder:
    def on_read(self, *args): pass
    on_write = on_read
vfs = lumocrypt.crypto_vfs(bytes(32), recorder=Recorder())
connection = sqlite3.connect("file:{tmp_path}/a.db?vfs=" + vfs.name, uri=True, check_same_thread=False)
connection.execute("CREATE TABLE t (a)")
connection.execute("INSERT INTO t VALUES (1)")
def work():
    while True:
        connection.execute("SELECT count(*) FROM t").fetchall()
threading.Thread(target=work, daemon=True).start()
"""
    for _ in range(5):
        (tmp_path / "a.db").unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("cipher", CIPHERS)
def test_the_callers_key_may_be_wiped(tmp_path: Path, cipher: str) -> None:
    path = tmp_path / "a.db"
    key = bytearray(KEYS[cipher])
    with lumocrypt.crypto_vfs(key, cipher) as vfs:
        key[:] = bytes(len(key))
        make(vfs, path, 4096).close()
    with (
        lumocrypt.crypto_vfs(memoryview(KEYS[cipher]), cipher) as vfs,
        contextlib.closing(connect(vfs, path)) as again,
    ):
        assert count(again) == 100


def test_keys_and_other_arguments_that_are_refused() -> None:
    for cipher, key in [("adiantum", bytes(64)), ("aes-256-xts", bytes(32)), ("adiantum", b"")]:
        with pytest.raises(ValueError, match=rf"a key for {cipher} is (32|64) bytes, not {len(key)}"):
            lumocrypt.crypto_vfs(key, cipher)
    with pytest.raises(ValueError, match="halves"):
        lumocrypt.crypto_vfs(bytes(range(32)) * 2, "aes-256-xts")
    for value in ("x" * 32, 7, None):
        with pytest.raises(TypeError, match="is 32 bytes, not"):
            lumocrypt.crypto_vfs(value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="adiantum and aes-256-xts"):
        lumocrypt.crypto_vfs(bytes(32), "aes-256-gcm")
    for page_size in (0, 256, 1000, 131072, -1, "4096"):
        with pytest.raises(ValueError, match="power of two from 512 to 65536"):
            lumocrypt.crypto_vfs(bytes(32), page_size=page_size)  # type: ignore[arg-type]


def test_a_traceback_does_not_show_the_key() -> None:
    secret = b"a secret of some 33 bytes, as it!"
    try:
        lumocrypt.crypto_vfs(secret)
    except ValueError as error:
        frame = error.__traceback__
        assert frame is not None
        frame = frame.tb_next
        while frame is not None:
            assert all(value is not secret for value in frame.tb_frame.f_locals.values())
            frame = frame.tb_next

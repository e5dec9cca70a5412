"""``connect``: arguments, keys, and what it refuses."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import lumocrypt
from support.bytes_on_disk import flip
from support.known_keys import FAST, RAW
from support.peers import Peer
from support.plaintext import MARKER, fill
from support.unprivileged import Unprivileged


def count(connection: sqlite3.Connection) -> int:
    try:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]
    finally:
        connection.close()


def test_creates_and_reopens(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    connection = lumocrypt.connect(path, key="pass", kdf=FAST)
    assert type(connection) is sqlite3.Connection
    fill(connection)
    connection.close()
    content = path.read_bytes()
    assert b"SQLite format 3" not in content
    assert MARKER.encode() not in content
    assert count(lumocrypt.connect(path, key="pass")) == 500
    assert count(lumocrypt.connect(path, "pass")) == 500


def test_every_way_to_name_a_file(
    tmp_path: Path, key: lumocrypt.Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "100% of a?b#c d.db"
    monkeypatch.chdir(tmp_path)
    fill(lumocrypt.connect(path, key=key))
    for name in (path, str(path), os.fsencode(path), path.name, os.path.relpath(path)):
        assert count(lumocrypt.connect(name, key=key)) == 500
    assert os.listdir(tmp_path) == [path.name]


def test_uri_parameters_are_kept(encrypted: Path, key: lumocrypt.Key) -> None:
    uri = encrypted.as_uri()
    connection = lumocrypt.connect(uri + "?mode=ro", key=key, uri=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM t")
    connection.close()
    assert count(lumocrypt.connect(uri + "?immutable=1", key=key, uri=True)) == 500
    assert count(lumocrypt.connect(uri + "?vfs=unix-excl", key=key, uri=True)) == 500
    assert count(lumocrypt.connect(uri + "?vfs=lumocrypt-unix", key=key, uri=True)) == 500
    with pytest.raises(sqlite3.OperationalError, match="no such vfs: nonsense"):
        lumocrypt.connect(uri + "?vfs=nonsense", key=key, uri=True)
    missing = encrypted.with_name("missing.db")
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        lumocrypt.connect(missing.as_uri() + "?mode=rw", key=key, uri=True)
    assert not missing.exists()


def test_shared_cache_checks_every_key(encrypted: Path, key: lumocrypt.Key) -> None:
    uri = encrypted.as_uri() + "?cache=shared"
    first = lumocrypt.connect(uri, key=key, uri=True)
    assert first.execute("SELECT count(*) FROM t").fetchone() == (500,)
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.connect(uri, key="x'" + "11" * 32 + "'", uri=True)
    assert count(lumocrypt.connect(uri, key=key, uri=True)) == 500
    first.close()


def test_sqlite3_arguments_pass_through(encrypted: Path, key: lumocrypt.Key) -> None:
    class Mine(sqlite3.Connection):
        pass

    connection = lumocrypt.connect(
        encrypted, key=key, factory=Mine, isolation_level=None, timeout=0.1, check_same_thread=False
    )
    assert type(connection) is Mine
    assert connection.isolation_level is None
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(count(connection)))
    thread.start()
    thread.join()
    assert seen == [500]
    typed = lumocrypt.connect(encrypted, key=key, detect_types=lumocrypt.PARSE_COLNAMES)
    lumocrypt.register_converter("shout", lambda raw: raw.decode().upper())
    assert typed.execute("SELECT 'a' AS \"x [shout]\"").fetchone() == ("A",)
    typed.close()
    with pytest.raises(TypeError):
        lumocrypt.connect(encrypted, key=key, no_such_argument=1)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in Python 3.12")
def test_autocommit(encrypted: Path, key: lumocrypt.Key) -> None:
    connection = lumocrypt.connect(encrypted, key=key, autocommit=False)
    assert connection.autocommit is False  # type: ignore[attr-defined]
    assert connection.in_transaction
    connection.close()


def test_bad_arguments(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = tmp_path / "a.db"
    for arguments in (
        {"cipher": "rot13"},
        {"cipher": "sha256"},
        {"cipher": "checksum"},
        {"kdf": "paranoid"},
        {"kdf": {"t": 1, "m": 8, "p": 1}},
        {"kdf": {"t": 3}},
        {"io": "mmap"},
        {"engine": "lmdb"},
        {"engine": "nonsense"},
    ):
        with pytest.raises(ValueError, match=r"."):
            lumocrypt.connect(path, key=key, **arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        lumocrypt.connect(path, key=key, kdf={"t": "3", "m": 65536, "p": 1})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        lumocrypt.connect(17, key=key)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="null"):
        lumocrypt.connect("a\0b", key=key)
    assert not path.exists()


@pytest.mark.parametrize("cipher", ["aegis-256", "aegis-256x2", "xchacha20-poly1305", "aes-256-gcm"])
def test_ciphers(tmp_path: Path, key: lumocrypt.Key, cipher: str) -> None:
    path = tmp_path / "app.db"
    fill(lumocrypt.connect(path, key=key, cipher=cipher))
    assert lumocrypt.info(path).cipher == cipher
    assert count(lumocrypt.connect(path, key=key)) == 500
    assert MARKER.encode() not in path.read_bytes()


def test_checksum_needs_no_key(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = tmp_path / "app.db"
    fill(lumocrypt.connect(path, cipher="checksum"))
    assert count(lumocrypt.connect(path)) == 500
    with pytest.raises(lumocrypt.NotEncryptedError):
        lumocrypt.connect(path, key=key)
    flip(path, 65536 + 9 * (4096 + 16) + 100)
    with pytest.raises(lumocrypt.TamperedError):
        lumocrypt.connect(path).execute("PRAGMA integrity_check").fetchall()


def test_kdf_costs_are_recorded(tmp_path: Path) -> None:
    for name, kdf in (("a.db", lumocrypt.Argon2id(t=2, m=19 * 1024, p=1)), ("b.db", "interactive")):
        fill(lumocrypt.connect(tmp_path / name, key="pass", kdf=kdf), 1)
    (slot,) = lumocrypt.info(tmp_path / "a.db").keyslots
    assert slot.kdf == lumocrypt.Argon2id(t=2, m=19456, p=1)
    (slot,) = lumocrypt.info(tmp_path / "b.db").keyslots
    assert slot.kdf == lumocrypt.PROFILES["interactive"] == lumocrypt.Argon2id(t=3, m=65536, p=4)


def test_the_kdf_runs_once_per_process_and_file(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    fill(lumocrypt.connect(path, key="pass", kdf=FAST), 1)
    lumocrypt.connect(path, key="pass").close()
    before = lumocrypt.stats()["kdf_runs"]
    for _ in range(20):
        lumocrypt.connect(path, key="pass").close()
    assert lumocrypt.stats()["kdf_runs"] == before


# Memory and temporary databases


def test_memory_takes_and_ignores_a_key() -> None:
    for key in (None, "pass", lumocrypt.Key.raw(RAW)):
        connection = lumocrypt.connect(":memory:", key=key)
        fill(connection, 10)
        assert count(connection) == 10


def test_named_memory_databases_are_shared() -> None:
    uri = "file:shared-one?mode=memory&cache=shared"
    first = lumocrypt.connect(uri, uri=True)
    fill(first, 10)
    assert count(lumocrypt.connect(uri, key="ignored", uri=True)) == 10
    first.close()


def test_a_temporary_database_is_encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lumocrypt.stats()["temporary"]
    connection = lumocrypt.connect("")
    connection.execute("PRAGMA cache_size=5")
    fill(connection, 2000)
    assert lumocrypt.stats()["temporary"] > before
    assert count(connection) == 2000


def test_the_sorter_of_a_memory_database_spills_encrypted() -> None:
    before = lumocrypt.stats()["temporary"]
    connection = lumocrypt.connect(":memory:")
    connection.execute("PRAGMA cache_size=5")
    connection.execute("PRAGMA temp_store=1")
    fill(connection, 20_000)
    connection.execute("CREATE INDEX spilled ON t (data, name)")
    assert lumocrypt.stats()["temporary"] > before
    connection.close()


# Where the key comes from


def test_unlock_and_lock(encrypted: Path, key: lumocrypt.Key, tmp_path: Path) -> None:
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.unlock(encrypted, "x'" + "11" * 32 + "'")
    lumocrypt.unlock(encrypted, key)
    link = tmp_path / "link.db"
    link.symlink_to(encrypted)
    for name in (encrypted, str(encrypted), link):
        assert count(lumocrypt.connect(name)) == 500
    assert lumocrypt.verify(encrypted).ok
    assert lumocrypt.lock(link)
    assert not lumocrypt.lock(encrypted)
    with pytest.raises(lumocrypt.KeyRequiredError):
        count(lumocrypt.connect(encrypted))
    with pytest.raises(lumocrypt.KeyRequiredError):
        lumocrypt.verify(encrypted)


def test_unlock_before_creation(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = tmp_path / "later.db"
    lumocrypt.unlock(path, key)
    fill(lumocrypt.connect(path))
    lumocrypt.lock(path)
    assert count(lumocrypt.connect(path, key=key)) == 500


def test_unlock_refuses_plaintext(plain: Path, key: lumocrypt.Key) -> None:
    with pytest.raises(lumocrypt.NotEncryptedError):
        lumocrypt.unlock(plain, key)


def test_the_environment_is_the_last_resort(
    encrypted: Path, key: lumocrypt.Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUMO_KEY", f"x'{RAW.hex()}'")
    assert count(lumocrypt.connect(encrypted)) == 500
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.connect(encrypted, key="x'" + "11" * 32 + "'")
    monkeypatch.setenv("LUMO_KEY", "x'" + "11" * 32 + "'")
    assert count(lumocrypt.connect(encrypted, key=key)) == 500
    lumocrypt.unlock(encrypted, key)
    try:
        assert count(lumocrypt.connect(encrypted)) == 500
    finally:
        lumocrypt.lock(encrypted)
    with pytest.raises(lumocrypt.WrongKeyError):
        count(lumocrypt.connect(encrypted))


def test_a_key_in_the_uri_warns(encrypted: Path) -> None:
    uri = f"{encrypted.as_uri()}?lumo_key=x'{RAW.hex()}'"
    with pytest.warns(UserWarning, match="URI"):
        connection = lumocrypt.connect(uri, uri=True)
    assert RAW.hex() not in repr(connection.execute("PRAGMA database_list").fetchall())
    assert count(connection) == 500
    wrong = f"{encrypted.as_uri()}?lumo_key=wrong"
    with pytest.warns(UserWarning, match="URI"), pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.connect(wrong, uri=True)
    with pytest.warns(UserWarning, match="URI"):
        assert count(lumocrypt.connect(wrong, key=lumocrypt.Key.raw(RAW), uri=True)) == 500


def test_the_name_that_sqlite_keeps_holds_no_key(encrypted: Path) -> None:
    """Audit hooks, traces and SQL functions see the name."""
    code = f"""
import sys, lumocrypt
seen = []
sys.addaudithook(lambda event, arguments: event.startswith("sqlite3") and seen.append(repr(arguments)))
lumocrypt.connect({str(encrypted)!r}, key="x'{RAW.hex()}'")
assert seen and not any({RAW.hex()!r} in text for text in seen), seen
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_keyless_then_pragma_creates(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = tmp_path / "new.db"
    connection = lumocrypt.connect(path)
    connection.execute(f"PRAGMA lumo_key = \"x'{RAW.hex()}'\"").fetchall()
    fill(connection)
    connection.close()
    assert count(lumocrypt.connect(path, key=key)) == 500


# What is refused


def test_a_directory(tmp_path: Path, key: lumocrypt.Key) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        lumocrypt.connect(tmp_path, key=key)


def test_a_missing_directory(tmp_path: Path, key: lumocrypt.Key) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        lumocrypt.connect(tmp_path / "none" / "a.db", key=key)


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_no_permission(unprivileged: Unprivileged, key: lumocrypt.Key, mode: int) -> None:
    path = unprivileged.folder / "app.db"
    fill(lumocrypt.connect(path, key=key))
    path.chmod(mode)
    unprivileged.drop()
    if mode:
        # As any SQLite: what cannot be opened for writing is opened for reading.
        connection = lumocrypt.connect(path, key=key)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM t")
        assert count(connection) == 500
    else:
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            lumocrypt.connect(path, key=key)
        for use in (lumocrypt.info, lambda path: lumocrypt.verify(path, key=key)):
            with pytest.raises(PermissionError):
                use(path)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        lumocrypt.connect(unprivileged.folder / "new.db", key=key)


# SQLite takes a file of one byte for an empty one (unixFileSize in os_unix.c).
@pytest.mark.parametrize("size", [2, 100, 512, 65536, 200_000])
def test_random_bytes(tmp_path: Path, key: lumocrypt.Key, size: int) -> None:
    path = tmp_path / "random.db"
    content = os.urandom(size)
    path.write_bytes(content)
    with pytest.raises(lumocrypt.CryptError) as caught:
        lumocrypt.connect(path, key=key).execute("CREATE TABLE t (a)")
    assert not isinstance(caught.value, lumocrypt.WrongKeyError)
    assert path.read_bytes() == content


# ATTACH


def test_attach(encrypted: Path, tmp_path: Path) -> None:
    other = tmp_path / "other 100%.db"
    other_key = lumocrypt.Key.raw(bytes(32))
    connection = lumocrypt.connect(encrypted, key=lumocrypt.Key.raw(RAW))
    lumocrypt.attach(connection, other, "second one", key=other_key)
    connection.execute('CREATE TABLE "second one".copy AS SELECT * FROM main.t')
    connection.close()
    fresh = lumocrypt.connect(other, key=other_key)
    assert fresh.execute("SELECT count(*) FROM copy").fetchone() == (500,)
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.attach(fresh, encrypted, "wrong", key=other_key)
    fresh.close()
    assert MARKER.encode() not in other.read_bytes()


def test_attach_to_memory(encrypted: Path, key: lumocrypt.Key) -> None:
    connection = lumocrypt.connect(":memory:")
    lumocrypt.attach(connection, encrypted, "app", key=key)
    assert connection.execute("SELECT count(*) FROM app.t").fetchone() == (500,)
    connection.close()


def test_attach_under_a_foreign_main_is_refused(plain: Path, encrypted: Path, key: lumocrypt.Key) -> None:
    """SQLite would sort the rows into temporary files of the other VFS, in clear."""
    for main in (plain.as_uri(), ":memory:"):
        connection = sqlite3.connect(main, uri=True)
        with pytest.raises(lumocrypt.CryptError, match="temporary files"):
            lumocrypt.attach(connection, encrypted, "app", key=key)
        assert [row[1] for row in connection.execute("PRAGMA database_list")] == ["main"]
        connection.close()


def test_attach_without_uri_never_makes_a_plaintext_file(
    plain: Path, tmp_path: Path, key: lumocrypt.Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    connection = sqlite3.connect(plain)
    with pytest.raises(sqlite3.Error):
        lumocrypt.attach(connection, "new.db", "other", key=key)
    connection.close()
    # Some builds of SQLite read every name as a URI, and create the file before they are refused.
    assert set(os.listdir(tmp_path)) <= {"plain.db", "new.db"}
    assert not (tmp_path / "new.db").exists() or (tmp_path / "new.db").stat().st_size == 0


# A DB-API module


def test_usable_as_a_db_api_module() -> None:
    assert lumocrypt.apilevel == "2.0"
    assert lumocrypt.paramstyle == sqlite3.paramstyle
    assert lumocrypt.threadsafety == sqlite3.threadsafety
    for name in ("Warning", "Error", "InterfaceError", "DatabaseError", "DataError", "OperationalError"):
        assert getattr(lumocrypt, name) is getattr(sqlite3, name)
    for name in ("IntegrityError", "InternalError", "ProgrammingError", "NotSupportedError"):
        assert getattr(lumocrypt, name) is getattr(sqlite3, name)
    for name in (
        "Date",
        "Time",
        "Timestamp",
        "DateFromTicks",
        "TimeFromTicks",
        "TimestampFromTicks",
        "Binary",
    ):
        assert getattr(lumocrypt, name) is getattr(sqlite3, name)
    for name in ("Row", "Connection", "Cursor", "Blob", "sqlite_version_info", "SQLITE_DENY", "SQLITE_AUTH"):
        assert getattr(lumocrypt, name) == getattr(sqlite3, name)
    with pytest.raises(AttributeError):
        lumocrypt.no_such_name  # noqa: B018
    with pytest.raises(AttributeError):
        lumocrypt.SQLITE_NO_SUCH_CONSTANT  # noqa: B018


# Processes


def test_several_processes(encrypted: Path, key: lumocrypt.Key, peer: Callable[..., Peer]) -> None:
    other = peer(encrypted, RAW)
    connection = lumocrypt.connect(encrypted, key=key, isolation_level=None, timeout=0.2)
    connection.execute("DELETE FROM t WHERE id <= 100")
    assert other.run("SELECT count(*) FROM t") == {"rows": [[400]]}
    assert other.run("BEGIN IMMEDIATE") == {"rows": []}
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        connection.execute("DELETE FROM t")
    other.kill()
    assert count(connection) == 400


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_keeps_unlocked_keys(encrypted: Path, key: lumocrypt.Key) -> None:
    code = f"""
import os, lumocrypt
lumocrypt.unlock({str(encrypted)!r}, lumocrypt.Key.raw(bytes(range(32))))
pid = os.fork()
rows = lumocrypt.connect({str(encrypted)!r}).execute("SELECT count(*) FROM t").fetchone()
assert rows == (500,), rows
if pid:
    assert os.waitpid(pid, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True)

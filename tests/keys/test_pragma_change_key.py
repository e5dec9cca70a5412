"""``PRAGMA lumo_change_key``: another key in the place of the one that the connection was opened with."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

import lumocrypt
from support.known_keys import FAST, RAW
from support.peers import Peer
from support.plaintext import make_plain

PASS = "correct horse"
#: What SQL, or a shell, could stumble over.
STRANGE = ["it's", "'; DROP TABLE t; --", '"double"', "x", "пароль ☃", "100%", "a b\tc", "`", "\\", "-- no"]


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A database with a passphrase."""
    path = make_plain(tmp_path / "a ?#%.db", rows=50)
    lumocrypt.encrypt(path, key=PASS, kdf=FAST)
    return path


def rows(path: Path, key: lumocrypt.Key | str) -> int:
    with contextlib.closing(lumocrypt.connect(path, key=key)) as connection:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def rekey(connection: Any, key: str) -> list[tuple[Any, ...]]:
    return connection.execute("PRAGMA lumo_change_key = '{}'".format(key.replace("'", "''"))).fetchall()


def opened(path: Path, key: lumocrypt.Key | str = PASS, **options: Any) -> Any:
    return contextlib.closing(lumocrypt.connect(path, key=key, isolation_level=None, **options))


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_it_just_works(locked: Path, mode: str, first: bool) -> None:
    """In autocommit, whether or not the connection has looked at the database yet."""
    with opened(locked) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}").fetchall()
    with opened(locked) as connection:
        if not first:
            connection.execute("SELECT count(*) FROM t").fetchall()
        assert rekey(connection, "new") == [("ok",)]
        connection.execute("INSERT INTO t (name) VALUES ('x')")
        assert connection.execute("PRAGMA lumo_key = 'new'").fetchall() == [("ok",)]
        with pytest.raises(lumocrypt.WrongKeyError):
            connection.execute(f"PRAGMA lumo_key = '{PASS}'")
    assert rows(locked, "new") == 51
    with pytest.raises(lumocrypt.WrongKeyError):
        rows(locked, PASS)
    info = lumocrypt.info(locked)
    assert info.copies == {"a": "ok", "b": "ok"}
    assert [slot.kdf for slot in info.keyslots] == [lumocrypt.Argon2id(**FAST)], "as dear as before"
    assert lumocrypt.verify(locked, key="new").ok


def test_the_data_key_stays(locked: Path) -> None:
    before = locked.read_bytes()
    with opened(locked) as connection:
        rekey(connection, "new")
    after = locked.read_bytes()
    assert after[65536:] == before[65536:]
    assert lumocrypt.info(locked).key_id == before[48:64].hex()


def test_raw_keys_both_ways(locked: Path) -> None:
    with opened(locked) as connection:
        rekey(connection, f"x'{RAW.hex()}'")
    assert [slot.type for slot in lumocrypt.keyslots(locked)] == ["raw"]
    with opened(locked, lumocrypt.Key.raw(RAW)) as connection:
        rekey(connection, "back")
        with pytest.raises(sqlite3.Error, match="64 hexadecimal"):
            rekey(connection, "x'12'")
    assert rows(locked, "back") == 50


def test_once_is_enough(locked: Path) -> None:
    """A pragma runs when it is prepared, may run again when it is executed again, and runs under EXPLAIN."""
    with opened(locked) as connection:
        connection.execute("EXPLAIN PRAGMA lumo_change_key = 'new'").fetchall()
        generation = lumocrypt.info(locked).generation
        runs = lumocrypt.stats()["kdf_runs"]
        for _ in range(3):
            assert rekey(connection, "new") == [("ok",)]
        assert lumocrypt.info(locked).generation == generation == 2
        assert lumocrypt.stats()["kdf_runs"] == runs
    with opened(locked, "new") as one, opened(locked, "new") as other:
        rekey(one, "newer")
        # Of the very statement that another connection has executed.
        assert rekey(other, "newer") == [("ok",)]
    assert rows(locked, "newer") == 50


def test_a_connection_whose_key_was_removed(locked: Path) -> None:
    lumocrypt.add_key(locked, key=PASS, new_key="spare", kdf=FAST)
    with opened(locked, "spare") as connection:
        lumocrypt.remove_key(locked, key="spare")
        with pytest.raises(lumocrypt.WrongKeyError, match="any more"):
            rekey(connection, "new")
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (50,)
    assert len(lumocrypt.keyslots(locked)) == 1


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_within_transactions(locked: Path, mode: str) -> None:
    with opened(locked) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}").fetchall()
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM t").fetchall()
        assert rekey(connection, "one") == [("ok",)]
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t (name) VALUES ('x')")
        assert rekey(connection, "two") == [("ok",)]
        # It is no part of the transaction.
        connection.execute("ROLLBACK")
        connection.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall()
        connection.execute("INSERT INTO t (name) VALUES ('x')")
        assert rekey(connection, "three") == [("ok",)]
    assert rows(locked, "three") == 51
    assert lumocrypt.verify(locked, key="three").ok


def test_a_hot_journal_is_rolled_back_first(locked: Path, peer: Callable[..., Peer], tmp_path: Path) -> None:
    """A lock alone would hide it from readers, who would see half a transaction."""
    lumocrypt.add_key(locked, key=PASS, new_key=lumocrypt.Key.raw(RAW))
    crashing = peer(locked, RAW)
    for sql in (
        "PRAGMA cache_size=2",
        "BEGIN",
        "UPDATE t SET data = randomblob(300)",
        "DELETE FROM t WHERE id < 20",
    ):
        assert "rows" in crashing.run(sql)
    crashing.kill()
    assert locked.with_name(locked.name + "-journal").stat().st_size
    with opened(locked) as connection:
        assert rekey(connection, "new") == [("ok",)]
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (50,)
    assert lumocrypt.verify(locked, key="new").ok


def test_another_writer_is_waited_for_and_named(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(locked) as writer, opened(locked) as connection:
        writer.execute("BEGIN IMMEDIATE")
        before = locked.read_bytes()
        with pytest.raises(lumocrypt.InUseError, match="writing"):
            rekey(connection, "new")
        assert locked.read_bytes() == before
        writer.execute("ROLLBACK")
        assert rekey(connection, "new") == [("ok",)]


def test_what_has_no_key_to_change(locked: Path, tmp_path: Path) -> None:
    with opened(locked) as connection:
        with pytest.raises(sqlite3.Error, match="needs the new key"):
            connection.execute("PRAGMA lumo_change_key")
        with pytest.raises(sqlite3.Error, match="empty"):
            rekey(connection, "")
        connection.execute("ATTACH ? AS heir", (str(tmp_path / "heir.db"),))
        with pytest.raises(sqlite3.Error, match="does not exist yet"):
            connection.execute("PRAGMA heir.lumo_change_key = 'new'")
        connection.execute("CREATE TABLE heir.t AS SELECT * FROM t")
        with pytest.raises(sqlite3.Error, match="key change"):
            connection.execute("PRAGMA heir.lumo_change_key = 'new'")
        lumocrypt.attach(connection, tmp_path / "own.db", "own", PASS, kdf=FAST)
        connection.execute("CREATE TABLE own.t AS SELECT * FROM t")
        assert connection.execute("PRAGMA own.lumo_change_key = 'new'").fetchall() == [("ok",)]
    assert (rows(tmp_path / "own.db", "new"), rows(locked, PASS), rows(tmp_path / "heir.db", PASS)) == (
        50,
        50,
        50,
    )
    with pytest.raises(lumocrypt.KeyRequiredError), opened(locked, None) as connection:  # pyright: ignore[reportArgumentType]
        rekey(connection, "new")
    uri = f"file:{tmp_path}/own.db?vfs=lumocrypt&mode=ro&lumo_key=new"
    with (
        contextlib.closing(sqlite3.connect(uri, uri=True)) as connection,
        pytest.raises(sqlite3.OperationalError, match="reading only"),
    ):
        rekey(connection, "newer")
    make_plain(tmp_path / "sums.db", rows=1)
    lumocrypt.encrypt(tmp_path / "sums.db", key=None, cipher="checksum")
    with (
        contextlib.closing(lumocrypt.connect(tmp_path / "sums.db", cipher="checksum")) as connection,
        pytest.raises(lumocrypt.NotEncryptedError),
    ):
        rekey(connection, "new")


@pytest.mark.parametrize("key", STRANGE)
def test_quotes_and_other_signs(locked: Path, key: str) -> None:
    with opened(locked) as connection:
        assert rekey(connection, key) == [("ok",)]
    assert rows(locked, lumocrypt.Key.passphrase(key)) == 50


def test_from_apsw(locked: Path) -> None:
    connection = apsw.Connection(":memory:")
    lumocrypt.load(connection)
    connection.close()
    name = str(locked).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = apsw.Connection(
        f"file:{name}?vfs=lumocrypt", flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
    )
    assert list(connection.execute(f"PRAGMA lumo_key = '{PASS}'")) == [("ok",)]
    assert list(connection.execute("PRAGMA lumo_change_key = 'it''s new'")) == [("ok",)]
    assert list(connection.execute("SELECT count(*) FROM t")) == [(50,)]
    with pytest.raises(apsw.Error):
        connection.execute(f"PRAGMA lumo_key = '{PASS}'")
    connection.close()
    assert rows(locked, "it's new") == 50


def test_from_the_shell(locked: Path) -> None:
    if shutil.which("sqlite3") is None:
        pytest.skip("there is no sqlite3 shell")
    name = str(locked).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    script = f"""
.load {lumocrypt.loadable_path()}
.open 'file:{name}?vfs=lumocrypt'
PRAGMA lumo_key = '{PASS}';
PRAGMA lumo_change_key = 'it''s new';
SELECT count(*) FROM t;
"""
    done = subprocess.run(["sqlite3", "-bail"], input=script.encode(), capture_output=True, check=False)
    assert (done.stdout.split(), done.stderr) == ([b"ok", b"ok", b"50"], b"")
    assert rows(locked, "it's new") == 50

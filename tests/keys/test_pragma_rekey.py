"""``PRAGMA lumo_rekey``: another data key for the whole database, from SQL."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from support.known_keys import FAST
from support.plaintext import make_plain

PASS, NEW = "correct horse", "it's new"
IN_SQL = NEW.replace("'", "''")
REKEY = f"PRAGMA lumo_rekey = '{IN_SQL}'"


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A database with a passphrase and a few hundred blocks."""
    path = make_plain(tmp_path / "a ?#%.db", rows=5000)
    lumocrypt.encrypt(path, key=PASS, kdf=FAST)
    return path


def opened(path: Path, key: lumocrypt.Key | str | None = PASS, **options: Any) -> Any:
    return contextlib.closing(lumocrypt.connect(path, key=key, isolation_level=None, **options))


def rows(path: Path, key: lumocrypt.Key | str) -> int:
    with opened(path, key) as connection:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_every_block_is_sealed_under_another_data_key(locked: Path, mode: str) -> None:
    """And the old header, with the old key, opens nothing of it any more."""
    with opened(locked) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}").fetchall()
        connection.execute("INSERT INTO t (name) VALUES ('before')")
        old = lumocrypt.info(locked)
        header = locked.read_bytes()[:65536]
        assert connection.execute(REKEY).fetchall() == [("ok",)]
        connection.execute("INSERT INTO t (name) VALUES ('after')")
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (5002,)
    found = lumocrypt.info(locked)
    assert found.key_id != old.key_id
    assert (found.uuid, found.rekeying) == (old.uuid, False)
    assert rows(locked, NEW) == 5002
    assert lumocrypt.verify(locked, key=NEW).ok
    with pytest.raises(lumocrypt.WrongKeyError):
        rows(locked, PASS)
    with locked.open("r+b") as file:
        file.write(header)
    with pytest.raises(lumocrypt.TamperedError):
        rows(locked, PASS)


def test_the_same_key_is_a_new_data_key(locked: Path) -> None:
    old = lumocrypt.info(locked).key_id
    with opened(locked) as connection:
        connection.execute(f"PRAGMA lumo_rekey = '{PASS}'")
    assert lumocrypt.info(locked).key_id != old
    assert rows(locked, PASS) == 5000


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "SAVEPOINT s"])
def test_not_inside_a_transaction(locked: Path, mode: str, begin: str) -> None:
    with opened(locked) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}").fetchall()
        connection.execute(begin)
        connection.execute("SELECT count(*) FROM t").fetchone()
        old = lumocrypt.info(locked)
        with pytest.raises(sqlite3.OperationalError, match="end this one first, with COMMIT or ROLLBACK"):
            connection.execute(REKEY)
        assert lumocrypt.info(locked) == old
        connection.execute("ROLLBACK")
        assert connection.execute(REKEY).fetchall() == [("ok",)]


def test_only_a_key_that_was_shown(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what the process knows: any SQL could change that, and lock the owner out."""
    monkeypatch.setenv("LUMO_KEY", PASS)
    old = lumocrypt.info(locked).key_id
    for name in ("lumo_rekey", "lumo_change_key"):
        with (
            opened(locked, None) as connection,
            pytest.raises(sqlite3.OperationalError, match="has not shown a key"),
        ):
            connection.execute(f"PRAGMA {name} = 'taken over'")
    assert lumocrypt.info(locked).key_id == old
    assert rows(locked, PASS) == 5000
    with opened(locked, None) as connection:
        connection.execute(f"PRAGMA lumo_key = '{PASS}'")
        assert connection.execute(REKEY).fetchall() == [("ok",)]


def test_other_keyslots_need_their_keys(locked: Path) -> None:
    """Which SQL cannot give: they are not dropped unasked."""
    lumocrypt.add_key(locked, key=PASS, new_key="another", kdf=FAST)
    old = lumocrypt.info(locked)
    with opened(locked) as connection, pytest.raises(lumocrypt.KeyRequiredError):
        connection.execute(REKEY)
    assert lumocrypt.info(locked) == old
    assert rows(locked, "another") == 5000


@pytest.mark.parametrize("key", [PASS, NEW])
def test_an_interrupted_change_is_taken_up(locked: Path, key: str) -> None:
    """By a connection that has the old key since before, and by one with the new key."""

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with opened(locked) as connection:
        connection.execute("SELECT count(*) FROM t").fetchone()
        with pytest.raises(KeyboardInterrupt):
            lumocrypt.rekey(locked, key=PASS, new_key=NEW, progress=stop)
        begun = lumocrypt.info(locked)
        if key == PASS:
            assert connection.execute(REKEY).fetchall() == [("ok",)]
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (5000,)
        else:
            with opened(locked, NEW) as other:
                assert other.execute(REKEY).fetchall() == [("ok",)]
                assert other.execute("SELECT count(*) FROM t").fetchone() == (5000,)
    found = lumocrypt.info(locked)
    assert (found.key_id, found.rekeying) == (begun.key_id, False)
    assert lumocrypt.verify(locked, key=NEW).ok


def test_others_go_on(locked: Path) -> None:
    """With their key, which is as good as before: they have seen nothing of the change while it went on."""
    with opened(locked) as connection, opened(locked) as other:
        connection.execute("PRAGMA journal_mode=wal").fetchall()
        other.execute("INSERT INTO t (name) VALUES ('x')")
        connection.execute(f"PRAGMA lumo_rekey = '{PASS}'")
        other.execute("INSERT INTO t (name) VALUES ('y')")
        assert other.execute("SELECT count(*) FROM t").fetchone() == (5002,)
    assert rows(locked, PASS) == 5002


def test_a_writer_keeps_it_out(locked: Path) -> None:
    with opened(locked) as connection, opened(locked) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(lumocrypt.InUseError, match="another connection is writing"):
            connection.execute(REKEY)
        writer.execute("ROLLBACK")
        assert connection.execute(REKEY).fetchall() == [("ok",)]


def test_what_has_no_data_key_to_change(tmp_path: Path, locked: Path) -> None:
    with (
        opened(locked) as connection,
        pytest.raises(sqlite3.OperationalError, match="needs the key from now on"),
    ):
        connection.execute("PRAGMA lumo_rekey")
    sums = make_plain(tmp_path / "sums.db", rows=1)
    lumocrypt.encrypt(sums, key=None, cipher="checksum")
    with (
        opened(sums, None) as connection,
        pytest.raises(lumocrypt.NotEncryptedError, match="only checksummed"),
    ):
        connection.execute(REKEY)
    copy = tmp_path / "copy.db"
    shutil.copy(locked, copy)
    copy.chmod(0o600)
    with (
        contextlib.closing(lumocrypt.connect(f"file:{copy}?mode=ro", PASS, uri=True)) as connection,
        pytest.raises(sqlite3.OperationalError, match="reading only"),
    ):
        connection.execute(REKEY)

"""ATTACH across keys, and transactions over several files."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

import pytest

import lumocrypt
from support.sql_database import OTHER_RAW, RAW, assert_sound, assert_verified, connect, count, make, opened

MODES = ["delete", "truncate", "persist", "wal"]


def test_attach_with_another_key(tmp_path: Path) -> None:
    main = make(tmp_path / "main.db")
    other = make(tmp_path / "other.db", OTHER_RAW, rows=30)
    with opened(main) as connection:
        lumocrypt.attach(connection, other, "other", lumocrypt.Key.raw(OTHER_RAW))
        assert count(connection, "other.t") == 30
        connection.execute("INSERT INTO other.t (name) SELECT name FROM main.t")
        assert connection.execute(
            "SELECT count(*) FROM main.t AS a JOIN other.t AS b ON a.name = b.name AND b.id > 30"
        ).fetchone() == (100,)
        connection.execute("VACUUM other")
        connection.execute("DETACH other")
    assert_verified(main)
    assert_verified(other, OTHER_RAW)


def test_attach_by_uri(tmp_path: Path) -> None:
    main = make(tmp_path / "main.db")
    other = make(tmp_path / "other.db", OTHER_RAW, rows=30)
    with opened(main) as connection:
        key = quote(f"x'{OTHER_RAW.hex()}'")
        connection.execute("ATTACH ? AS other", (f"file:{other}?lumo_key={key}",))
        assert count(connection, "other.t") == 30


def test_attach_with_the_wrong_key_or_none(tmp_path: Path) -> None:
    main = make(tmp_path / "main.db")
    other = make(tmp_path / "other.db", OTHER_RAW, rows=30)
    with opened(main) as connection:
        with pytest.raises(lumocrypt.WrongKeyError):
            lumocrypt.attach(connection, other, "other", lumocrypt.Key.raw(RAW))
        with pytest.raises(lumocrypt.KeyRequiredError):
            connection.execute("ATTACH ? AS other", (str(other),))
        assert count(connection) == 100
        assert [row[1] for row in connection.execute("PRAGMA database_list")] == ["main"]


def test_attach_of_a_new_file(tmp_path: Path) -> None:
    """Beside an encrypted main database a new file takes over its key, or gets the one given; never none."""
    with opened(make(tmp_path / "main.db")) as connection:
        connection.execute("ATTACH ? AS heir", (str(tmp_path / "heir.db"),))
        lumocrypt.attach(connection, tmp_path / "own.db", "own", lumocrypt.Key.raw(OTHER_RAW))
        for name in ("heir", "own"):
            connection.execute(f"CREATE TABLE {name}.t AS SELECT * FROM main.t")
    for name, raw in (("heir", RAW), ("own", OTHER_RAW)):
        path = tmp_path / f"{name}.db"
        assert b"SQLite format" not in path.read_bytes()
        assert_verified(path, raw)
        with opened(path, raw) as connection:
            assert count(connection) == 100
    assert lumocrypt.info(tmp_path / "heir.db").key_id == lumocrypt.info(tmp_path / "main.db").key_id
    assert lumocrypt.info(tmp_path / "heir.db").uuid != lumocrypt.info(tmp_path / "main.db").uuid


def _three_files(folder: Path, mode: str) -> sqlite3.Connection:
    """A main database with two attached ones, each under a key of its own."""
    for name, raw in (("a", RAW), ("b", OTHER_RAW), ("c", bytes(32))):
        make(folder / f"{name}.db", raw, journal_mode=mode)
    connection = connect(folder / "a.db")
    lumocrypt.attach(connection, folder / "b.db", "b", lumocrypt.Key.raw(OTHER_RAW))
    lumocrypt.attach(connection, folder / "c.db", "c", lumocrypt.Key.raw(bytes(32)))
    return connection


@pytest.mark.parametrize("mode", MODES)
def test_transactions_over_several_files(tmp_path: Path, mode: str) -> None:
    connection = _three_files(tmp_path, mode)
    connection.execute("PRAGMA cache_size=5")

    def counts() -> list[int]:
        return [count(connection, f"{name}.t") for name in ("main", "b", "c")]

    for end, wanted in (
        ("COMMIT", [200, 200, 200]),
        ("ROLLBACK", [200, 200, 200]),
        ("COMMIT", [400, 400, 400]),
    ):
        connection.execute("BEGIN")
        for name in ("main", "b", "c"):
            # More than the caches hold, so that pages spill before the end.
            connection.execute(
                f"INSERT INTO {name}.t (name, data) SELECT name, randomblob(3000) FROM {name}.t"
            )
        connection.execute("SAVEPOINT s")
        connection.execute("DELETE FROM main.t WHERE id % 2")
        connection.execute("DELETE FROM c.t")
        connection.execute("ROLLBACK TO s")
        connection.execute(end)
        assert counts() == wanted
        # No super-journal is left, and in DELETE mode no journal.
        assert not list(tmp_path.glob("*-mj*"))
        assert mode != "delete" or not list(tmp_path.glob("*-journal"))
    connection.close()
    for name, raw in (("a", RAW), ("b", OTHER_RAW), ("c", bytes(32))):
        assert_verified(tmp_path / f"{name}.db", raw)
        with opened(tmp_path / f"{name}.db", raw) as one:
            assert_sound(one)
            assert count(one) == 400


def test_a_plaintext_database_is_not_attached_by_chance(tmp_path: Path) -> None:
    """Through the encrypted main database's VFS a plaintext file is refused unless it is asked for."""
    plain = make(tmp_path / "plain.db", None)
    with opened(make(tmp_path / "main.db")) as connection:
        with pytest.raises(lumocrypt.NotEncryptedError):
            connection.execute("ATTACH ? AS plain", (str(plain),))
        connection.execute("ATTACH ? AS plain", (f"file:{plain}?lumo_plain=1",))
        connection.execute("BEGIN")
        connection.execute("INSERT INTO plain.t SELECT id + 1000, name, data FROM main.t")
        connection.execute("DELETE FROM main.t")
        connection.execute("COMMIT")
    with opened(plain, None) as connection:
        assert count(connection) == 200
        assert_sound(connection)

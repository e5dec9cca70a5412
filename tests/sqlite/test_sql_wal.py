"""The write-ahead log as SQL sees it: checkpoints beside readers, limits, spills, savepoints."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

import lumocrypt
from support.crash import crashed
from support.sql_database import (
    RAW,
    add,
    assert_sound,
    assert_verified,
    connect,
    content,
    count,
    make,
    opened,
)

KINDS = ["passive", "full", "restart", "truncate"]


def wal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints_beside_readers(tmp_path: Path, kind: str) -> None:
    """A reader keeps its snapshot, whatever is checkpointed; all answers are as without encryption."""
    answers = []
    for name, raw in (("plain.db", None), ("encrypted.db", RAW)):
        path = make(tmp_path / name, raw, journal_mode="wal")
        writer, reader, late = (connect(path, raw, timeout=0) for _ in range(3))
        found = []
        for turn in range(4):
            add(writer, 30)
            reader.execute("BEGIN")
            seen = count(reader)
            add(writer, 30)
            writer.execute("UPDATE t SET data = zeroblob(700) WHERE id % 4 = 0")
            found.append(writer.execute(f"PRAGMA wal_checkpoint({kind})").fetchall())
            assert count(reader) == seen
            assert reader.execute("SELECT max(length(data)) FROM t WHERE id % 4 = 0").fetchone() is not None
            assert count(late) == seen + 30
            if turn % 2:
                reader.execute("COMMIT")
                found.append(writer.execute(f"PRAGMA wal_checkpoint({kind})").fetchall())
                assert count(reader) == seen + 30
            else:
                reader.execute("ROLLBACK")
            add(writer, 5)
            assert_sound(late)
            assert count(reader) == seen + 35
        answers.append(found)
        for connection in (writer, reader, late):
            connection.close()
    assert answers[0] == answers[1]
    assert_verified(tmp_path / "encrypted.db")


def test_wal_autocheckpoint(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", journal_mode="wal")
    with opened(path) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=10")
        for _ in range(40):
            add(connection, 10)
        assert wal_of(path).stat().st_size < 60 * 4200
        connection.execute("PRAGMA wal_autocheckpoint=0")
        before = path.read_bytes()[0xA000:]
        for _ in range(40):
            add(connection, 10)
        assert path.read_bytes()[0xA000:] == before
        assert wal_of(path).stat().st_size > 40 * 4200
        assert_sound(connection)
    assert not wal_of(path).exists()
    assert_verified(path)


@pytest.mark.parametrize("limit", [0, 20_000])
def test_journal_size_limit(tmp_path: Path, limit: int) -> None:
    """After a checkpoint the WAL is cut to the limit; after a commit the persistent journal is."""
    path = make(tmp_path / "a.db", journal_mode="wal")
    with opened(path) as connection:
        connection.execute(f"PRAGMA journal_size_limit={limit}")
        add(connection, 400)
        connection.execute("PRAGMA wal_checkpoint(RESTART)")
        assert wal_of(path).stat().st_size > 200_000
        add(connection, 1)
        assert wal_of(path).stat().st_size < 50_000
        copy = crashed(path, tmp_path / "crash")
        assert connection.execute("PRAGMA journal_mode=persist").fetchone() == ("persist",)
        connection.execute("UPDATE t SET data = zeroblob(600)")
        journal = path.with_name("a.db-journal")
        assert journal.stat().st_size <= limit + 200
        add(connection, 10)
        assert_sound(connection)
    with opened(copy) as connection:
        assert count(connection) == 501
        assert_sound(connection)
    assert_verified(path)


def test_persist_wal_file_control(tmp_path: Path) -> None:
    """SQLITE_FCNTL_PERSIST_WAL: the log stays, cut to nothing, and the database opens without it as well."""
    path = make(tmp_path / "a.db", journal_mode="wal")
    host = apsw.Connection(":memory:")
    lumocrypt.load(host)
    connection = apsw.Connection(
        f"file:{path}?vfs=lumocrypt", flags=apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE
    )
    connection.execute(f"PRAGMA lumo_key = \"x'{RAW.hex()}'\"").fetchall()
    connection.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, _address_of_one())
    connection.execute("INSERT INTO t (name) VALUES ('kept')")
    connection.close()
    assert wal_of(path).exists()
    with opened(path) as other:
        assert count(other) == 101
        add(other, 10)
    assert_verified(path)
    with opened(path) as other:
        assert count(other) == 111


def _address_of_one() -> int:
    import ctypes

    one = ctypes.c_int(1)
    # Kept for as long as the module: SQLite reads it through the address.
    _kept.append(one)
    return ctypes.addressof(one)


_kept: list[object] = []


@pytest.mark.parametrize("locking_mode", ["normal", "exclusive"])
@pytest.mark.parametrize("page_size", [1024, 4096, 16384])
def test_spills_and_savepoints(tmp_path: Path, locking_mode: str, page_size: int) -> None:
    """A cache of a few pages: frames are written, read back and written over before the commit."""
    contents = []
    for name, raw in (("plain.db", None), ("encrypted.db", RAW)):
        path = make(tmp_path / name, raw, journal_mode="wal", page_size=page_size, rows=300)
        with opened(path, raw) as connection:
            connection.execute(f"PRAGMA locking_mode={locking_mode}")
            connection.execute("PRAGMA cache_size=4")
            for turn in range(6):
                connection.execute("BEGIN")
                connection.execute("UPDATE t SET data = zeroblob(?)", (900 + turn,))
                connection.execute("SAVEPOINT one")
                connection.execute("UPDATE t SET name = name || 'x' WHERE id % 3 = 0")
                connection.execute("SAVEPOINT two")
                connection.execute("DELETE FROM t WHERE id % 2 = 0")
                connection.execute("ROLLBACK TO one")
                assert_sound(connection)
                connection.execute("UPDATE t SET data = zeroblob(?) WHERE id % 5 = 0", (40 + turn,))
                connection.execute("RELEASE one")
                connection.execute("COMMIT" if turn % 3 else "ROLLBACK")
            # What a crash now leaves is all that was committed.
            if locking_mode == "normal":
                copy = crashed(path, tmp_path / f"crash-{name}")
                with opened(copy, raw) as recovered:
                    assert content(recovered) == content(connection)
            contents.append(content(connection))
    assert contents[0] == contents[1]
    assert_verified(tmp_path / "encrypted.db")


def test_large_transactions(tmp_path: Path) -> None:
    """Some 40 MB in one transaction, in a WAL and in a journal, committed and rolled back."""
    path = make(tmp_path / "a.db", rows=0)
    with opened(path) as connection:
        connection.execute("PRAGMA synchronous=off")
        for mode in ("wal", "delete"):
            assert connection.execute(f"PRAGMA journal_mode={mode}").fetchone() == (mode,)
            connection.execute("BEGIN")
            connection.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "
                "INSERT INTO t (name, data) SELECT i, randomblob(8000) FROM n"
            )
            connection.execute("COMMIT")
            rows = count(connection)
            before = connection.execute("SELECT total(length(data)), max(data) FROM t").fetchone()
            connection.execute("BEGIN")
            connection.execute("UPDATE t SET data = zeroblob(7000)")
            connection.execute("ROLLBACK")
            assert count(connection) == rows
            assert connection.execute("SELECT total(length(data)), max(data) FROM t").fetchone() == before
        assert rows == 5000
        assert_sound(connection)
    assert_verified(path)


@pytest.mark.parametrize("temp_store", [0, 1, 2])
def test_statement_journals_and_temporary_tables(tmp_path: Path, temp_store: int) -> None:
    before = lumocrypt.stats()["temporary"]
    path = make(tmp_path / "a.db", rows=2000)
    with opened(path) as connection:
        connection.execute(f"PRAGMA temp_store={temp_store}")
        connection.execute("PRAGMA cache_size=4")
        connection.execute("CREATE UNIQUE INDEX u ON t (id, name)")
        connection.execute("BEGIN")
        add(connection, 50)
        with pytest.raises(lumocrypt.IntegrityError):
            # Fails at the last row; the statement journal takes the others back.
            connection.execute("UPDATE t SET data = zeroblob(650), id = CASE id WHEN 2050 THEN 1 ELSE id END")
        assert connection.execute("SELECT count(*) FROM t WHERE length(data) = 500").fetchone() == (2050,)
        connection.execute("CREATE TEMP TABLE x AS SELECT * FROM t")
        connection.execute("PRAGMA temp.cache_size=4")
        connection.execute("SAVEPOINT s")
        connection.execute("UPDATE x SET data = randomblob(2000)")
        connection.execute("ROLLBACK TO s")
        assert (
            connection.execute("SELECT * FROM x ORDER BY id").fetchall()
            == connection.execute("SELECT * FROM t ORDER BY id").fetchall()
        )
        ordered = connection.execute("SELECT data FROM x UNION ALL SELECT data FROM t ORDER BY 1").fetchall()
        assert ordered == sorted(ordered)
        connection.execute("COMMIT")
        assert_sound(connection)
    assert_verified(path)
    if temp_store < 2:
        assert lumocrypt.stats()["temporary"] > before


def test_a_size_learned_before_the_log_was_opened_does_not_outlive_a_checkpoint(tmp_path: Path) -> None:
    """A connection in exclusive locking mode asks for the size, is refused the lock, and tries again later.

    It holds SHARED in between, which keeps nobody from checkpointing: what was known of the size is not true
    any more, and pages behind it would be taken for a gap.
    """
    path = make(tmp_path / "a.db", journal_mode="wal")
    others = connect(path, RAW, timeout=0)
    count(others)
    alone = connect(path, RAW, timeout=0)
    alone.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall()
    with pytest.raises(lumocrypt.OperationalError, match="locked"):
        count(alone)
    for rows in (60, 1):
        add(others, rows)
        others.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
    expected = content(others)
    others.execute("PRAGMA user_version=7")
    others.close()
    assert content(alone) == expected
    alone.execute("PRAGMA user_version=8")
    alone.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
    assert content(alone) == expected
    add(alone, 1)
    alone.close()
    with opened(path) as again:
        assert_sound(again)
        assert set(expected) < set(content(again))
    assert_verified(path)

"""Logs beside a main file that does not exist: they are moved aside, and a new database is made."""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import RAW

KILLED = """
import lumocrypt, os, sys
connection = lumocrypt.connect(sys.argv[1], key=lumocrypt.Key.raw(bytes(range(32))), isolation_level=None)
connection.execute("PRAGMA journal_mode = " + sys.argv[2])
connection.execute("CREATE TABLE t (a)")
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN")
connection.executemany("INSERT INTO t VALUES (randomblob(2000))", [()] * 100)
if sys.argv[2] == "wal":
    connection.execute("COMMIT")
os.kill(os.getpid(), 9)
"""


def killed(path: Path, mode: str) -> Path:
    """A database without its main file: only the log of a killed process is left."""
    subprocess.run([sys.executable, "-c", KILLED, str(path), mode], check=False, timeout=60)
    path.unlink()
    log = Path(f"{path}-{'wal' if mode == 'wal' else 'journal'}")
    assert log.stat().st_size > 0
    return log


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_new_database_is_made_and_the_log_is_kept(tmp_path: Path, key: lumocrypt.Key, mode: str) -> None:
    path = tmp_path / "a.db"
    for turn, name in enumerate(("", "-1", "-2")):
        log = killed(path, mode)
        content = log.read_bytes()
        connection = lumocrypt.connect(path, key=key, isolation_level=None)
        assert connection.execute("SELECT * FROM sqlite_schema").fetchall() == []
        connection.execute("CREATE TABLE u (a)")
        connection.execute("INSERT INTO u VALUES (1)")
        connection.close()
        assert not log.exists()
        kept = Path(f"{log}.lumo-orphaned{name}")
        assert kept.read_bytes() == content
        assert len(list(tmp_path.glob("*.lumo-orphaned*"))) == turn + 1
        connection = lumocrypt.connect(path, key=key)
        assert connection.execute("SELECT * FROM u").fetchall() == [(1,)]
        connection.close()
        assert lumocrypt.verify(path, key=key)
        path.unlink()


def test_an_emptied_main_file_stays_an_error(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = tmp_path / "a.db"
    log = killed(path, "wal")
    path.touch()
    content = log.read_bytes()
    for _ in range(2):
        with pytest.raises(lumocrypt.TamperedError, match="empty"):
            lumocrypt.connect(path, key=key).execute("SELECT * FROM sqlite_schema")
    assert log.read_bytes() == content
    assert list(tmp_path.glob("*.lumo-orphaned*")) == []


def test_nothing_is_moved_by_who_may_not_make_the_database(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = tmp_path / "a.db"
    log = killed(path, "wal")
    content = log.read_bytes()
    for access in ("ro", "rw"):
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            lumocrypt.connect(f"file:{path}?mode={access}", key=key, uri=True)
    lumocrypt.connect(path, key=key).close()
    # Opened and not used; from now on there is an empty file.
    assert log.read_bytes() == content


def test_the_main_file_comes_back(tmp_path: Path, key: lumocrypt.Key) -> None:
    """Moved away and found again, with the log under its name it is what it was."""
    path = tmp_path / "a.db"
    subprocess.run([sys.executable, "-c", KILLED, str(path), "wal"], check=False, timeout=60)
    path.rename(tmp_path / "moved.db")
    connection = lumocrypt.connect(path, key=key)
    connection.execute("CREATE TABLE u (a)")
    connection.close()
    shutil.copy(tmp_path / "a.db-wal.lumo-orphaned", tmp_path / "moved.db-wal")
    connection = lumocrypt.connect(tmp_path / "moved.db", key=key)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (100,)
    connection.close()


def test_others_wait_for_who_is_making_it(tmp_path: Path, key: lumocrypt.Key) -> None:
    """Between the making of the file and the first look at its logs, which may be long, it is not cut."""
    path = tmp_path / "a.db"
    log = killed(path, "wal")
    maker = lumocrypt.connect(path, key=key, isolation_level=None)
    assert path.stat().st_size == 0
    other = lumocrypt.connect(path, key=key, timeout=0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match=r"locked|another connection"):
        other.execute("SELECT * FROM sqlite_schema")
    maker.execute("CREATE TABLE u (a)")
    assert other.execute("SELECT count(*) FROM u").fetchone() == (0,)
    assert log.exists() is False
    other.close()
    maker.close()


def create(path: str) -> int:
    connection = lumocrypt.connect(path, key=lumocrypt.Key.raw(RAW), timeout=60, isolation_level=None)
    connection.execute("CREATE TABLE IF NOT EXISTS u (a)")
    connection.execute("INSERT INTO u VALUES (1)")
    connection.close()
    return 1


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_many_make_it_at_once(tmp_path: Path, key: lumocrypt.Key, mode: str) -> None:
    """No log of the new database is taken for the old one."""
    path = tmp_path / "a.db"
    killed(path, mode)
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert sum(pool.map(create, [str(path)] * 12)) == 12
    connection = lumocrypt.connect(path, key=key)
    assert connection.execute("SELECT count(*) FROM u").fetchone() == (12,)
    connection.close()
    assert len(list(tmp_path.glob("*.lumo-orphaned*"))) == 1

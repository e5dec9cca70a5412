"""No permission and no space: a clear error, and everything that was there still is."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from support.operations import (
    KEY,
    by_name,
    digest,
    query,
    verify,
    write,
)
from support.plaintext import make_plain
from support.tiny import make_tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny(tmp_path / "tiny.db")


# Permissions


_AS_NOBODY = """
import os, sys
import asyncio, logging, lumocrypt
lumocrypt.connect(":memory:").close(), lumocrypt.encrypt, lumocrypt.info, lumocrypt.verify
os.setgroups([]); os.setgid(65534); os.setuid(65534)
key = lumocrypt.Key.raw(bytes(range(32)))
path, operation = sys.argv[1:]
try:
    if operation == "query":
        lumocrypt.connect(path, key=key).execute("SELECT * FROM t").fetchall()
    elif operation == "write":
        lumocrypt.connect(path, key=key).execute("CREATE TABLE written (a)")
    elif operation == "encrypt":
        lumocrypt.encrypt(path, key=key)
    elif operation == "decrypt":
        lumocrypt.decrypt(path, key=key)
    else:
        getattr(lumocrypt, operation)(path, **({} if operation == "info" else {"key": key}))
except BaseException as error:
    print(type(error).__name__, "|", error)
else:
    print("fine")
"""

_needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can become nobody")


@pytest.fixture
def reachable(tiny: Path) -> Iterator[Path]:
    """A database in a folder that everybody may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="lumocrypt-") as folder:
        Path(folder).chmod(0o755)
        yield shutil.copy(tiny, Path(folder) / "tiny.db")


def as_nobody(path: Path, operation: str) -> str:
    """What a process without rights says."""
    done = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, str(path), operation], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@_needs_root
@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("query", "OperationalError | unable to open database file"),
        ("verify", "PermissionError"),
        ("info", "PermissionError"),
        ("decrypt", "PermissionError"),
        ("encrypt", "PermissionError"),
    ],
)
def test_a_file_that_may_not_be_read(reachable: Path, operation: str, expected: str) -> None:
    reachable.chmod(0o600)
    before = digest(reachable.parent)
    assert as_nobody(reachable, operation).startswith(expected)
    assert digest(reachable.parent) == before


@_needs_root
@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("query", "fine"),
        ("verify", "fine"),
        ("info", "fine"),
        ("write", "OperationalError | attempt to write a readonly database"),
        ("decrypt", "PermissionError"),
    ],
)
def test_a_file_that_may_only_be_read(reachable: Path, operation: str, expected: str) -> None:
    reachable.chmod(0o644)
    before = digest(reachable.parent)
    assert as_nobody(reachable, operation).startswith(expected)
    assert digest(reachable.parent) == before


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT TESTED: no file system can be mounted here to fill it")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(folder: Path, leave: int) -> Path:
    """Leaves that many bytes free."""
    ballast = folder / "ballast"
    free = os.statvfs(folder)
    ballast.write_bytes(bytes(free.f_bavail * free.f_bsize - leave))
    return ballast


@pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST", "WAL", "MEMORY"])
def test_a_disk_that_fills_up_in_a_transaction(small_disk: Path, mode: str) -> None:
    path = make_tiny(small_disk / "tiny.db")
    connection = lumocrypt.connect(path, key=KEY, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={mode}")
    right = connection.execute("SELECT * FROM t").fetchall()
    ballast = fill_up(small_disk, 8192)
    connection.execute("BEGIN")
    many = (
        "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n LIMIT 200) "
        "INSERT INTO t SELECT i, '', randomblob(4000) FROM n; COMMIT"
    )
    with pytest.raises(sqlite3.OperationalError, match="full") as caught:
        connection.executescript(many)
    assert caught.value.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    assert connection.execute("SELECT * FROM t").fetchall() == right
    connection.close()
    ballast.unlink()
    assert query(path, KEY) == right
    assert verify(path, KEY).ok


def test_a_full_disk_when_a_database_is_made(small_disk: Path) -> None:
    for leave in (0, 4096, 40_000, 65_536, 70_000):
        path = small_disk / f"new-{leave}.db"
        ballast = fill_up(small_disk, leave)
        with pytest.raises(sqlite3.OperationalError, match=r"full|disk I/O"):
            write(path, KEY)
        ballast.unlink()
        # What is left behind is still a new database.
        write(path, KEY)
        assert verify(path, KEY).ok
        path.unlink()


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("operation", [lumocrypt.encrypt, lumocrypt.decrypt], ids=by_name)
def test_a_full_disk_when_a_file_is_converted(small_disk: Path, operation: Any, in_place: bool) -> None:
    path = small_disk / "app.db"
    if operation is lumocrypt.encrypt:
        make_plain(path, rows=300)
    else:
        make_plain(path, rows=300)
        lumocrypt.encrypt(path, key=KEY)
    fill_up(small_disk, 20_000)
    before = digest(small_disk)
    with pytest.raises(OSError) as caught:  # noqa: PT011
        operation(path, None if in_place else small_disk / "other.db", key=KEY)
    assert caught.value.errno == errno.ENOSPC
    assert digest(small_disk) == before

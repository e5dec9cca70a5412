"""Fixtures that many tests share."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lumocrypt

#: A raw key: no key derivation, so tests that do not care about passphrases are fast.
RAW = bytes(range(32))
#: The cheapest costs that are accepted.
FAST = {"t": 2, "m": 19 * 1024, "p": 1}
#: A text that no file may contain in clear.
MARKER = "the quick brown marker"


# By itself a second thread writes only what comes fast; tests meet it everywhere. Said before any test says
# something else for itself: the engine asks once.
os.environ.setdefault("LUMO_THREADS", "2")


@pytest.fixture(autouse=True, scope="session")
def _second_thread(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("first") / "first.db"
    lumocrypt.connect(path, key=lumocrypt.Key.raw(RAW)).close()


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUMO_KEY", raising=False)


@pytest.fixture
def key() -> lumocrypt.Key:
    return lumocrypt.Key.raw(RAW)


#: File systems on which the engine maps files (engine/crates/sqlite/src/vfs/map.rs).
MAPPED = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "ramfs", "zfs", "jfs", "nilfs2"})


@pytest.fixture
def mapped_folder(tmp_path: Path) -> Path:
    """A folder whose files are mapped."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    kind = max((len(at), kind) for at, kind in mounts if tmp_path.is_relative_to(at))[1]
    if kind not in MAPPED:
        pytest.skip(f"files on {kind} are not mapped")
    return tmp_path


def fill(connection: sqlite3.Connection, rows: int = 500) -> None:
    """A table with an index, over several pages."""
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
    connection.executemany(
        "INSERT INTO t (name, data) VALUES (?, ?)",
        ((f"{MARKER} {i}", bytes([i % 256]) * 200) for i in range(rows)),
    )
    connection.execute("CREATE INDEX by_name ON t (name)")
    connection.commit()


def make_plain(path: Path, rows: int = 500, *, journal_mode: str = "delete", page_size: int = 4096) -> Path:
    """A plaintext database, closed cleanly."""
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA page_size={page_size}")
    connection.execute(f"PRAGMA journal_mode={journal_mode}")
    fill(connection, rows)
    connection.close()
    return path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return make_plain(tmp_path / "plain.db")


@pytest.fixture
def encrypted(tmp_path: Path, key: lumocrypt.Key) -> Path:
    path = tmp_path / "app.db"
    connection = lumocrypt.connect(path, key=key)
    fill(connection)
    connection.close()
    return path


def flip(path: Path, offset: int, mask: int = 1) -> None:
    """Changes one byte."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


class Peer:
    """Another process with a connection of its own; ``run`` executes SQL there."""

    def __init__(
        self, database: Path | str, raw_key: bytes | None, environment: dict[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-u", str(Path(__file__).with_name("peer.py")), str(database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        assert self._process.stdin is not None
        # Not in the arguments: these are what ps shows.
        self._process.stdin.write((raw_key.hex() if raw_key else "") + "\n")
        self._process.stdin.flush()
        self.opened = self._answer()

    def run(self, sql: str) -> dict[str, Any]:
        """``{"rows": [...]}`` or ``{"error": class, "message": text}``."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(sql) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the peer died"
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def kill(self) -> None:
        """As a crash: nothing is closed."""
        self._process.kill()
        self._process.wait(30)


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def start(database: Path | str, raw_key: bytes | None = None, **options: Any) -> Peer:
        peers.append(Peer(database, raw_key, **options))
        return peers[-1]

    yield start
    for one in peers:
        one.kill()


class Unprivileged:
    """A folder that may be read and, after :meth:`drop`, not be written by this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root = os.geteuid() == 0

    def drop(self) -> None:
        """Root may do everything, so it becomes somebody else."""
        self.folder.chmod(0o555)
        if self._root:
            os.setresuid(65534, 65534, 0)

    def restore(self) -> None:
        if self._root:
            os.setresuid(0, 0, 0)
        self.folder.chmod(0o755)


@pytest.fixture
def unprivileged() -> Iterator[Unprivileged]:
    # Not below tmp_path, whose parents only their owner may enter.
    one = Unprivileged(Path(tempfile.mkdtemp()))
    yield one
    one.restore()
    shutil.rmtree(one.folder)


# Started in the background by a shell, a test run ignores SIGINT, and so would the programs whose handling of
# it is tested.
with contextlib.suppress(ValueError):
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

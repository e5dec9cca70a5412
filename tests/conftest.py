"""Fixtures that many tests share."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from support.known_keys import FAST, RAW
from support.operations import PASSPHRASE
from support.peers import Peer
from support.plaintext import fill, make_plain
from support.unprivileged import Unprivileged

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


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def start(database: Path | str, raw_key: bytes | None = None, **options: Any) -> Peer:
        peers.append(Peer(database, raw_key, **options))
        return peers[-1]

    yield start
    for one in peers:
        one.kill()


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


@pytest.fixture(scope="module")
def with_passphrase(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a database with a passphrase slot."""
    path = tmp_path_factory.mktemp("passphrase") / "tiny.db"
    make_plain(path, rows=5)
    lumocrypt.encrypt(path, key=PASSPHRASE, kdf=FAST)
    return path.read_bytes()

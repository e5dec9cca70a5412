"""The gosqlite format between this package and a program in Go, which shares nothing with the engine: files
that one of them writes are read by the other, live logs included.

The program is not gosqlite itself. It has the same cipher libraries, and the rules of docs/gosqlite.md.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

import lumocrypt
from conftest import make_plain
from make_golden_gosqlite import KEYS, content, leave
from support.crash import crashed
from support.interop import Interop, built

PAGE_SIZES = [512, 1024, 4096, 16384, 65536]
STATES = ["closed", "journal", "wal"]


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Interop:
    return built(tmp_path_factory.mktemp("go"))


def content_of(path: Path, vfs: lumocrypt.CryptoVFS | None = None) -> str:
    name = "unix" if vfs is None else vfs.name
    connection = sqlite3.connect(f"file:{path}?vfs={name}", uri=True)
    with contextlib.closing(connection):
        return content(connection)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("cipher", KEYS)
def test_go_writes(go: Interop, tmp_path: Path, cipher: str, page_size: int, state: str) -> None:
    connection = leave(tmp_path / "plain.db", page_size, state)
    if state == "closed":
        connection.close()
    copy = crashed(tmp_path / "plain.db", tmp_path / "crash")
    connection.close()
    logs = {"journal": ["-journal"], "wal": ["-wal"], "closed": []}[state]
    assert go.seal(copy, tmp_path / "sealed.db", KEYS[cipher], cipher, page_size) == ["", *logs]
    with lumocrypt.crypto_vfs(KEYS[cipher], cipher, page_size) as vfs:
        found = content_of(tmp_path / "sealed.db", vfs)
    assert found == content_of(copy)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("cipher", KEYS)
def test_go_reads(go: Interop, tmp_path: Path, cipher: str, page_size: int, state: str) -> None:
    with lumocrypt.crypto_vfs(KEYS[cipher], cipher, page_size) as vfs:
        connection = leave(tmp_path / "live.db", page_size, state, vfs.name)
        if state == "closed":
            connection.close()
        copy = crashed(tmp_path / "live.db", tmp_path / "crash")
        connection.close()
        logs = {"journal": ["-journal"], "wal": ["-wal"], "closed": []}[state]
        assert go.open(copy, tmp_path / "plain.db", KEYS[cipher], cipher, page_size) == ["", *logs]
        if state == "journal":
            # What was never committed is in the main file, until the journal is played back.
            main = sqlite3.connect(f"file:{tmp_path / 'plain.db'}?immutable=1", uri=True)
            names = {row[0] for row in main.execute("SELECT name FROM t")}
            main.close()
            assert "never committed" in names
        found = content_of(copy, vfs)
    assert content_of(tmp_path / "plain.db") == found


@pytest.mark.parametrize("cipher", KEYS)
def test_conversions_are_those_of_go(go: Interop, tmp_path: Path, cipher: str) -> None:
    plain = make_plain(tmp_path / "plain.db")
    go.seal(plain, tmp_path / "go.db", KEYS[cipher], cipher, 4096)
    lumocrypt.encrypt(plain, tmp_path / "ours.db", key=KEYS[cipher], cipher=cipher, format="gosqlite")
    assert (tmp_path / "ours.db").read_bytes() == (tmp_path / "go.db").read_bytes()
    lumocrypt.decrypt(tmp_path / "go.db", key=KEYS[cipher], cipher=cipher, format="gosqlite")
    assert (tmp_path / "go.db").read_bytes() == plain.read_bytes()


@pytest.mark.parametrize("cipher", KEYS)
@pytest.mark.parametrize("passphrase", ["x", "Grüße, 世界", "p" * 300])
def test_derived_keys(go: Interop, cipher: str, passphrase: str) -> None:
    salt = b"sixteen bytes and more"
    assert lumocrypt.derive_key(passphrase, salt, cipher) == go.derive(passphrase, salt, cipher)

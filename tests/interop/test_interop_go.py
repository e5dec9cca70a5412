"""The gosqlite format between this package and a program in Go, which shares nothing with the engine: files
that one of them writes are read by the other, live logs included.

The program is not gosqlite itself. It has the same cipher libraries, and the rules of
docs/reference/gosqlite.md: those of newer versions, whose logs are in blocks of 512 bytes, and those of
older ones.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

import lumocrypt
from make_golden_gosqlite import KEYS, content, leave
from support.crash import crashed
from support.interop import Interop, built
from support.plaintext import make_plain

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


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("cipher", KEYS)
def test_go_writes(go: Interop, tmp_path: Path, cipher: str, page_size: int, state: str, older: bool) -> None:
    connection = leave(tmp_path / "plain.db", page_size, state)
    if state == "closed":
        connection.close()
    copy = crashed(tmp_path / "plain.db", tmp_path / "crash")
    connection.close()
    logs = {"journal": ["-journal"], "wal": ["-wal"], "closed": []}[state]
    sealed = go.seal(copy, tmp_path / "sealed.db", KEYS[cipher], cipher, page_size, older=older)
    assert sealed == ["", *logs]
    with lumocrypt.crypto_vfs(KEYS[cipher], cipher, page_size) as vfs:
        found = content_of(tmp_path / "sealed.db", vfs)
    assert found == content_of(copy)
    assert not list(tmp_path.glob("*.lumo-damaged"))


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


@pytest.mark.parametrize("state", ["journal", "wal"])
@pytest.mark.parametrize("page_size", [1024, 4096, 16384])
@pytest.mark.parametrize("cipher", KEYS)
def test_a_log_of_an_older_version_that_we_continued(
    go: Interop, tmp_path: Path, cipher: str, page_size: int, state: str
) -> None:
    """A WAL stays in its blocks, for those who have it open; the next journal is one of now."""
    connection = leave(tmp_path / "plain.db", page_size, state)
    copy = crashed(tmp_path / "plain.db", tmp_path / "crash")
    connection.close()
    go.seal(copy, tmp_path / "live.db", KEYS[cipher], cipher, page_size, older=True)
    with lumocrypt.crypto_vfs(KEYS[cipher], cipher, page_size) as vfs:
        ours = sqlite3.connect(f"file:{tmp_path / 'live.db'}?vfs={vfs.name}", uri=True, isolation_level=None)
        ours.execute("INSERT INTO t (name) VALUES ('and ours')")
        found = content(ours)
        ours.execute("PRAGMA cache_size=1")
        ours.execute("BEGIN")
        ours.execute("UPDATE t SET name = 'never committed', data = zeroblob(length(data))")
        again = crashed(tmp_path / "live.db", tmp_path / "again")
        ours.close()
    older = state == "wal"
    assert len(go.open(again, tmp_path / "opened.db", KEYS[cipher], cipher, page_size, older=older)) == 2
    assert content_of(tmp_path / "opened.db") == found


@pytest.mark.parametrize(("block", "page"), [(4096, 1024), (4096, 16384), (512, 4096), (65536, 512)])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("cipher", KEYS)
def test_blocks_that_are_not_pages(
    go: Interop, tmp_path: Path, cipher: str, state: str, block: int, page: int
) -> None:
    """gosqlite takes any page size in blocks of any size."""
    connection = leave(tmp_path / "plain.db", page, state)
    if state == "closed":
        connection.close()
    copy = crashed(tmp_path / "plain.db", tmp_path / "crash")
    connection.close()
    go.seal(copy, tmp_path / "sealed.db", KEYS[cipher], cipher, block)
    with lumocrypt.crypto_vfs(KEYS[cipher], cipher, block) as vfs:
        found = content_of(tmp_path / "sealed.db", vfs)
    assert found == content_of(copy)


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

"""Main files of the gosqlite format whose blocks are not SQLite's pages: gosqlite takes any two sizes."""

from __future__ import annotations

import contextlib
import itertools
import random
import sqlite3
from pathlib import Path

import pytest

import lumocrypt
from support.crash import crashed, log_of
from support.gosqlite import KEYS, MAIN, connect, count, encrypt_xts, insert
from support.plaintext import MARKER

SIZES = (512, 1024, 4096, 16384, 65536)
PAIRS = [pair for pair in itertools.product(SIZES, SIZES) if pair[0] != pair[1]]
KEY = KEYS["aes-256-xts"]
#: Little to tell the blocks by: one page and a schema, or rows of random bytes.
CONTENTS = ("rows", "schema", "noise")


def database(path: Path, block: int, page: int, content: str = "rows") -> bytes:
    """A database of pages in blocks, under AES-XTS; what it is in clear."""
    plain = path.with_suffix(".plain")
    with contextlib.closing(sqlite3.connect(plain, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size={page}")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text, data BLOB)")
        if content == "rows":
            insert(connection, 200)
        elif content == "noise":
            rows = [(f"{MARKER} {row}", random.Random(row).randbytes(3 * page)) for row in range(20)]
            connection.executemany("INSERT INTO t (text, data) VALUES (?, ?)", rows)
    clear = plain.read_bytes()
    plain.unlink()
    # Older versions leave noise behind the last page.
    padding = random.Random(1).randbytes(-len(clear) % block)
    path.write_bytes(encrypt_xts(clear + padding, MAIN, block))
    return clear


def vfs_of(block: int) -> lumocrypt.CryptoVFS:
    return lumocrypt.crypto_vfs(KEY, "aes-256-xts", block)


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize(("block", "page"), PAIRS)
def test_it_is_read_and_written(tmp_path: Path, block: int, page: int, journal_mode: str) -> None:
    path = tmp_path / "a.db"
    database(path, block, page)
    with vfs_of(block) as vfs:
        with contextlib.closing(connect(vfs, path)) as connection:
            assert connection.execute("PRAGMA page_size").fetchone() == (page,)
            assert count(connection) == 200
            assert connection.execute(f"PRAGMA journal_mode={journal_mode}").fetchone() == (journal_mode,)
            insert(connection, 100 + page // 50)
            rows = count(connection)
            connection.execute("PRAGMA cache_size=1")
            connection.execute("BEGIN")
            connection.execute("UPDATE t SET data = zeroblob(900)")
            connection.execute("DELETE FROM t WHERE id % 2")
            copy = crashed(path, tmp_path / "crashed")
            connection.execute("ROLLBACK")
            connection.execute("VACUUM")
        assert log_of(copy, "-wal" if journal_mode == "wal" else "-journal").exists()
        for one in (copy, path):
            with contextlib.closing(connect(vfs, one)) as again:
                assert count(again) == rows
                assert again.execute("SELECT count(*) FROM t WHERE length(data) != 300").fetchone() == (0,)
        assert path.stat().st_size % block == 0


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize(("block", "page"), PAIRS)
def test_another_size_is_advised_against(tmp_path: Path, block: int, page: int, content: str) -> None:
    path = tmp_path / "a.db"
    clear = database(path, block, page, content)
    before = path.read_bytes()
    for given in SIZES:
        with vfs_of(given) as vfs, contextlib.closing(connect(vfs, path)) as connection:
            if given == block:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                # SQLite's copy has no padding.
                assert connection.serialize() == clear
                continue
            with pytest.raises(lumocrypt.UnsupportedFormatError) as caught:
                connection.execute("SELECT * FROM t").fetchall()
            assert f"page_size is {block} in the file, which is not the {page} bytes" in str(caught.value)
            assert f"make the VFS with page_size={block}" in str(caught.value)
            with pytest.raises(lumocrypt.UnsupportedFormatError):
                connection.execute("CREATE TABLE u (a)")
    assert path.read_bytes() == before


@pytest.mark.parametrize(("block", "page"), PAIRS)
def test_it_is_converted(tmp_path: Path, block: int, page: int) -> None:
    """The size of the blocks is found out, and the copy ends with the last page."""
    path = tmp_path / "a.db"
    clear = database(path, block, page)
    options = {"key": KEY, "cipher": "aes-256-xts", "format": "gosqlite"}
    lumocrypt.decrypt(path, tmp_path / "clear.db", **options)  # type: ignore[arg-type]
    assert (tmp_path / "clear.db").read_bytes() == clear
    lumocrypt.convert(path, new_format="gosqlite", new_cipher="adiantum", new_key=bytes(32), **options)  # type: ignore[arg-type]
    assert path.stat().st_size == len(clear)
    with (
        lumocrypt.crypto_vfs(bytes(32), page_size=page) as vfs,
        contextlib.closing(connect(vfs, path)) as connection,
    ):
        assert count(connection) == 200


def test_the_first_page_may_be_torn_beside_a_journal(tmp_path: Path) -> None:
    """The journal restores it, whatever its pages are."""
    path = tmp_path / "a.db"
    database(path, 8192, 4096)
    with vfs_of(8192) as vfs:
        with contextlib.closing(connect(vfs, path)) as connection:
            connection.execute("PRAGMA cache_size=1")
            connection.execute("BEGIN")
            connection.execute("UPDATE t SET data = zeroblob(900)")
            connection.execute("PRAGMA user_version=7")
            copy = crashed(path, tmp_path / "crashed")
            connection.execute("ROLLBACK")
        content = bytearray(copy.read_bytes())
        content[:8192] = random.Random(2).randbytes(8192)
        copy.write_bytes(content)
        with contextlib.closing(connect(vfs, copy)) as recovered:
            assert count(recovered) == 200
            assert recovered.execute("PRAGMA user_version").fetchone() == (0,)

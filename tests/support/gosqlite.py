"""Databases of the gosqlite format, and AES-256-XTS by a library that the engine does not use."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import lumocrypt

KEYS = {"adiantum": bytes(range(32)), "aes-256-xts": bytes(range(64))}
CIPHERS = tuple(KEYS)
PAGE_SIZES = (512, 1024, 4096, 16384, 65536)
#: The bytes in a block of a log or journal that is written now.
LOG_BLOCK = 512
#: The numbers of kinds of files.
MAIN, JOURNAL, WAL, TEMP, TEMP_JOURNAL, SUB_JOURNAL = range(1, 7)


def connect(vfs: lumocrypt.CryptoVFS, path: Path, **arguments: object) -> sqlite3.Connection:
    """A connection of the standard library through ``vfs``."""
    return sqlite3.connect(f"file:{path}?vfs={vfs.name}", uri=True, isolation_level=None, **arguments)  # type: ignore[arg-type]


def make(
    vfs: lumocrypt.CryptoVFS, path: Path, page_size: int, journal_mode: str = "delete"
) -> sqlite3.Connection:
    """A new database with a few pages."""
    connection = connect(vfs, path)
    connection.execute(f"PRAGMA page_size={page_size}")
    assert connection.execute(f"PRAGMA journal_mode={journal_mode}").fetchone() == (journal_mode,)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text, data BLOB)")
    insert(connection, 100)
    return connection


def insert(connection: sqlite3.Connection, rows: int) -> None:
    """Adds rows, in one transaction."""
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO t (text, data) VALUES (?, ?)",
        ((f"the quick brown marker {row}", bytes([row % 256]) * 300) for row in range(rows)),
    )
    connection.execute("COMMIT")


def count(connection: sqlite3.Connection) -> int:
    """The rows, after a check of the whole database."""
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return int(
        connection.execute("SELECT count(*) FROM t WHERE text LIKE 'the quick brown marker %'").fetchone()[0]
    )


def decrypt_xts(encrypted: bytes, kind: int, block_size: int, *, key: bytes = KEYS["aes-256-xts"]) -> bytes:
    """What a file of a kind has in clear; holes stay zero."""
    return _xts(encrypted, kind, block_size, key, decrypt=True)


def encrypt_xts(plain: bytes, kind: int, block_size: int) -> bytes:
    """A file of a kind, from what it has in clear."""
    return _xts(plain, kind, block_size, KEYS["aes-256-xts"], decrypt=False)


def _xts(content: bytes, kind: int, block_size: int, key: bytes, *, decrypt: bool) -> bytes:
    assert len(content) % block_size == 0
    done = bytearray()
    for start in range(0, len(content), block_size):
        block = content[start : start + block_size]
        if any(block):
            sector = kind << 56 | start // block_size
            cipher = Cipher(algorithms.AES(key), modes.XTS(sector.to_bytes(16, "little")))
            block = (cipher.decryptor() if decrypt else cipher.encryptor()).update(block)
        done += block
    return bytes(done)

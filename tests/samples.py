"""What the tests of the format share: suites, keys, comparing databases by content, copying live ones."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import lumocrypt
from decryptor import Database, read_database
from support.known_keys import FAST, RAW

AEADS = ["aegis-256", "aegis-256x2", "xchacha20-poly1305", "aes-256-gcm"]
#: Those whose blocks carry nothing to tell damage by.
UNTAGGED = ["adiantum", "aes-256-xts"]
TAGGED = [*AEADS, "checksum"]
KEYED = [*AEADS, *UNTAGGED]
SUITES = [*TAGGED, *UNTAGGED]
#: Bytes that a sealed block of the main file is longer than its plaintext.
OVERHEAD = {**dict.fromkeys(AEADS, 40), "checksum": 16, **dict.fromkeys(UNTAGGED, 0)}
PASSPHRASE = "correct horse, Schlüssel richtig"


def key_for(suite: str) -> lumocrypt.Key | None:
    """What lumocrypt is given."""
    return None if suite == "checksum" else lumocrypt.Key.raw(RAW)


def secret_for(suite: str) -> bytes | None:
    """What the decryptor is given."""
    return None if suite == "checksum" else RAW


def connect(path: Path, suite: str, **arguments: object) -> sqlite3.Connection:
    """A connection in autocommit mode, so that tests say BEGIN and COMMIT themselves; without syncs."""
    arguments = {"isolation_level": None, "kdf": FAST, **arguments}
    connection = lumocrypt.connect(path, key_for(suite), cipher=suite, **arguments)  # type: ignore[arg-type]
    connection.execute("PRAGMA synchronous=OFF")
    return connection


def content(image: bytes) -> list[str]:
    """Everything that SQL can see of a database file, its integrity included."""
    if not image:
        return []
    copy = bytearray(image)
    if copy[18:20] == b"\2\2":
        # In WAL mode: a database in memory has no WAL and would not open.
        copy[18:20] = b"\1\1"
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(bytes(copy))
        return content_of(connection)
    finally:
        connection.close()


def content_of(connection: sqlite3.Connection) -> list[str]:
    """The same, of an open connection."""
    pragmas = ("integrity_check", "page_size", "user_version", "application_id", "auto_vacuum", "encoding")
    return [
        *(f"{name}: {connection.execute(f'PRAGMA {name}').fetchall()}" for name in pragmas),
        *connection.iterdump(),
    ]


def copy_database(path: Path, folder: Path) -> Path:
    """Copies a database and its logs as a crash would leave them: without the wal-index."""
    folder.mkdir()
    for suffix in ("", "-wal", "-journal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copyfile(source, folder / source.name)
    return folder / path.name


def read(path: Path, suite: str) -> Database:
    """What the independent decryptor makes of it."""
    return read_database(path, secret_for(suite))


def reopened(path: Path, suite: str) -> list[str]:
    """What lumocrypt makes of it, recovery included."""
    connection = connect(path, suite)
    try:
        return content_of(connection)
    finally:
        connection.close()


def fill(connection: sqlite3.Connection, rows: int = 300, seed: int = 0) -> None:
    """Rows that need several pages of any size, some of them overflow pages."""
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
    connection.executemany(
        "INSERT INTO t (name, data) VALUES (?, ?)",
        ((f"row {seed}-{i}", bytes([(i + seed) % 256]) * (i * 37 % 900)) for i in range(rows)),
    )
    connection.execute("CREATE INDEX IF NOT EXISTS by_name ON t (name)")
    connection.execute("COMMIT")

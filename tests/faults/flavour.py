"""A database over the faulty VFS: through lumocrypt, or by SQLite alone to calibrate the judge."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

import lumocrypt

from . import faulty

RAW = bytes(range(32))
Io = Literal["map", "pread"]


def _uri(path: Path) -> str:
    return f"file:{path}?vfs={faulty.NAME}"


class Plain:
    """SQLite alone."""

    name = "plain"
    encrypted = False

    def open(self, path: Path, io: Io = "map") -> sqlite3.Connection:
        return sqlite3.connect(_uri(path), uri=True, isolation_level=None, timeout=0)

    def attach(self, connection: sqlite3.Connection, path: Path, name: str) -> None:
        connection.execute("ATTACH ? AS ?", (_uri(path), name))

    def damage(self, path: Path) -> str | None:
        """What ``verify`` has to say against a closed database."""
        return None


class Encrypted:
    """Through lumocrypt."""

    name = "encrypted"
    encrypted = True

    def __init__(self) -> None:
        self._key = lumocrypt.Key.raw(RAW)

    def open(self, path: Path, io: Io = "map") -> sqlite3.Connection:
        return lumocrypt.connect(_uri(path), key=self._key, uri=True, isolation_level=None, timeout=0, io=io)

    def attach(self, connection: sqlite3.Connection, path: Path, name: str) -> None:
        lumocrypt.attach(connection, path, name, key=self._key)

    def damage(self, path: Path) -> str | None:
        found = lumocrypt.verify(path, key=self._key)
        return None if found.ok else f"{found.damaged} header {found.header} cells {found.cells}"


Flavour = Plain | Encrypted

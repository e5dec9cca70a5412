"""A database over the faulty VFS: through lumocrypt, or by SQLite alone to calibrate the judge."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

import lumocrypt
from lumocrypt.engine import native
from lumocrypt.engine.registration import VFS
from support.known_keys import RAW

from . import faulty

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

    def damage(self, path: Path, *, scarred: bool) -> str | None:
        """What ``verify`` has to say against a closed database.

        ``scarred``: a write to the database was left half done, which may show where nothing is lost by it.
        """
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
        # Not lumocrypt.attach, which goes through the default VFS.
        handle = native.handle_new(self._key.number, {})
        uri = f"file:{path}?vfs={VFS}-{faulty.NAME}&lumo_handle={handle}"
        connection.execute("ATTACH ? AS ?", (uri, name))

    def damage(self, path: Path, *, scarred: bool) -> str | None:
        found = lumocrypt.verify(path, key=self._key)
        damaged = [one for one in found.damaged if not (scarred and _is_scar(one))]
        return str(damaged) if damaged else None


def _is_scar(one: lumocrypt.DamagedPage) -> bool:
    """One of two copies of something in the header, or a free page: neither is in a journal."""
    return (one.number is None and one.reason.startswith("copy ")) or one.owner_type == "freelist"


Opener = Plain | Encrypted

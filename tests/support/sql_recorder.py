"""A VFS below lumocrypt that tells of every write, truncation, sync and deletion, with APSW's SQLite.

It has no shared memory, so WAL works in exclusive locking mode only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

import lumocrypt
from support.sql_database import RAW

NAME = "recorder"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has just been done to the file of that name."""

    operation: str
    name: str
    offset: int = 0
    length: int = 0


Hook = Callable[[Event], None]


class _Vfs(apsw.VFS):
    hook: Hook | None = None

    def __init__(self) -> None:
        super().__init__(NAME, "", maxpathname=0)

    def tell(self, operation: str, path: str, *numbers: int) -> None:
        if self.hook is not None:
            self.hook(Event(operation, Path(path).name, *numbers))

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.tell("delete", filename)


class _File(apsw.VFSFile):
    def __init__(self, vfs: _Vfs, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self.vfs = vfs
        self.path = name.filename() if isinstance(name, apsw.URIFilename) else (name or "")

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self.vfs.tell("write", self.path, offset, len(data))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self.vfs.tell("truncate", self.path, size)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self.vfs.tell("sync", self.path)


# One for the process: lumocrypt's VFS over it keeps it for good.
_vfs = _Vfs()


class Recorder:
    """Opens databases over the recording VFS; ``hook`` is called with each event, inside the operation."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        lumocrypt.load(apsw.Connection(":memory:"))

    def connect(self, path: Path, raw: bytes = RAW) -> apsw.Connection:
        flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        connection = apsw.Connection(f"file:{path}?vfs=lumocrypt-{NAME}", flags=flags)
        connection.execute(f"PRAGMA lumo_key = \"x'{raw.hex()}'\"").fetchall()
        return connection

    def watch(self, hook: Hook | None = None) -> None:
        """From now on events are kept, and ``hook`` is called with each."""
        self.events.clear()

        def record(event: Event) -> None:
            self.events.append(event)
            if hook is not None:
                hook(event)

        _vfs.hook = record

    def stop(self) -> list[Event]:
        _vfs.hook = None
        return self.events

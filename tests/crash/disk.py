"""A folder in the course of a recording: what a sync has made durable, and what is still pending."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .log import Event, Kind

#: Files whose content does not outlive a crash: SQLite rebuilds the wal-index.
VOLATILE = "-shm"


@dataclass(frozen=True, slots=True)
class Change:
    """A write, or a truncation if there is no data, that is not synced yet."""

    #: The number of the event.
    position: int
    #: Where to write, or the new size.
    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        if self.data is not None:
            put(content, self.offset, self.data)
        elif self.offset < len(content):
            del content[self.offset :]
        else:
            content.extend(bytes(self.offset - len(content)))


def put(content: bytearray, offset: int, data: bytes) -> None:
    """Writes as a file does: a gap reads as zeros."""
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


@dataclass(slots=True)
class File:
    """An inode."""

    name: str
    durable: bytes = b""
    pending: list[Change] = field(default_factory=list)

    def current(self) -> bytearray:
        """What a process reads."""
        content = bytearray(self.durable)
        for change in self.pending:
            change.apply(content)
        return content


@dataclass(frozen=True, slots=True)
class Naming:
    """A change of the folder that is not synced yet: ``name`` leads to ``file``, or to nothing."""

    position: int
    name: str
    file: File | None
    #: For a rename, which happens as one: the name that goes.
    old_name: str | None = None

    def apply(self, names: dict[str, File]) -> None:
        if self.old_name is not None:
            names.pop(self.old_name, None)
        if self.file is None:
            names.pop(self.name, None)
        else:
            names[self.name] = self.file


class UnknownCallError(Exception):
    """The recording holds a call that the simulator has no model of."""


class Disk:
    """The folder after some of the events of a recording."""

    def __init__(
        self,
        folder: str,
        initial: Mapping[str, bytes],
        *,
        lies: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """``initial`` is durable. ``lies(name)``: syncs of that file (``"."`` for the folder) do nothing."""
        self._folder = folder
        self._lies = lies
        self.durable = {name: File(name, content) for name, content in initial.items()}
        self.names = dict(self.durable)
        self.pending: list[Naming] = []
        self._open: dict[int, File | None] = {}
        self.position = 0

    def play(self, event: Event) -> None:
        """The next event happens."""
        self._change(event)
        self.position += 1

    def _change(self, event: Event) -> None:
        match event.kind:
            case Kind.OPEN:
                self._open_file(event)
            case Kind.CLOSE:
                self._open.pop(event.file, None)
            case Kind.WRITE:
                self._file(event).pending.append(Change(self.position, event.number, event.data))
            case Kind.TRUNCATE:
                self._file(event).pending.append(Change(self.position, event.number, None))
            case Kind.SYNC:
                self._sync(self._open[event.file])
            case Kind.UNLINK:
                self._rename(Naming(self.position, self._name(event.path), None))
            case Kind.LINK:
                file = self.names[self._name(event.path)]
                self._rename(Naming(self.position, self._name(event.target), file))
            case Kind.RENAME:
                old = self._name(event.path)
                self._rename(Naming(self.position, self._name(event.target), self.names[old], old))
            case Kind.REFUSED:
                file = self._open[event.file]
                if file is None or not file.name.endswith(VOLATILE):
                    raise UnknownCallError(event.path)
            case Kind.MARK:
                pass

    def file_of(self, event: Event) -> File | None:
        """The file that an event writes to, truncates or syncs; None for the folder."""
        return self._open.get(event.file)

    def _file(self, event: Event) -> File:
        file = self._open[event.file]
        if file is None:
            raise UnknownCallError("a write to a folder")
        return file

    def _name(self, path: str) -> str:
        # A new file is in a folder of its own until it gets its name.
        name = os.path.relpath(path, self._folder)
        if name.startswith(os.pardir) or name.count(os.sep) > 1:
            raise UnknownCallError(path)
        return name

    def _open_file(self, event: Event) -> None:
        if event.path == self._folder:
            self._open[event.file] = None
            return
        name = self._name(event.path)
        if event.created:
            self._rename(Naming(self.position, name, File(name)))
        file = self.names[name]
        if event.emptied:
            file.pending.append(Change(self.position, 0, None))
        self._open[event.file] = file

    def _rename(self, naming: Naming) -> None:
        self.pending.append(naming)
        naming.apply(self.names)

    def _sync(self, file: File | None) -> None:
        if file is None:
            if not self._lies("."):
                self.durable = dict(self.names)
                self.pending.clear()
        elif not self._lies(file.name):
            file.durable = bytes(file.current())
            file.pending.clear()

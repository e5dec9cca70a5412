"""A folder in the course of a recording: what a sync has made durable, and what is still pending.

A sync that fails drops what it should have written, as Linux does: the pages count as clean from then on, and
no later sync writes them, but reads go on finding them in the page cache, until that drops them, too. Only a
page that is written to again is written to the medium, and then all of it. Lengths and names are the file
system's own and stay pending.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .log import Event, Kind

#: Files whose content does not outlive a crash: SQLite rebuilds the wal-index.
VOLATILE = "-shm"
#: What the page cache takes as one.
PAGE = 4096
#: What a medium writes as one.
SECTOR = 512


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
    #: What is on the medium.
    durable: bytes = b""
    #: What the next sync writes.
    pending: list[Change] = field(default_factory=list)
    #: What a process reads.
    cache: bytearray = field(default_factory=bytearray)
    #: Pages of the cache that a failed sync has dropped, so that nothing writes them, and the event that
    #: wrote to each.
    dropped: dict[int, int] = field(default_factory=dict)

    @staticmethod
    def holding(name: str, content: bytes) -> File:
        """A file whose content is durable."""
        return File(name, content, cache=bytearray(content))

    def change(self, change: Change) -> None:
        """A write or a truncation."""
        if change.data is not None:
            self._dirty(change.position, change.offset, change.offset + len(change.data))
        elif change.offset < len(self.cache):
            # The kernel zeroes the rest of the page that the end lies in.
            self._dirty(change.position, change.offset, change.offset + (-change.offset % PAGE))
            self.dropped = {page: at for page, at in self.dropped.items() if page * PAGE < change.offset}
        self.pending.append(change)
        change.apply(self.cache)

    def _dirty(self, position: int, start: int, end: int) -> None:
        again = [page for page in range(start // PAGE, -(-end // PAGE)) if page in self.dropped]
        medium = self._synced() if again else b""
        for page in again:
            del self.dropped[page]
            # What is written as it is cannot be harmed: the file system writes whole pages all the time.
            for at in range(page * PAGE, min((page + 1) * PAGE, len(self.cache)), SECTOR):
                sector, old = (
                    bytes(self.cache[at : at + SECTOR]),
                    medium[at : at + SECTOR].ljust(SECTOR, b"\0"),
                )
                differing = [n for n, (new, was) in enumerate(zip(sector, old, strict=False)) if new != was]
                if differing:
                    first, end = differing[0], differing[-1] + 1
                    self.pending.append(Change(position, at + first, sector[first:end]))

    def sync(self) -> None:
        """What is pending becomes durable."""
        self.durable = bytes(self._synced())
        self.pending.clear()

    def _synced(self) -> bytearray:
        content = bytearray(self.durable)
        for change in self.pending:
            change.apply(content)
        return content

    def fail(self, position: int) -> None:
        """A sync writes nothing, and neither does any after it."""
        for change in self.pending:
            if change.data:
                end = min(change.offset + len(change.data), len(self.cache))
                for page in range(change.offset // PAGE, -(-end // PAGE)):
                    self.dropped.setdefault(page, change.position)
        self.pending = [change for change in self.pending if change.data is None]
        self.pending.append(Change(position, len(self.cache), None))

    def lost(self) -> dict[int, bytes]:
        """The pages that a failed sync has dropped, as they are on the medium."""
        content = self._synced()
        return {page: bytes(content[page * PAGE : (page + 1) * PAGE]) for page in sorted(self.dropped)}

    def evict(self) -> None:
        """Reads find the medium's bytes from here on."""
        for page, content in self.lost().items():
            put(self.cache, page * PAGE, content)
        self.dropped.clear()


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
        self.durable = {name: File.holding(name, content) for name, content in initial.items()}
        self.names = dict(self.durable)
        self.pending: list[Naming] = []
        self._open: dict[int, File | None] = {}
        self.position = 0
        #: When the folder was last synced. Changes of names and lengths last in their order, so all before
        #: that one lasts.
        self.settled = 0

    def play(self, event: Event) -> None:
        """The next event happens."""
        self._change(event)
        self.position += 1

    def _change(self, event: Event) -> None:  # noqa: PLR0912 (one case for each kind of event)
        match event.kind:
            case Kind.OPEN:
                self._open_file(event)
            case Kind.CLOSE:
                self._open.pop(event.file, None)
            case Kind.WRITE:
                self._file(event).change(Change(self.position, event.number, event.data))
            case Kind.TRUNCATE:
                self._file(event).change(Change(self.position, event.number, None))
            case Kind.SYNC:
                self._sync(self._open[event.file])
            case Kind.FAILED:
                # What a folder holds stays pending.
                if (file := self._open[event.file]) is not None:
                    file.fail(self.position)
            case Kind.EVICTED:
                self._file(event).evict()
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
            case Kind.MARK | Kind.UNWRITTEN:
                pass

    def file_of(self, event: Event) -> File | None:
        """The file that an event writes to, truncates or syncs; None for the folder."""
        return self._open.get(event.file)

    def open_file(self, descriptor: int) -> File | None:
        """The file behind a descriptor; None for the folder."""
        return self._open[descriptor]

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
            file.change(Change(self.position, 0, None))
        self._open[event.file] = file

    def _rename(self, naming: Naming) -> None:
        self.pending.append(naming)
        naming.apply(self.names)

    def _sync(self, file: File | None) -> None:
        if file is None:
            if not self._lies("."):
                self.durable = dict(self.names)
                self.pending.clear()
                self.settled = self.position
        elif not self._lies(file.name):
            file.sync()

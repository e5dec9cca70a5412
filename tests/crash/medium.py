"""A medium that fails: a sync or a write returns an error, and what should have been written is not."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from .disk import Disk
from .log import Event, Kind, parse
from .recorder import Recorder
from .setup import Setup

#: Files whose syncs can fail: what their names match, after the folder's, which is ``"."``.
FILES = {
    "database": "*.db",
    "wal": "*-wal",
    "journal": "*-journal",
    "super-journal": "*-mj*",
    "kept": "*-lumo-rekey",
    # What encrypt and decrypt write in place of the database.
    "new": ".*.lumo-*",
    "copy": "copy*",
    "folder": ".",
}
#: What the page cache does with what a failed sync should have written, or how many in a row fail.
SYNC_FATES = ("cached", "evicted", "twice")
#: What a write fails with.
WRITE_FATES = {"full": errno.ENOSPC, "broken": errno.EIO}
#: What names of files end in whose folder SQLite syncs.
_SQLITES = re.compile(r"(-journal|-wal|-shm|\.db|-mj\w+)$")


@dataclass(frozen=True, slots=True)
class Failure:
    """Which sync or write fails, and how."""

    #: One of :data:`FILES`.
    file: str
    #: Syncs, or writes, of such files that succeed before.
    after: int
    #: One of :data:`SYNC_FATES` for a sync, one of :data:`WRITE_FATES` for a write.
    fate: str

    def __str__(self) -> str:
        what = "write" if self.fate in WRITE_FATES else "sync"
        return f"{what} {self.after} of the {self.file} failed, {self.fate}"

    def arm(self, recorder: Recorder, folder: Path, initial: Mapping[str, bytes]) -> None:
        """Makes it happen in the recording that has started, in a folder of these files."""

        def evict(descriptor: int) -> None:
            disk = Disk(str(folder), initial)
            for event in parse(recorder.log()):
                disk.play(event)
            file = disk.open_file(descriptor)
            if file is not None:
                recorder.evict(descriptor, file.lost())

        pattern, error = FILES[self.file], WRITE_FATES.get(self.fate)
        if error is not None:
            recorder.fail_write(pattern, self.after, error)
            return
        times = 2 if self.fate == "twice" else 1
        recorder.fail_sync(pattern, self.after, times, evict if self.fate == "evicted" else None)


def failures(events: list[Event], folder: str, kind: Kind) -> Iterator[Failure]:
    """The syncs or the writes of a recording that may fail, and how.

    Syncs of the folder that SQLite makes, for its logs, are not among them: it ignores what they return.
    """
    names: dict[int, str] = {}
    counts = dict.fromkeys(FILES, 0)
    fates = SYNC_FATES if kind is Kind.SYNC else WRITE_FATES
    before = ""
    for event in events:
        if event.kind is Kind.OPEN:
            names[event.file] = "." if event.path == folder else Path(event.path).name
        elif event.kind is kind:
            name = names[event.file]
            for file in (file for file, pattern in FILES.items() if fnmatchcase(name, pattern)):
                if file != "folder" or not _SQLITES.search(before):
                    yield from (Failure(file, counts[file], fate) for fate in fates)
                counts[file] += 1
            before = name
        elif event.kind in (Kind.UNLINK, Kind.RENAME, Kind.LINK):
            before = event.target or event.path


def is_survived(failure: Failure, setup: Setup) -> bool:
    """Can a program be expected to lose nothing? Not where SQLite alone loses commits, encrypted or not.

    It does where it reads its journal back from a cache that has dropped it, and where a sync fails again
    while it rolls back. In a WAL with synchronous=NORMAL the frames of many commits wait for one sync, and it
    writes none of them again.
    """
    if failure.fate in WRITE_FATES:
        return True
    if failure.file == "journal" and failure.fate != "cached":
        return False
    return not (failure.file == "wal" and setup.sync == "normal")


def failed_at(events: list[Event]) -> int | None:
    """The number of the first event that failed."""
    failed = (Kind.FAILED, Kind.UNWRITTEN)
    return next((number for number, event in enumerate(events) if event.kind in failed), None)

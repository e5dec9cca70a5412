"""A medium that fails: a sync that returns an error, and what becomes of the pages that it did not write."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
#: What the page cache does with the pages, and how many syncs in a row fail.
FATES = ("cached", "evicted", "twice")
#: What names of files end in whose folder SQLite syncs.
_SQLITES = re.compile(r"(-journal|-wal|-shm|\.db|-mj\w+)$")


@dataclass(frozen=True, slots=True)
class Failure:
    """Which sync fails, and how."""

    #: One of :data:`FILES`.
    file: str
    #: Syncs of such files that succeed before.
    after: int
    #: One of :data:`FATES`.
    fate: str

    def __str__(self) -> str:
        return f"sync {self.after} of the {self.file} failed, {self.fate}"

    def arm(self, recorder: Recorder, folder: Path, initial: Mapping[str, bytes]) -> None:
        """Makes it happen in the recording that is about to start, in a folder of these files."""

        def evict(descriptor: int) -> None:
            disk = Disk(str(folder), initial)
            for event in parse(recorder.log()):
                disk.play(event)
            file = disk.open_file(descriptor)
            if file is not None:
                recorder.evict(descriptor, file.lost())

        times = 2 if self.fate == "twice" else 1
        recorder.fail(FILES[self.file], self.after, times, evict if self.fate == "evicted" else None)


def syncs(events: list[Event], folder: str) -> list[tuple[str, int]]:
    """The syncs of a recording that may fail: of which of :data:`FILES`, and after how many others of those.

    Syncs of the folder that SQLite makes, for its logs, are not among them: it ignores what they return.
    """
    names: dict[int, str] = {}
    counts = dict.fromkeys(FILES, 0)
    found: list[tuple[str, int]] = []
    before = ""
    for event in events:
        if event.kind is Kind.OPEN:
            names[event.file] = "." if event.path == folder else Path(event.path).name
        elif event.kind is Kind.SYNC:
            name = names[event.file]
            for file, pattern in FILES.items():
                if fnmatchcase(name, pattern):
                    if file != "folder" or not _SQLITES.search(before):
                        found.append((file, counts[file]))
                    counts[file] += 1
            before = name
        elif event.kind in (Kind.UNLINK, Kind.RENAME, Kind.LINK):
            before = event.target or event.path
    return found


def is_survived(failure: Failure, setup: Setup) -> bool:
    """Can a program be expected to lose nothing? Not where SQLite alone loses commits, encrypted or not.

    It does where it reads its journal back from a cache that has dropped it, and where a sync fails again while
    it rolls back. In a WAL with synchronous=NORMAL the frames of many commits wait for one sync, and it writes
    none of them again.
    """
    if failure.file == "journal" and failure.fate != "cached":
        return False
    return not (failure.file == "wal" and setup.sync == "normal")


def failed_at(events: list[Event]) -> int | None:
    """The number of the first event that is a failed sync."""
    return next((number for number, event in enumerate(events) if event.kind is Kind.FAILED), None)

"""A database with its logs, as the next one who opens it would find it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .errors import ForeignLogError, NotALumocryptFileError, UnauthenticError
from .header import REGION, Header, Secret, creation_was_interrupted, open_header
from .journal import JournalFile, open_journal, rollback, super_journal
from .main_file import MainFile
from .overlay import Overlay, compose
from .redo import find_slot, redo_path
from .wal import WalContent, newest_key_id, read_wal


@dataclass(frozen=True, slots=True)
class Database:
    """What was read. ``image`` is the plaintext database file."""

    image: bytes
    header: Header | None = None
    wal: WalContent | None = None
    journal: JournalFile | None = None
    super_journal: str | None = None
    rolled_back: Overlay | None = None


def _companion(path: Path, suffix: str) -> bytes:
    return _content(path.with_name(path.name + suffix))


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def read_database(
    path: Path, secret: Secret, *, super_journal_exists: Callable[[str], bool] = os.path.exists
) -> Database:
    """Decrypts a main file with its hot journal rolled back and its WAL applied.

    Nothing is written. Raises a DecryptorError for anything that is not authentic.
    """
    physical = path.stat().st_size
    journal_bytes, wal_bytes = _companion(path, "-journal"), _companion(path, "-wal")
    with path.open("rb") as file:
        region = file.read(REGION)
        if region.startswith(b"SQLite format 3\0"):
            raise NotALumocryptFileError("a plaintext database")
        if creation_was_interrupted(region, physical):
            if journal_bytes or wal_bytes:
                raise ForeignLogError("an empty database with a log")
            return Database(b"")
        header = open_header(region, secret)
        redo = _content(redo_path(path))
        main = MainFile(file, physical, header, partial(find_slot, redo, header.keys))
        journal = open_journal(journal_bytes, header.keys_of(journal_bytes[48:64]))
        name = super_journal(journal.logical)
        # SQLite takes a first byte of zero for "finished", and a vanished super-journal for "committed".
        hot = journal.logical[:1] not in (b"", b"\0") and (name is None or super_journal_exists(name))
        undo = rollback(journal.logical) if hot else None
        wal = read_wal(wal_bytes, header.cell, header.length, header.keys_of(newest_key_id(wal_bytes)))
        if wal is not None:
            main.holes_from = header.length.slots_under(wal.header.generation, wal.header.main_slots)
        slots = -(-main.size // main.block_size)
        # A page at the end of which the file has a part only counts.
        short = undo is not None and -(-main.size // undo.page_size) < undo.page_count
        if slots < header.length.slots or short:
            raise UnauthenticError("the end of the main file was cut off")
        return Database(
            compose(main, _both(undo, wal)), header, wal, journal if journal_bytes else None, name, undo
        )


def _both(undo: Overlay | None, wal: WalContent | None) -> Overlay | None:
    """The WAL lies over what the rollback restores."""
    redo = None if wal is None else wal.overlay
    if undo is None or redo is None:
        return redo or undo
    if undo.page_size != redo.page_size:
        raise ForeignLogError("a journal and a WAL of different page sizes")
    return Overlay(redo.page_size, redo.page_count, {**undo.pages, **redo.pages})

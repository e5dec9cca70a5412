"""Crashes: what a kill leaves of a database, made by copying the files of a live connection."""

from __future__ import annotations

import shutil
from pathlib import Path

#: The files that survive a crash and matter: the wal-index is rebuilt.
LOGS = ("-wal", "-journal")


def crashed(database: Path, folder: Path, *, logs: tuple[str, ...] = LOGS) -> Path:
    """Copies a database as it is now, with the logs named, into a new folder; the copy's path."""
    folder.mkdir(parents=True)
    copy = folder / database.name
    shutil.copyfile(database, copy)
    for suffix in logs:
        log = log_of(database, suffix)
        if log.exists():
            shutil.copyfile(log, log_of(copy, suffix))
    return copy


def log_of(database: Path, suffix: str) -> Path:
    """The path of a log of ``database``."""
    return database.with_name(database.name + suffix)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but wal-indexes, which hold nothing that lasts."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.endswith("-shm")
    }

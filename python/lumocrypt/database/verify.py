"""``verify``: is every block of a database what its owner wrote?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..engine import native
from ..engine.native import Progress
from ..engine.registration import stdlib_host
from ..errors.names import shown
from ..files.paths import DAMAGED_LOG, LOGS, StrPath, ours_beside
from ..keys.identity import UuidLike
from ..keys.kdf import KdfLimit
from ..keys.key import KeyLike, hiding
from ..keys.source import Source
from ..pages.damage import ENVIRONMENT, DamagedPage, identify

# Checks of a database that is being written to, until one finds it whole.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What :func:`verify` found. True if that is no damage."""

    path: str
    ok: bool
    cipher: str
    #: Blocks of the main file that were checked, and frames and extents of its logs.
    blocks: int
    wal_frames: int
    journal_extents: int
    #: At most 10,000; ``damaged_total`` counts all.
    damaged: list[DamagedPage]
    damaged_total: int
    #: ``"ok"``, ``"damaged"`` or ``"stale"`` for the copies ``"a"`` and ``"b"`` of the header.
    header: Mapping[str, str]
    #: The same for the cells that name the current WAL.
    cells: Mapping[str, str]
    warnings: list[str]
    #: ``"sqlite"`` for a database, ``"lmdb"`` for an LMDB environment.
    contents: str = "sqlite"
    #: Of an environment: ``"ok"`` for the meta page that counts, ``"older"`` or ``"damaged"`` for the other
    #: one; the transaction whose state was checked; and how many pages the free list has.
    metas: tuple[str, ...] = ()
    transaction: int | None = None
    free: int | None = None

    def __bool__(self) -> bool:
        return self.ok


@hiding("key")
def verify(
    path: StrPath,
    *,
    key: KeyLike | None = None,
    kdf_limit: KdfLimit | None = None,
    uuid: UuidLike | None = None,
    progress: Progress | None = None,
) -> VerifyResult:
    """Checks every block of a database and of its logs, without changing anything.

    Of an LMDB environment, every page of its newest state: that it authenticates, is in its place, is led to
    once, and is not in the free list. If a meta page does not count, LMDB may open the state of the commit
    before without a word; here that is damage.

    ``key=None`` takes the key of :func:`lumocrypt.unlock` or ``LUMO_KEY``; the ``checksum`` suite takes
    none, and where the process knows one ``key=lumocrypt.NO_KEY`` says that none is meant. ``kdf_limit``
    and ``uuid`` are as for :func:`lumocrypt.connect`. ``progress(done_bytes, total_bytes)`` is called
    about ten times a second; an exception that it raises comes through. All cores work; ``LUMO_THREADS``
    limits that.

    Where blocks are damaged, what is still readable tells which tables and indexes they belonged to.

    Damaged blocks do not raise: they are in the result. Raises WrongKeyError, KeyRequiredError,
    NotEncryptedError, WrongDatabaseError, HeaderDamagedError (nothing can be checked then),
    UnsupportedFormatError, InUseError; CryptError itself for a file that is no database yet, since it is
    empty or its creation was interrupted before anything was committed: the next writer makes it one.
    """
    source = Source.open(path, key, kdf_limit=kdf_limit, uuid=uuid)
    real, number, options = source.path, source.number, source.options
    found = _examine(real, number, options, progress)
    if found.get("contents") == ENVIRONMENT:
        return _of_environment(real, found)
    damaged = [
        DamagedPage(entry["file_kind"], entry["block"], entry["frame"], entry["extent"], entry["reason"])
        for entry in found["damaged"]
    ]
    warnings: list[str] = [*found["warnings"], *_kept_logs(real)]
    total: int = found["damaged_total"]
    if damaged:
        listed = len(damaged)
        damaged, more = identify(real, number, options, damaged)
        warnings += more
        total -= listed - len(damaged)
    return VerifyResult(
        path=real,
        ok=total == 0,
        cipher=found["cipher"],
        blocks=found["slots"],
        wal_frames=found["wal_frames"],
        journal_extents=found["journal_extents"],
        damaged=damaged,
        damaged_total=total,
        header=dict(found["header"]),
        cells=dict(found["cells"]),
        warnings=warnings,
    )


def _of_environment(path: str, found: dict[str, Any]) -> VerifyResult:
    return VerifyResult(
        path=path,
        ok=found["ok"],
        cipher=found["cipher"],
        blocks=found["slots"],
        wal_frames=0,
        journal_extents=0,
        damaged=[DamagedPage.of_environment(entry) for entry in found["damaged"]],
        damaged_total=found["damaged_total"],
        header=dict(found["header"]),
        cells=dict(found["cells"]),
        warnings=list(found["warnings"]),
        contents=found["contents"],
        metas=tuple(found["metas"]),
        transaction=found["transaction"],
        free=found["free"],
    )


def _kept_logs(path: str) -> list[str]:
    names = [ours_beside(path + suffix, DAMAGED_LOG) for suffix in LOGS]
    return [
        f"{shown(name)} is a copy of a log that was damaged when the database was recovered; a part of it "
        "was lost then. Move it away once you know why"
        for name in names
        if os.path.lexists(name)
    ]


def _examine(path: str, key: int, options: dict[str, Any], progress: Progress | None) -> dict[str, Any]:
    """Checks until the result is good, or not a writer's doing.

    Taking a lock instead would recover the database's logs, which are to be looked at as they are.
    """
    attempts = 0
    while True:
        before = database_state(path)
        found = native.verify_file(stdlib_host().number, path, key, options, progress)
        attempts += 1
        if found["ok"] or database_state(path) == before:
            return found
        if attempts == _ATTEMPTS:
            found["warnings"].append("the database was being written to; check it again when nobody does")
            return found


def database_state(path: str) -> list[tuple[int, int]]:
    """Changes whenever the database or one of its logs is written to."""
    states: list[tuple[int, int]] = []
    for name in (path, *(path + suffix for suffix in LOGS)):
        try:
            status = os.stat(name)
        except FileNotFoundError:
            states.append((0, 0))
        else:
            states.append((status.st_size, status.st_mtime_ns))
    return states

"""``verify``: is every block of a database what its owner wrote?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import native
from .info import CHECKSUM, inspect
from .keys import Hidden, KeyLike
from .native import Progress
from .paths import StrPath, existing_file
from .registration import stdlib_host
from .unlocking import resolve_key


@dataclass(frozen=True, slots=True)
class DamagedPage:
    """A block of the main file, or a frame or extent of a log, that failed authentication."""

    file_kind: str
    #: Counted from zero.
    page: int
    reason: str


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What :func:`verify` found."""

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


def verify(path: StrPath, *, key: KeyLike | None = None, progress: Progress | None = None) -> VerifyResult:
    """Checks every block of a database and of its logs, without changing anything.

    ``key=None`` takes the key of :func:`lumocrypt.unlock` or ``LUMO_KEY``; the ``checksum`` suite needs none.
    ``progress(done_bytes, total_bytes)`` is called now and then; an exception that it raises comes through.

    Damaged blocks do not raise: they are in the result. Raises WrongKeyError, KeyRequiredError,
    NotEncryptedError, HeaderDamagedError (nothing can be checked then), UnsupportedFormatError, InUseError.
    """
    hidden = Hidden(key)
    del key
    given = hidden.key()
    real = existing_file(path)
    given = None if inspect(real).cipher == CHECKSUM and given is None else resolve_key(real, given)
    number = 0 if given is None else given.number
    found = native.verify_file(stdlib_host().number, real, number, {}, progress)
    damaged = [DamagedPage(entry["file_kind"], entry["page"], entry["reason"]) for entry in found["damaged"]]
    return VerifyResult(
        path=real,
        ok=found["ok"],
        cipher=found["cipher"],
        blocks=found["slots"],
        wal_frames=found.get("wal_frames", 0),
        journal_extents=found.get("journal_extents", 0),
        damaged=damaged,
        damaged_total=found.get("damaged_total", len(damaged)),
        header=dict(found.get("header", {})),
        cells=dict(found.get("cells", {})),
        warnings=list(found.get("warnings", [])),
    )

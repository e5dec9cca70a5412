"""What a database says about itself without a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from ..engine import native
from ..engine.registration import stdlib_host
from ..errors import NotEncryptedError, make
from .kdf import Argon2id


@dataclass(frozen=True, slots=True)
class Keyslot:
    """One way to open a database."""

    index: int
    #: ``"passphrase"``, ``"raw"`` or ``"kms"``.
    type: str
    #: Whatever the header holds: it may act on a terminal that it is shown on.
    label: str
    #: None if the header holds a number that is no date before the year 10000.
    created: datetime | None
    #: None for a key that needs no derivation.
    kdf: Argon2id | None
    #: What a key-management service needs to unwrap the key (docs/reference/format.md, 2.2.1); else empty.
    provider: bytes = b""


@dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """What :func:`lumocrypt.info` returns. Sizes are in bytes."""

    path: str
    version: int
    uuid: UUID
    key_id: str
    cipher: str
    block_size: int
    #: Bytes that each block needs beyond its content.
    overhead: int
    #: Blocks in the main file, or pages of an LMDB environment.
    blocks: int
    size: int
    #: The size of the database as SQLite sees it; of all pages of an environment.
    logical_size: int
    generation: int
    #: Whether a change of the data key (:func:`lumocrypt.rekey`) has begun and not ended.
    rekeying: bool
    #: ``"ok"`` or ``"damaged"`` for each copy of the header, ``"a"`` and ``"b"``.
    copies: Mapping[str, str]
    keyslots: tuple[Keyslot, ...]
    #: ``"sqlite"`` for a database, ``"lmdb"`` for an LMDB environment.
    contents: str = "sqlite"


def inspect(path: str) -> DatabaseInfo:
    """What the header of the file at ``path`` says, which :func:`existing_file` has let through.

    Raises NotEncryptedError for another kind of file, HeaderDamagedError, UnsupportedFormatError.
    """
    found = native.inspect(stdlib_host().number, path)
    if found["format"] != "lumocrypt":
        what = {
            "sqlite": "the file is a plaintext SQLite database; encrypt it with lumocrypt.encrypt()",
            "empty": "the file is empty; the database has not been created yet",
        }
        unknown = "the file is neither a lumocrypt nor an SQLite database"
        if found.get("noise"):
            unknown += (
                "; if it is in the gosqlite format, open it with lumocrypt.crypto_vfs, or bring it into "
                "another format with `lumocrypt decrypt --format gosqlite` or "
                "`lumocrypt convert --from gosqlite`"
            )
        raise make(NotEncryptedError, what.get(found["format"], unknown), path=path)
    return DatabaseInfo(
        path=path,
        version=found["version"],
        uuid=UUID(found["uuid"]),
        key_id=found["key_id"],
        cipher=found["cipher"],
        block_size=found["block_size"],
        overhead=found["overhead"],
        blocks=found["slots"],
        size=found["size"],
        logical_size=found["logical_size"],
        generation=found["generation"],
        rekeying=found["rekeying"],
        copies=dict(found["copies"]),
        keyslots=tuple(_keyslot(slot) for slot in found["keyslots"]),
        contents=found["contents"],
    )


def _keyslot(slot: dict[str, Any]) -> Keyslot:
    costs = slot.get("kdf")
    return Keyslot(
        index=slot["index"],
        type=slot["type"],
        label=slot.get("label") or "",
        created=_date(slot["created"]),
        kdf=None if costs is None else Argon2id(costs["t"], costs["m"], costs["p"]),
        provider=bytes.fromhex(slot.get("provider") or ""),
    )


def _date(seconds: int) -> datetime | None:
    """Seconds since 1970 as a date; any number may stand in a header."""
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return None

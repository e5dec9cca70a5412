"""``info``: what a database says about itself without a key."""

from __future__ import annotations

from ..files.paths import StrPath, existing_file
from ..keys.identity import UuidLike, inspect_as, resolve_uuid
from ..keys.inspection import DatabaseInfo


def info(path: StrPath, *, uuid: UuidLike | None = None) -> DatabaseInfo:
    """What the header of a database, or of an LMDB environment, says. No key is needed, and so nothing of it
    is authenticated.

    ``uuid`` says which database is meant, as for :func:`lumocrypt.connect`.

    Raises WrongDatabaseError, NotEncryptedError for another kind of file, HeaderDamagedError,
    UnsupportedFormatError, FileNotFoundError, IsADirectoryError, PermissionError; CryptError itself for a
    file that is no database yet, since it is empty or its creation was interrupted.
    """
    return inspect_as(existing_file(path), resolve_uuid(uuid))

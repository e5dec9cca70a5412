"""Which database is meant: its UUID, which no copy and no other database shares."""

from __future__ import annotations

from typing import TypeAlias
from uuid import UUID

from ..errors import WrongDatabaseError, make
from .inspection import DatabaseInfo, inspect

#: What ``uuid=`` takes: 32 hexadecimal digits, with or without dashes, or a UUID.
UuidLike: TypeAlias = UUID | str


def resolve_uuid(uuid: UuidLike | None) -> UUID | None:
    """The UUID that was given. Raises TypeError for another type, ValueError for a text that is none."""
    if uuid is None or isinstance(uuid, UUID):
        return uuid
    if not isinstance(uuid, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"a UUID is a str or a uuid.UUID, not {type(uuid).__name__}")
    digits = uuid.replace("-", "")
    if len(digits) == 32 and all(digit in "0123456789abcdefABCDEF" for digit in digits):
        return UUID(hex=digits)
    raise ValueError(f"{uuid!r} is not a UUID: give its 32 hexadecimal digits, with or without dashes")


def inspect_as(path: str, wanted: UUID | None) -> DatabaseInfo:
    """As :func:`inspect`, of a database that has the UUID ``wanted``. Its header is not authenticated by
    that.

    Raises WrongDatabaseError if it has another one, and what :func:`lumocrypt.info` raises.
    """
    found = inspect(path)
    if wanted is not None and found.uuid != wanted:
        raise make(
            WrongDatabaseError,
            f"this is another database than the one that was asked for: its UUID is {found.uuid}, and not "
            f"{wanted}; find out who put it here",
            path=path,
        )
    return found

"""Keys that are kept for a path: ``unlock`` and ``lock``; and what the process knows without being told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ..engine import native
from ..engine.registration import stdlib_host
from ..errors import KeyRequiredError, NotEncryptedError, make
from ..files.paths import StrPath, absolute, existing_file
from .identity import UuidLike, inspect_as, resolve_uuid
from .kdf import KdfLimit, resolve_limit
from .key import ENVIRONMENT_VARIABLE, Hidden, Key, KeyLike, hiding


@dataclass(frozen=True, slots=True)
class Unlocked:
    """What is kept for a path."""

    key: Key
    #: None until the database exists.
    uuid: UUID | None


@hiding("key")
def unlock(
    path: StrPath, key: KeyLike, *, kdf_limit: KdfLimit | None = None, uuid: UuidLike | None = None
) -> None:
    """Keeps a key for every later open of ``path`` in this process, until :func:`lock`.

    The key of an existing database is checked at once. A path that does not exist yet may be unlocked: the
    database is then created with that key. A :class:`lumocrypt.KmsKey` is for a database that exists.

    From then on the path stands for this one database, which is remembered by its UUID: that of the file,
    of the first one that is created or opened there, or ``uuid``. A plaintext or checksum file in its
    place is a NotEncryptedError, another database a WrongDatabaseError, also where a link leads from the
    path, or from a name that led through it, to somewhere else, and whatever key an open brings itself.
    Call ``unlock`` again if the new one is meant.

    ``kdf_limit`` is as for :func:`lumocrypt.connect`, and holds for the later opens, too.

    Raises WrongKeyError, NotEncryptedError, WrongDatabaseError, HeaderDamagedError, UnsupportedFormatError,
    KeySourceError, TypeError or ValueError for bad arguments.
    """
    hidden = Hidden(key)
    name, wanted = absolute(path), resolve_uuid(uuid)
    if hidden.remote():
        real = existing_file(name)
        inspect_as(real, wanted)
        given = hidden.key(real)
    else:
        given = hidden.key()
    if given is None:
        raise TypeError("unlock() needs a key")
    stdlib_host()
    options = {"kdf_limit": resolve_limit(kdf_limit), "uuid": None if wanted is None else wanted.hex}
    native.unlock(name, given.number, options)


def lock(path: StrPath) -> bool:
    """Forgets the key of ``path``; open connections keep theirs. Returns whether there was one."""
    return native.lock(absolute(path))


def unlocked(path: StrPath) -> Unlocked | None:
    """What is kept for a path, by whichever of its names."""
    number, known = native.unlocked(absolute(path))
    if number == 0:
        return None
    uuid = known.get("uuid")
    return Unlocked(Key.own(number, known["kind"]), None if uuid is None else UUID(uuid))


def unlock_again(path: str) -> None:
    """This process has put another database in the place of the one at ``path``: if the path is unlocked,
    it stands for the new one.

    Raises what :func:`unlock` raises.
    """
    if unlocked(path) is not None:
        native.unlock(path, 0, {})


def environment_key() -> Key | None:
    """The key of ``LUMO_KEY``, if it is set. Raises ValueError if its text is no key."""
    return Key.from_env() if os.environ.get(ENVIRONMENT_VARIABLE) else None


def key_of_new(path: str, hidden: Hidden, given: Key | None, *, takes_none: bool) -> Key | None:
    """The key of a database that is made of the plaintext one at ``path``: the one given, of
    :func:`unlock`, or of ``LUMO_KEY``; None where the cipher ``takes_none``.

    Raises KeyRequiredError if there is none, NotEncryptedError for one that the cipher does not take.
    """
    if hidden.none_is_meant:
        if not takes_none:
            raise make(KeyRequiredError, "an encrypted database needs a key; give one, or cipher='checksum'")
        return None
    if given is not None:
        return given
    known = unlocked(path)
    found = known.key if known is not None else environment_key()
    if takes_none and found is not None:
        raise make(
            NotEncryptedError,
            "the checksum cipher takes no key, and one was given, by LUMO_KEY or lumocrypt.unlock; say that "
            "none is meant, with key=lumocrypt.NO_KEY or --no-key, or choose another cipher",
            path=path,
        )
    if not takes_none and found is None:
        raise make(
            KeyRequiredError,
            "a key is required; give key=, call lumocrypt.unlock(path, key) first, or set LUMO_KEY",
            path=path,
        )
    return found


def options_of(uuid: UUID | None, hidden: Hidden) -> dict[str, Any]:
    """The engine's options for the identity that is wanted and for whether a key is meant at all."""
    return {"uuid": None if uuid is None else uuid.hex, "no_key": hidden.none_is_meant or None}

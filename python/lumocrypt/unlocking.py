"""Keys that are kept for a path: ``unlock`` and ``lock``; and where a key comes from when none is given."""

from __future__ import annotations

import os

from . import native
from .errors import KeyRequiredError, make
from .kdf import KdfLimit, resolve_limit
from .keys import ENVIRONMENT_VARIABLE, Hidden, Key, KeyLike
from .paths import StrPath, absolute, existing_file
from .registration import stdlib_host

# The engine has its own registry, for opens. This one serves the functions that take whole files.
_unlocked: dict[str, Key] = {}


def unlock(path: StrPath, key: KeyLike, *, kdf_limit: KdfLimit | None = None) -> None:
    """Keeps a key for every later open of ``path`` in this process, until :func:`lock`.

    The key of an existing database is checked at once. A path that does not exist yet may be unlocked: the
    database is then created with that key. Such a path never opens as plaintext. A :class:`lumocrypt.KmsKey`
    is for a database that exists.

    ``kdf_limit`` is as for :func:`lumocrypt.connect`, and holds for the later opens, too.

    Raises WrongKeyError, NotEncryptedError, HeaderDamagedError, UnsupportedFormatError, KeySourceError.
    """
    hidden = Hidden(key)
    del key
    name = absolute(path)
    given = hidden.key(existing_file(name) if hidden.remote() else None)
    if given is None:
        raise TypeError("unlock() needs a key")
    stdlib_host()
    native.unlock(name, given.number, {"kdf_limit": resolve_limit(kdf_limit)})
    _unlocked[os.path.realpath(name)] = given


def lock(path: StrPath) -> bool:
    """Forgets the key of ``path``; open connections keep theirs. Returns whether there was one."""
    name = absolute(path)
    _unlocked.pop(os.path.realpath(name), None)
    return native.lock(name)


def resolve_key(path: str, key: Key | None) -> Key:
    """The key for a whole-file operation: the one given, of :func:`unlock`, or of ``LUMO_KEY``.

    Raises KeyRequiredError if there is none.
    """
    if key is not None:
        return key
    kept = _unlocked.get(os.path.realpath(path))
    if kept is not None:
        return kept
    if os.environ.get(ENVIRONMENT_VARIABLE):
        return Key.from_env()
    raise make(
        KeyRequiredError,
        "a key is required; give key=, call lumocrypt.unlock(path, key) first, or set LUMO_KEY",
        path=path,
    )

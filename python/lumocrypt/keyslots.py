"""Who may open a database: ``keyslots``, ``add_key``, ``remove_key``, ``change_key`` and ``label_key``.

A database is encrypted with a random data key, which each keyslot holds wrapped under a key of its own.
What is changed here is slots: a few kilobytes, whatever the size of the database. The data key stays the
same, so whoever has kept a copy of the header from before, and a key that opened it, can still open the
database; only a new data key puts an end to that.

Others may use the database meanwhile. Connections that are open stay open, with or without their key's slot.
"""

from __future__ import annotations

from typing import Any

from .command import Commander
from .errors import NotEncryptedError, make
from .info import DatabaseInfo, Keyslot, inspect
from .kdf import DEFAULT, Kdf, KdfLimit, resolve_limit
from .kdf import resolve as resolve_kdf
from .keys import Hidden, Key, KeyLike
from .paths import StrPath, existing_file
from .unlocking import resolve_key


def keyslots(path: StrPath) -> list[Keyslot]:
    """The keyslots of a database, in their order. No key is needed, and so nothing of it is authenticated.

    Raises what :func:`lumocrypt.info` raises.
    """
    return list(inspect(existing_file(path)).keyslots)


def add_key(
    path: StrPath,
    *,
    key: KeyLike | None,
    new_key: KeyLike,
    kdf: Kdf = DEFAULT,
    kdf_limit: KdfLimit | None = None,
    label: str | None = None,
) -> Keyslot:
    """Lets ``new_key``, too, open the database; returns its keyslot.

    ``key`` is any key that opens it now; None takes that of :func:`lumocrypt.unlock` or ``LUMO_KEY``.
    ``kdf`` is the cost of a new passphrase (see :data:`lumocrypt.PROFILES`), ``kdf_limit`` as for
    :func:`lumocrypt.connect`. ``label``, at most 64 bytes of UTF-8, is for people, and readable without a
    key.

    Raises WrongKeyError, KeyRequiredError, KeySourceError, InUseError if a writer does not finish,
    CryptError if all keyslots are in use, NotEncryptedError, HeaderDamagedError, UnsupportedFormatError,
    PermissionError, ValueError or TypeError for bad arguments.
    """
    hidden, new_hidden = Hidden(key), Hidden(new_key)
    del key, new_key
    return _put("add_slot", path, hidden, new_hidden, kdf, kdf_limit, label)


def change_key(
    path: StrPath,
    *,
    key: KeyLike | None,
    new_key: KeyLike,
    kdf: Kdf = DEFAULT,
    kdf_limit: KdfLimit | None = None,
    label: str | None = None,
) -> Keyslot:
    """Replaces ``key`` by ``new_key`` in the same keyslot, which is returned.

    Its label stays unless one is given. A key that :func:`lumocrypt.unlock` keeps for the path stays the old
    one. Arguments and errors are those of :func:`add_key`.
    """
    hidden, new_hidden = Hidden(key), Hidden(new_key)
    del key, new_key
    return _put("change_slot", path, hidden, new_hidden, kdf, kdf_limit, label)


def remove_key(
    path: StrPath, *, key: KeyLike | None, slot: int | None = None, kdf_limit: KdfLimit | None = None
) -> int:
    """Removes a keyslot: number ``slot``, or the one that ``key`` opens; returns its number.

    ``key`` is as for :func:`add_key`, and may be the one that goes. Copies of the database and of its header
    keep their keyslots.

    Raises CryptError if it is the last keyslot or there is none of that number, and what add_key raises.
    """
    hidden = Hidden(key)
    del key
    found, given = _unlocked_by(path, hidden)
    with Commander(found.path, given, kdf_limit) as commander:
        return int(commander.run({"command": "remove_slot", "slot": slot}, _which(given, slot))["slot"])


def label_key(
    path: StrPath,
    label: str,
    *,
    key: KeyLike | None,
    slot: int | None = None,
    kdf_limit: KdfLimit | None = None,
) -> Keyslot:
    """Names keyslot number ``slot``, or the one that ``key`` opens, which is returned.

    Arguments and errors are those of :func:`remove_key`.
    """
    hidden = Hidden(key)
    del key
    found, given = _unlocked_by(path, hidden)
    command = {"command": "label_slot", "slot": slot, "label": label}
    with Commander(found.path, given, kdf_limit) as commander:
        return _slot(found.path, commander.run(command, _which(given, slot)))


def _put(
    name: str,
    path: StrPath,
    hidden: Hidden,
    new_hidden: Hidden,
    kdf: Kdf,
    kdf_limit: KdfLimit | None,
    label: str | None,
) -> Keyslot:
    command: dict[str, Any] = {"command": name, "label": label}
    costs, remote = resolve_kdf(kdf), new_hidden.remote()
    new = None if remote is not None else new_hidden.key()
    found, given = _unlocked_by(path, hidden)
    if remote is not None:
        wrapped = remote.wrap(found.uuid.bytes, bytes.fromhex(found.key_id))
        new, command["provider"] = wrapped.key, wrapped.provider.hex()
    elif new is not None:
        command |= {"kdf": costs, "kdf_limit": resolve_limit(kdf_limit)}
    else:
        raise TypeError("a new key is needed")
    keys = [new] if name == "add_slot" else [given, new]
    with Commander(found.path, given, kdf_limit) as commander:
        return _slot(found.path, commander.run(command, keys))


def _unlocked_by(path: StrPath, hidden: Hidden) -> tuple[DatabaseInfo, Key]:
    name = existing_file(path)
    given = hidden.key(name)
    found = inspect(name)
    if not found.keyslots:
        raise make(NotEncryptedError, "the database is only checksummed: it has no keys", path=name)
    return found, resolve_key(name, given)


def _which(key: Key, slot: int | None) -> list[Key]:
    return [key] if slot is None else []


def _slot(path: str, answer: dict[str, Any]) -> Keyslot:
    return next(slot for slot in inspect(path).keyslots if slot.index == answer["slot"])

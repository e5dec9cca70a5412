"""Who may open a database: ``keyslots``, ``add_key``, ``remove_key``, ``change_key`` and ``label_key``.

A database is encrypted with a random data key, which each keyslot holds wrapped under a key of its own.
What is changed here is slots: a few kilobytes, whatever the size of the database. The data key stays the
same, so anyone who kept an earlier copy of the header, and a key that opened it, can still open the
database; only a new data key puts an end to that.

Others may use the database meanwhile. Connections that are open stay open, with or without their key's slot.
"""

from __future__ import annotations

from typing import Any

from ..errors import NotEncryptedError, make
from ..files.paths import StrPath, existing_file
from ..keys.identity import UuidLike, inspect_as, resolve_uuid
from ..keys.inspection import DatabaseInfo, Keyslot, inspect
from ..keys.kdf import DEFAULT, Kdf, KdfLimit
from ..keys.kdf import resolve as resolve_kdf
from ..keys.key import Hidden, Key, KeyLike, hiding
from ..keys.source import Source
from .command import commander


def keyslots(path: StrPath, *, uuid: UuidLike | None = None) -> list[Keyslot]:
    """The keyslots of a database, in their order. No key is needed, and so nothing of it is authenticated.

    Raises what :func:`lumocrypt.info` raises.
    """
    return list(inspect_as(existing_file(path), resolve_uuid(uuid)).keyslots)


@hiding("key", "new_key")
def add_key(
    path: StrPath,
    *,
    key: KeyLike | None,
    new_key: KeyLike,
    kdf: Kdf = DEFAULT,
    kdf_limit: KdfLimit | None = None,
    label: str | None = None,
    uuid: UuidLike | None = None,
) -> Keyslot:
    """Lets ``new_key``, too, open the database; returns its keyslot.

    ``key`` is any key that opens it now; None takes that of :func:`lumocrypt.unlock` or ``LUMO_KEY``.
    ``kdf`` is the cost of a new passphrase (see :data:`lumocrypt.PROFILES`), ``kdf_limit`` and ``uuid``
    as for :func:`lumocrypt.connect`. ``label``, at most 64 bytes of UTF-8, is for people, and readable
    without a key.

    Raises WrongKeyError, KeyRequiredError, KeySourceError, InUseError if a writer does not finish,
    CryptError if all keyslots are in use, NotEncryptedError, WrongDatabaseError, HeaderDamagedError,
    UnsupportedFormatError, PermissionError, ValueError or TypeError for bad arguments.
    """
    source = Source.open(path, key, kdf_limit=kdf_limit, uuid=uuid)
    return _put("add_slot", source, Hidden(new_key), kdf, label)


@hiding("key", "new_key")
def change_key(
    path: StrPath,
    *,
    key: KeyLike | None,
    new_key: KeyLike,
    kdf: Kdf = DEFAULT,
    kdf_limit: KdfLimit | None = None,
    label: str | None = None,
    uuid: UuidLike | None = None,
) -> Keyslot:
    """Replaces ``key`` by ``new_key`` in the same keyslot, which is returned.

    Its label stays unless one is given. A key that :func:`lumocrypt.unlock` keeps for the path stays the old
    one. Arguments and errors are those of :func:`add_key`.
    """
    source = Source.open(path, key, kdf_limit=kdf_limit, uuid=uuid)
    return _put("change_slot", source, Hidden(new_key), kdf, label)


@hiding("key")
def remove_key(
    path: StrPath,
    *,
    key: KeyLike | None,
    slot: int | None = None,
    kdf_limit: KdfLimit | None = None,
    uuid: UuidLike | None = None,
) -> int:
    """Removes a keyslot: number ``slot``, or the one that ``key`` opens; returns its number.

    ``key`` is as for :func:`add_key`, and may be the one that goes. Copies of the database and of its header
    keep their keyslots.

    Raises CryptError if it is the last keyslot or there is none of that number, and what add_key raises.
    """
    source = Source.open(path, key, kdf_limit=kdf_limit, uuid=uuid)
    _, given = _with_keys(source)
    with commander(source) as engine:
        return int(engine.run({"command": "remove_slot", "slot": slot}, _which(given, slot))["slot"])


@hiding("key")
def label_key(
    path: StrPath,
    label: str,
    *,
    key: KeyLike | None,
    slot: int | None = None,
    kdf_limit: KdfLimit | None = None,
    uuid: UuidLike | None = None,
) -> Keyslot:
    """Names keyslot number ``slot``, or the one that ``key`` opens, which is returned.

    Arguments and errors are those of :func:`remove_key`.
    """
    source = Source.open(path, key, kdf_limit=kdf_limit, uuid=uuid)
    found, given = _with_keys(source)
    command = {"command": "label_slot", "slot": slot, "label": label}
    with commander(source) as engine:
        return _slot(found.path, engine.run(command, _which(given, slot)))


def _put(name: str, source: Source, new_hidden: Hidden, kdf: Kdf, label: str | None) -> Keyslot:
    command: dict[str, Any] = {"command": name, "label": label}
    remote = new_hidden.remote()
    new = None if remote is not None else new_hidden.key()
    found, given = _with_keys(source)
    if remote is not None:
        wrapped = remote.wrap(found.uuid.bytes, bytes.fromhex(found.key_id))
        new, command["provider"] = wrapped.key, wrapped.provider.hex()
    elif new is not None:
        command |= {"kdf": resolve_kdf(kdf), "kdf_limit": source.kdf_limit}
    else:
        raise TypeError("a new key is needed")
    keys = [new] if name == "add_slot" else [given, new]
    with commander(source) as engine:
        return _slot(found.path, engine.run(command, keys))


def _with_keys(source: Source) -> tuple[DatabaseInfo, Key]:
    found = inspect_as(source.path, source.uuid)
    if not found.keyslots:
        raise make(NotEncryptedError, "the database is only checksummed: it has no keys", path=source.path)
    return found, source.required_key()


def _which(key: Key, slot: int | None) -> list[Key]:
    return [key] if slot is None else []


def _slot(path: str, answer: dict[str, Any]) -> Keyslot:
    return next(slot for slot in inspect(path).keyslots if slot.index == answer["slot"])

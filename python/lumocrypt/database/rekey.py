"""``rekey``: another data key for the whole file, while others use it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..engine import native
from ..engine.native import Progress
from ..engine.registration import stdlib_host
from ..errors import InUseError, NotEncryptedError, TamperedError, UnsupportedFormatError, WrongKeyError, make
from ..files.paths import StrPath, existing_file
from ..keys.identity import UuidLike, inspect_as, resolve_uuid
from ..keys.inspection import DatabaseInfo, inspect
from ..keys.kdf import Kdf, KdfLimit, resolve, resolve_limit
from ..keys.key import Hidden, Key, KeyLike, hiding
from ..keys.source import Source
from ..opening.connection import CHECKSUM
from .command import Commander

#: Seconds to wait, at each step, for others to let us write.
LOCK_WAIT = 30.0
#: Bytes sealed under one lock: some ten milliseconds, which is what others have to wait at most.
STEP_BYTES = 4 << 20
# Seconds before a lock is tried for again that SQLite does not wait for by itself.
_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class Rekeying:
    """What :func:`rekey` did."""

    path: str
    cipher: str
    #: The id of the new data key: a name for it, which tells nothing of the key.
    key_id: str
    #: Bytes of the database as SQLite sees it.
    size: int
    #: Whether an interrupted change was taken up again.
    resumed: bool
    seconds: float


@hiding("key", "new_key", each="other_keys")
def rekey(
    path: StrPath,
    *,
    key: KeyLike | None,
    new_key: KeyLike | None = None,
    cipher: str | None = None,
    kdf: Kdf | None = None,
    kdf_limit: KdfLimit | None = None,
    uuid: UuidLike | None = None,
    other_keys: Sequence[KeyLike] = (),
    drop_other_slots: bool = False,
    wait: float = LOCK_WAIT,
    progress: Progress | None = None,
) -> Rekeying:
    """Gives the database a new data key, and seals every block with it.

    ``key`` opens the database; ``new_key``, if it is given, takes its place. Every other keyslot needs
    its key in ``other_keys``, or goes with ``drop_other_slots=True``. ``cipher`` changes the suite, too;
    ``kdf`` what the passphrase costs; ``kdf_limit`` and ``uuid`` are as for :func:`lumocrypt.connect`.
    ``key=None`` takes the key of :func:`lumocrypt.unlock` or ``LUMO_KEY``.

    It is done in place, a few megabytes at a time, by up to four threads (``LUMO_THREADS`` limits that).
    Other connections, of this and other processes, go on reading and writing, and find the new data key by
    themselves; only one that neither writes nor reads anything from the file from beginning to end has to be
    able to open the database again. After a crash, a full disk or an exception from ``progress`` the database
    opens and works as before, and the same call goes on where it stopped: with ``key`` or with ``new_key``,
    whichever opens it then. Blocks that are being written are kept next to the database, in
    ``<path>-lumo-rekey``, which must stay there.

    ``wait`` is how many seconds others may keep us from writing. ``progress(done_bytes, total_bytes)`` may
    raise to stop.

    A copy of the header from before still leads to the old data key, which opens copies of the database from
    before, and nothing that is written from now on.

    Raises WrongKeyError, NotEncryptedError, WrongDatabaseError, KeyRequiredError for a keyslot whose key
    is missing, InUseError if others keep the database locked, TamperedError for a damaged block (nothing
    is lost; salvage or restore it first), UnsupportedFormatError for an LMDB environment, which is copied
    instead, OSError(ENOSPC), CryptError for ``adiantum``, ``aes-256-xts``
    and changes from and to them (:func:`lumocrypt.convert` does those, while nobody uses the database),
    ValueError or TypeError for bad arguments.
    """
    hidden, new_hidden = Hidden(key), Hidden(new_key)
    if cipher == CHECKSUM:
        raise ValueError("the checksum cipher has no key: decrypt the database and encrypt it with checksum")
    asked, path = path, existing_file(path)
    found = inspect_as(path, resolve_uuid(uuid))
    if found.cipher == CHECKSUM:
        raise make(NotEncryptedError, "a database that is only checksummed has no key to change", path=path)
    if found.contents == "lmdb":
        raise make(
            UnsupportedFormatError,
            "the data key of an LMDB environment is not changed in place: copy it under a new key",
            path=path,
        )
    stdlib_host()
    begun = time.monotonic()
    members: dict[str, Any] = {
        "command": "rekey_begin",
        "cipher": cipher,
        "kdf": None if kdf is None else resolve(kdf),
        "kdf_limit": resolve_limit(kdf_limit),
        "drop_other_slots": drop_other_slots,
    }
    step: dict[str, Any] = {"command": "rekey_step", "bytes": STEP_BYTES, "threads": native.threads()}
    new = _successor(found, new_hidden if new_hidden.is_given() else hidden, new_hidden, members)
    kept = [_required(path, Hidden(other)) for other in other_keys]
    source, is_new = _opening(asked, hidden, new_hidden, kdf_limit, uuid)
    if is_new and not found.rekeying:
        raise make(
            WrongKeyError,
            "the key opens no keyslot, and the new one does already: an earlier call may have come to its "
            "end, or the keys were mistaken for each other; nothing was changed",
            path=path,
        )
    with Commander(source, wait=wait) as commander:
        members["new_key"] = new is not None
        keys = [source.required_key(), *([] if new is None else [new]), *kept]
        resumed = bool(_unless_busy(lambda: commander.run(members, keys), path, wait)["resumed"])
        _walk(commander, path, step, wait, progress)
        _finish(commander, path, wait)
    return _result(path, resumed, begun)


def _successor(
    found: DatabaseInfo, remaining: Hidden, new_hidden: Hidden, members: dict[str, Any]
) -> Key | None:
    """What takes the key's place; None if the same key stays. A service wraps another one in either case."""
    remote = remaining.remote()
    if remote is None:
        return new_hidden.key()
    key_id = secrets.token_bytes(16)
    wrapped = remote.wrap(found.uuid.bytes, key_id)
    members |= {"key_id": key_id.hex(), "provider": wrapped.provider.hex()}
    return wrapped.key


def _required(path: str, hidden: Hidden) -> Key:
    key = hidden.key(path)
    if key is None:
        raise TypeError("other_keys holds None, which is no key")
    return key


def _opening(
    path: StrPath, hidden: Hidden, new_hidden: Hidden, limit: KdfLimit | None, uuid: UuidLike | None
) -> tuple[Source, bool]:
    """The database with the key that opens it, and whether that is the new one, which an interrupted
    change has."""
    try:
        source = Source.open(path, hidden, kdf_limit=limit, uuid=uuid)
        source.required_key()
        with Commander(source):
            return source, False
    except WrongKeyError:
        if not new_hidden.is_given():
            raise
    source = Source.open(path, new_hidden, kdf_limit=limit, uuid=uuid)
    with Commander(source):
        return source, True


def _walk(
    commander: Commander, path: str, step: dict[str, Any], wait: float, progress: Progress | None
) -> None:
    while True:
        try:
            answer = _unless_busy(lambda: commander.run(step), path, wait)
        except TamperedError:
            # A crash may have interrupted a checkpoint: what it tore is whole in the log, and the next one
            # writes it again.
            commander.checkpoint("PASSIVE")
            answer = _unless_busy(lambda: commander.run(step), path, wait)
        if progress is not None:
            progress(answer["done"], answer["total"])
        if answer["done"] >= answer["total"]:
            return


def _finish(commander: Commander, path: str, wait: float) -> None:
    deadline = time.monotonic() + wait
    while not _unless_busy(lambda: commander.run({"command": "rekey_finish"}), path, wait)["finished"]:
        # Frames under the old key are left in the log: it has to be emptied once.
        commander.checkpoint()
        if time.monotonic() > deadline:
            raise make(
                InUseError,
                "every block is under the new data key, but other connections keep the write-ahead log "
                "from being emptied; run the same again when they are done",
                path=path,
            )


def _unless_busy(run: Callable[[], dict[str, Any]], path: str, wait: float) -> dict[str, Any]:
    deadline = time.monotonic() + wait
    while (answer := run()).get("busy"):
        if time.monotonic() > deadline:
            raise make(
                InUseError,
                "a checkpoint by another connection does not end; run the same again when it has",
                path=path,
            )
        time.sleep(_PAUSE)
    return answer


def _result(path: str, resumed: bool, begun: float) -> Rekeying:
    found = inspect(path)
    return Rekeying(path, found.cipher, found.key_id, found.logical_size, resumed, time.monotonic() - begun)

"""``backup_header`` and ``restore_header``: without its header a database is lost, whatever keys exist."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ..engine import native
from ..engine.registration import stdlib_host
from ..files.folder import Folder, Identity, Original
from ..files.newfile import NewFile, temporary_name
from ..files.paths import StrPath, absolute, existing_file
from ..keys.identity import UuidLike, inspect_as, resolve_uuid
from ..keys.kdf import KdfLimit
from ..keys.key import KeyLike, hiding
from ..keys.source import Source

# Bytes in a name, on the usual file systems (limits.h, NAME_MAX).
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class RestoredHeader:
    """What :func:`restore_header` did."""

    path: str
    #: Where the header that was there before is now.
    saved: str
    #: The generation of the header now.
    generation: int
    #: Blocks of the file that were tried with the keys of the backup, and those of them that opened.
    tried: int
    opened: int
    #: The part of the header that says which WAL belongs to the database was damaged, too, and rebuilt.
    new_cells: bool


def backup_header(path: StrPath, destination: StrPath, *, uuid: UuidLike | None = None) -> str:
    """Copies the header of a database, 64 KiB, to a new file that only its owner may read; returns its name.

    No key is needed. The keys that open the database now open the copy, also after they have been removed:
    keep it as you keep the keys, and make a new one whenever keys or the data key have changed. It holds no
    rows. ``uuid`` says which database is meant.

    Raises FileExistsError, and what :func:`lumocrypt.info` raises.
    """
    name = existing_file(path)
    wanted, target = resolve_uuid(uuid), absolute(destination)
    if wanted is not None:
        inspect_as(name, wanted)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    with NewFile(target) as new:
        native.header_backup(stdlib_host().number, name, new.descriptor)
        new.get_name()
    return target


@hiding("key")
def restore_header(
    path: StrPath,
    source: StrPath,
    *,
    key: KeyLike | None,
    kdf_limit: KdfLimit | None = None,
    uuid: UuidLike | None = None,
) -> RestoredHeader:
    """Puts a header back that :func:`backup_header` has copied from this database.

    Nobody else may use the database. ``key`` opens the backup; None takes that of :func:`lumocrypt.unlock`
    or ``LUMO_KEY``. The keys of the backup open the database afterwards, and those that were added since do
    not. A header of another database or data key is refused: blocks of the file have to open under it. What
    is there now is copied to ``<path>.lumo-header-<time>`` first.
    ``uuid`` is that of the backup, and says which database is meant.

    Raises WrongKeyError, NotEncryptedError, WrongDatabaseError, KeyRequiredError, KeySourceError,
    InUseError, ValueError for a backup of another database or another data key, TamperedError if no block
    opens although the backup is the right one, HeaderDamagedError if the backup is damaged or there is a
    log that nothing names, FileNotFoundError, PermissionError.
    """
    name, backup = existing_file(path), existing_file(source)
    if not os.access(name, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
    opened = Source.open(path, key, kdf_limit=kdf_limit, uuid=uuid, key_path=backup)
    host, number, options = stdlib_host().number, opened.number, opened.options
    with Original(name) as original:
        saved = _name_for_saved(original)
        held = (name, original.folder.descriptor)
        # It has its name before the header is written: no crash may take the only copy of what was there.
        descriptor = original.folder.open(saved, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            # The keys of the header open the database, too: who may use that may use it.
            replace(original.attributes(), mode=0o600, access_list=None).limit(descriptor, clear=False)
            original.folder.sync()
            original.check()
            answer = native.header_restore(host, held, backup, number, options, descriptor)
        finally:
            _close_or_remove(original.folder, saved, descriptor)
    return RestoredHeader(
        path=name,
        saved=os.path.join(original.folder.path, saved),
        generation=answer["generation"],
        tried=answer["tried"],
        opened=answer["opened"],
        new_cells=answer["new_cells"],
    )


def _name_for_saved(original: Original) -> str:
    """A new name that says what it is of, as far as there is room in a name for that."""
    end = f".lumo-header-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    name = original.name + end
    return name if len(os.fsencode(name)) <= _LONGEST_NAME else temporary_name() + end


def _close_or_remove(folder: Folder, name: str, descriptor: int) -> None:
    """Nothing was changed as long as nothing is in the copy of the old header."""
    status = os.fstat(descriptor)
    os.close(descriptor)
    if not status.st_size and folder.identity(name) == Identity.of(status):
        folder.remove(name)

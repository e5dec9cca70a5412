"""Files that get their name when they are complete."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat

from .paths import refuse_existing, sync_directory


class NewFileBeside(contextlib.AbstractContextManager[str]):
    """A new, empty file in the directory of ``path``, readable by its owner only, gone on leaving."""

    def __init__(self, path: str) -> None:
        folder, name = os.path.split(path)
        self._name = os.path.join(folder, f".{name}.lumo-{secrets.token_hex(8)}")

    def __enter__(self) -> str:
        os.close(os.open(self._name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        return self._name

    def __exit__(self, *_: object) -> None:
        # After a rename there is nothing to remove.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._name)


def copy_attributes(old: str, new: str) -> None:
    """Owner and permission bits, as far as this user may set them; synced."""
    status = os.stat(old)
    bits = stat.S_IMODE(status.st_mode) & 0o777
    try:
        os.chown(new, status.st_uid, status.st_gid)
    except PermissionError:
        try:
            os.chown(new, -1, status.st_gid)
        except PermissionError:
            # The bits were meant for another group.
            bits &= ~stat.S_IRWXG
    os.chmod(new, bits)
    descriptor = os.open(new, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_to_new_name(new: str, target: str) -> None:
    """Renames without ever replacing a file."""
    try:
        os.link(new, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: the check and the rename are two steps there.
        refuse_existing(target)
        os.rename(new, target)
    sync_directory(target)

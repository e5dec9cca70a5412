"""Folders that others may write to.

Whoever may write to a folder can put another file, or a link, under any name in it, at any time. So a folder
is held by a descriptor, what is in it is opened through that and through no link, and a file is known by its
device and inode.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Generator
from types import TracebackType
from typing import NamedTuple, Self

from ..errors import CryptError, make
from .attributes import Attributes

# Of a folder or file that is to be known and not read: closing it drops no lock that this process has on it.
_KNOWN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
# What these say is that a folder cannot be synced, and not that it failed; SQLite goes on there, too.
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EROFS})


class Identity(NamedTuple):
    """Which file it is, whatever its name."""

    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """The identity in what stat(2) says."""
        return cls(status.st_dev, status.st_ino)


class Folder(contextlib.AbstractContextManager["Folder"]):
    """A folder, and no other one that is given its name later; a context manager that holds it open."""

    def __init__(self, path: str, within: Folder | None = None) -> None:
        """``path`` is absolute and has no links in it, or is a name ``within`` another folder.

        Raises OSError, NotADirectoryError for a link.
        """
        self.path = path if within is None else os.path.join(within.path, path)
        with named(self.path):
            self.descriptor = _open(path) if within is None else _step(path, within.descriptor)

    @classmethod
    def of(cls, path: str) -> tuple[Self, str]:
        """The folder that the absolute ``path`` leads to, through links, and the name in it."""
        folder, name = os.path.split(path)
        return cls(os.path.realpath(folder, strict=True)), name

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the folder."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def status(self, name: str) -> os.stat_result | None:
        """What has that name; None if nothing has."""
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def identity(self, name: str) -> Identity | None:
        """Which file has that name; None if none has."""
        status = self.status(name)
        return None if status is None else Identity.of(status)

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """A descriptor of the file of that name, and not of what a link leads to. Raises OSError."""
        with named(os.path.join(self.path, name)):
            return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        """Removes what has that name, if anything has."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def names(self) -> list[str]:
        """All names in the folder."""
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.descriptor)
        try:
            return os.listdir(descriptor)
        finally:
            os.close(descriptor)

    def sync(self) -> bool:
        """Makes the names in the folder durable; whether this file system can. Raises OSError if it fails."""
        try:
            descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.descriptor)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in _CANNOT_SYNC:
                return False
            error.filename = self.path
            raise
        return True


def _step(name: str, within: int) -> int:
    return os.open(name, _KNOWN | os.O_DIRECTORY, dir_fd=within)


def _open(path: str) -> int:
    descriptor = os.open(os.sep, _KNOWN | os.O_DIRECTORY)
    for name in path.split(os.sep):
        if name:
            try:
                following = _step(name, descriptor)
            finally:
                os.close(descriptor)
            descriptor = following
    return descriptor


@contextlib.contextmanager
def named(path: str) -> Generator[None, None, None]:
    """Has an OSError name a file in full, where a descriptor stands for the folder."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = path, None
        raise


class Original(contextlib.AbstractContextManager["Original"]):
    """The file that an operation reads or replaces; a context manager.

    It is not opened for reading: closing that would drop the locks of this process's connections to it.
    """

    def __init__(self, path: str) -> None:
        """``path`` is that of a file, without links. Raises OSError, CryptError for no regular file."""
        self.path = path
        folder, self.name = os.path.split(path)
        self.folder = Folder(folder)
        try:
            self.descriptor = self.folder.open(self.name, os.O_PATH)
        except BaseException:
            self.folder.close()
            raise
        self.identity = Identity.of(self.status())
        if not stat.S_ISREG(self.status().st_mode):
            self.close()
            raise make(CryptError, "not a regular file", path=path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self.descriptor)
        self.folder.close()

    def status(self) -> os.stat_result:
        """What stat(2) says of the file, whatever its name is by now."""
        return os.fstat(self.descriptor)

    def attributes(self) -> Attributes:
        """What the file carries besides its bytes."""
        return Attributes.of(self.descriptor, self.path)

    def check(self) -> None:
        """Raises CryptError if another file has the name by now."""
        if self.folder.identity(self.name) != self.identity:
            raise moved(self.path)


def moved(path: str, what: str = "it was left as it is, under whatever name it has now") -> Exception:
    """The error about a file that was exchanged while it was worked on."""
    return make(
        CryptError,
        f"somebody put another file in the place of the database meanwhile; {what}. Find out who may write "
        "to the folder, and run this where only its owner may",
        path=path,
    )

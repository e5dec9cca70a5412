"""Files that results go to, in clear: whose they are, and who may read them."""

from __future__ import annotations

import errno
import os
import stat

from ..files.attributes import umask
from ..files.folder import Folder
from ..files.paths import absolute

# How many links may lead to a file, as for the kernel.
_MOST_LINKS = 40
# Links in there are the kernel's own and lead to files that are open.
_KERNELS = "/proc/"


def open_result_file(path: str, database: str) -> int:
    """A descriptor for writing to a new or an emptied file.

    A new one only its owner may use. One that is there has to be this user's, since the owner of a file reads
    what is written to it, and loses the permissions that ``umask`` and the file ``database`` do not give.
    Links are followed that root or this user has made.

    Raises OSError.
    """
    name = absolute(path)
    for _ in range(_MOST_LINKS):
        folder, last = Folder.of(name)
        with folder:
            status = folder.status(last)
            if status is None:
                return folder.open(last, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            if not stat.S_ISLNK(status.st_mode):
                return _emptied(folder.open(last, os.O_WRONLY), path, database)
            if folder.path.startswith(_KERNELS):
                return os.open(last, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder.descriptor)
            name = os.path.join(folder.path, _target(folder, last, path))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _target(folder: Folder, name: str, path: str) -> str:
    link = folder.open(name, os.O_PATH)
    try:
        if os.fstat(link).st_uid not in (0, os.geteuid()):
            raise _refused("a link of another user; name the file itself", path)
        return os.readlink("", dir_fd=link)
    finally:
        os.close(link)


def _emptied(descriptor: int, path: str, database: str) -> int:
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode):
            if status.st_uid != os.geteuid():
                raise _refused("another user's file, who could read it; choose another name", path)
            if status.st_nlink > 1:
                raise _refused("a file with other names (hard links); choose another name", path)
        if stat.S_ISREG(status.st_mode):
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & ~umask() & (_bits(database) | 0o600))
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _bits(database: str) -> int:
    try:
        return stat.S_IMODE(os.stat(database).st_mode)
    except OSError:
        # It is in memory.
        return 0o777


def _refused(why: str, path: str) -> PermissionError:
    return PermissionError(errno.EACCES, f"this is {why}", path)

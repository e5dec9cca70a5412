"""Checks of the files that whole-file operations take and make."""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from ..errors import CryptError, make

#: What names a file, as for open(); bytes are decoded as the operating system's names are (os.fsdecode).
StrPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]

#: The suffixes of the files that belong to a database.
COMPANIONS = ("-wal", "-journal", "-shm")
LOGS = ("-wal", "-journal")
#: Behind the name of a log: a copy that the engine made because recovery was about to lose commits in it.
DAMAGED_LOG = ".lumo-damaged"
#: The longest name that file systems take, in bytes (limits.h).
_NAME_MAX = 255


def absolute(path: StrPath) -> str:
    """The absolute path, with symbolic links left as they are.

    Bytes that are not UTF-8 are lone surrogates in it, as in all of Python's names. Raises ValueError for a
    name that no file can have.
    """
    name = os.fsdecode(path)
    if b"\0" in os.fsencode(name):
        raise ValueError("embedded null byte in a file name")
    return os.path.abspath(name)


def existing_file(path: StrPath) -> str:
    """The real path of a regular file that is not empty, with symbolic links resolved.

    The file is not opened: closing it would drop the locks of this process's connections to it.

    Raises FileNotFoundError, IsADirectoryError, PermissionError, CryptError for other kinds of file and for
    an empty one.
    """
    path = absolute(path)
    real = os.path.realpath(path, strict=True)
    status = os.stat(real)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise make(CryptError, "not a regular file", path=path)
    if not os.access(real, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    if status.st_size == 0:
        raise make(CryptError, "the file is empty, which is no database yet", path=path)
    return real


def ours_beside(path: str, suffix: str) -> str:
    """The name of a file of ours next to ``path``, as the engine makes it (docs/reference/format.md, 3)."""
    folder, name = os.path.split(os.fsencode(path))
    if len(name) + len(suffix) <= _NAME_MAX:
        return path + suffix
    end = b"~" + hashlib.sha256(name).hexdigest()[:16].encode() + suffix.encode()
    kept = max(_NAME_MAX - len(end), 0)
    while kept and name[kept] & 0xC0 == 0x80:
        kept -= 1
    return os.fsdecode(os.path.join(folder, name[:kept] + end))


def refuse_hard_links(path: str) -> None:
    """Raises CryptError if the file has other names, which would go on showing what it was."""
    links = os.stat(path).st_nlink
    if links > 1:
        raise make(
            CryptError,
            f"the file has {links} names (hard links), and the others would keep the old content; "
            "remove them, or give a destination",
            path=path,
        )


def refuse_existing(path: str) -> None:
    """Raises FileExistsError if a destination, or a log that SQLite would take for its own, exists."""
    for name in (path, *(path + suffix for suffix in LOGS)):
        if os.path.lexists(name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def size(path: str) -> int:
    """The size in bytes; 0 if there is no such file."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0

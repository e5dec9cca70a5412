"""What a file carries besides its bytes, and what of it a file that is made from it, or takes its place, has.

Nobody may gain access by it, at no moment. Everything goes by descriptor; by name only where
there is no /proc, and the folder is nobody else's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import struct
from dataclasses import dataclass

_ACCESS_LIST = "system.posix_acl_access"
# Signatures over the content, and what the kernel takes from a file that is written to.
_OF_CONTENT = frozenset({"security.ima", "security.evm", "security.capability"})
_ABSENT = frozenset({errno.ENODATA, errno.ENOTSUP, errno.ENOSYS})

# An access control list as the kernel hands it out (linux/posix_acl_xattr.h): the version, then tag, bits and
# user or group of each entry.
_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_OWNER, _USER, _GROUP, _NAMED_GROUP, _MASK, _OTHERS = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


@dataclass(frozen=True, slots=True)
class Attributes:
    """Owner, permissions, times and extended attributes of a file."""

    owner: int
    group: int
    #: With the bits for programs.
    mode: int
    #: Of the last reading and the last writing, in nanoseconds.
    times: tuple[int, int]
    #: The POSIX access control list; None if there are only permission bits.
    access_list: bytes | None
    extended: dict[str, bytes]

    @classmethod
    def of(cls, descriptor: int, path: str | None = None) -> Attributes:
        """Those of an open file. If it is open with O_PATH, its ``path`` is needed. Raises OSError."""
        status = os.fstat(descriptor)
        found = _extended(descriptor, path)
        access_list = found.pop(_ACCESS_LIST, None)
        return cls(
            owner=status.st_uid,
            group=status.st_gid,
            mode=stat.S_IMODE(status.st_mode),
            times=(status.st_atime_ns, status.st_mtime_ns),
            access_list=access_list,
            extended={name: value for name, value in found.items() if name not in _OF_CONTENT},
        )

    def require_owner(self, descriptor: int, path: str) -> None:
        """Sees to it that a new, empty file can be given to the owner; it is not yet.

        Raises PermissionError, naming ``path``, if it cannot.
        """
        status = os.fstat(descriptor)
        if (status.st_uid, status.st_gid) == (self.owner, self.group):
            return
        try:
            os.fchown(descriptor, self.owner, self.group)
        except PermissionError:
            raise PermissionError(
                errno.EPERM,
                f"the file belongs to user {self.owner} and group {self.group}, and what takes its place "
                "could not; run this as that user or as root, or give a destination",
                path,
            ) from None
        # Half of it is nobody's business.
        if status.st_uid != self.owner:
            os.fchown(descriptor, status.st_uid, -1)

    def give_all(self, descriptor: int, path: str) -> None:
        """Makes them those of a new file, of mode 0600, that is to take the place of the one at ``path``.

        Raises PermissionError or OSError for what this user or the file system cannot keep.
        """
        _remove_access_list(descriptor)
        for name, value in self.extended.items():
            _set_extended(descriptor, name, value, path)
        os.fchmod(descriptor, self.mode & 0o600)
        os.fchown(descriptor, self.owner, self.group)
        if self.access_list is not None:
            _set_extended(descriptor, _ACCESS_LIST, self.access_list, path)
        os.fchmod(descriptor, self.mode)
        os.utime(descriptor, ns=self.times)
        status = os.fstat(descriptor)
        given = (status.st_uid, status.st_gid, status.st_mode & 0o777)
        if given != (self.owner, self.group, self.mode & 0o777):
            raise PermissionError(
                errno.EPERM, "owner and permissions cannot be kept here; give a destination", path
            )

    def limit(self, descriptor: int, *, clear: bool) -> None:
        """Lets nobody use a new file, of mode 0600 and another name, whom they do not let use this one.

        It is given to the same owner and group where that can be done. If the content is ``clear``, ``umask``
        limits it, too. Raises OSError.
        """
        _remove_access_list(descriptor)
        bits = self.mode & 0o777
        os.fchmod(descriptor, bits & 0o600)
        whole = _give(descriptor, self.owner, self.group)
        group = whole or _give(descriptor, -1, self.group)
        if self.access_list is not None:
            if whole and not clear:
                with contextlib.suppress(OSError):
                    os.setxattr(descriptor, _ACCESS_LIST, self.access_list)
                    return
            bits = _without_names(self.access_list)
        if not group:
            # Who was in the group is one of the others now, and the other way round.
            both = (bits >> 3) & bits & 0o7
            bits = bits & 0o700 | both << 3 | both
        os.fchmod(descriptor, bits & ~umask() if clear else bits)


def umask() -> int:
    """The permissions that new files of this process do not get."""
    with contextlib.suppress(OSError):
        with open("/proc/self/status", "rb") as file:
            found = re.search(rb"^Umask:\s*([0-7]+)$", file.read(), re.MULTILINE)
        if found is not None:
            return int(found[1], 8)
    # There is no other way to ask; what other threads make meanwhile is for them alone.
    before = os.umask(0o077)
    os.umask(before)
    return before


def _give(descriptor: int, owner: int, group: int) -> bool:
    try:
        os.fchown(descriptor, owner, group)
    except PermissionError:
        return False
    return True


def _without_names(access_list: bytes) -> int:
    """Permission bits that let in nobody whom a list with users and groups by name does not."""
    bits = dict.fromkeys((_OWNER, _GROUP, _MASK, _OTHERS), 0o7)
    everybody = 0o7
    for tag, allowed, _who in _ENTRY.iter_unpack(access_list[_VERSION.size :]):
        if tag in (_USER, _NAMED_GROUP):
            # Without their names they are of the group, or of the others.
            everybody &= allowed
        else:
            bits[tag] = allowed
    everybody &= bits[_MASK]
    return bits[_OWNER] << 6 | (bits[_GROUP] & everybody) << 3 | bits[_OTHERS] & everybody


def _extended(descriptor: int, path: str | None) -> dict[str, bytes]:
    # A descriptor with O_PATH stands for the file, but takes no fgetxattr.
    file = descriptor if path is None else f"/proc/self/fd/{descriptor}"
    if path is not None and not os.path.lexists(file):
        # Without /proc there is only the name.
        _require_private(path)
        file = path
    try:
        return {name: os.getxattr(file, name) for name in os.listxattr(file)}
    except OSError as error:
        if error.errno in _ABSENT:
            return {}
        raise


def _require_private(path: str) -> None:
    """Raises OSError if others might put another file where ``path``, which has no links in it, leads."""
    folder, users, harmless = os.path.dirname(path), {0, os.geteuid()}, 0
    while True:
        status = os.stat(folder)
        # In a folder with the sticky bit others cannot rename what is ours, but put a file there.
        if status.st_uid not in users or (status.st_mode & 0o022 and not status.st_mode & harmless):
            raise OSError(
                errno.ENOTSUP,
                "in a folder that others may write to this needs /proc; mount it, or use another folder",
                path,
            )
        if folder == os.sep:
            return
        folder, harmless = os.path.dirname(folder), stat.S_ISVTX


def _set_extended(descriptor: int, name: str, value: bytes, path: str) -> None:
    try:
        if _get(descriptor, name) != value:
            os.setxattr(descriptor, name, value)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"the extended attribute {name} cannot be kept ({error.strerror}); remove it, or give a "
            "destination",
            path,
        ) from None


def _get(descriptor: int, name: str) -> bytes | None:
    try:
        return os.getxattr(descriptor, name)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def _remove_access_list(descriptor: int) -> None:
    # A folder may have one for the files that are made in it.
    try:
        os.removexattr(descriptor, _ACCESS_LIST)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise

"""Files that get their name when they are complete."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from types import TracebackType

from .folder import Folder, Identity, Original, moved, named
from .paths import COMPANIONS, LOGS

# How the file is called as long as it is in its own folder.
_NAME = "db"
# What file systems call a file that is open and has no name any more.
_NAMELESS = (".nfs", ".fuse_hidden")


def temporary_name() -> str:
    """A name that nothing has, and that fits wherever a database's fits, however long that is."""
    return f".lumo-{secrets.token_hex(8)}"


class NewFile(contextlib.AbstractContextManager["NewFile"]):
    """A new, empty file for ``target``, readable by its owner only, gone on leaving if it was given no name.

    It lies in a folder of its own next to the target, which only this user may enter: others who may write to
    the target's folder, cannot put another file in its place.
    """

    def __init__(self, target: str, place: Folder | None = None) -> None:
        """``target`` is absolute. ``place`` is its folder, if that is held already."""
        self.target = target
        self._given = place
        #: Open for reading and writing until the file gets its name.
        self.descriptor = -1

    def __enter__(self) -> NewFile:
        if self._given is None:
            self._place, self._name = Folder.of(self.target)
        else:
            self._place, self._name = self._given, os.path.basename(self.target)
        try:
            self._make()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self._remove_own()
        self._leave()

    def _make(self) -> None:
        own = temporary_name()
        with named(self.target):
            os.mkdir(own, 0o700, dir_fd=self._place.descriptor)
        try:
            self._own: Folder | None = Folder(own, self._place)
        except BaseException:
            with contextlib.suppress(OSError):
                os.rmdir(own, dir_fd=self._place.descriptor)
            raise
        self._own_name = own
        self._is_own = False
        self.identity: Identity | None = None
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
            self.descriptor = self._own.open(_NAME, flags)
            self.identity = Identity.of(os.fstat(self.descriptor))
            self._require_own()
        except BaseException:
            self._close()
            self._remove_own()
            raise

    def _require_own(self) -> None:
        """What was made and what was opened are the same folder, unless somebody exchanged it in between."""
        assert self._own is not None
        folder, file = os.fstat(self._own.descriptor), os.fstat(self.descriptor)
        # Some file systems have neither owners nor permissions: the file tells.
        if folder.st_uid != file.st_uid or (folder.st_mode & 0o077 and not file.st_mode & 0o077):
            raise moved(self.target, "nothing was written")
        self._is_own = True

    def _close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _leave(self) -> None:
        if self._given is None:
            self._place.close()

    def _remove_own(self) -> None:
        own, self._own = self._own, None
        if own is None:
            return
        # What is not this file's may be somebody's, in a folder that was put in the place of the one that was
        # made. SQLite's logs may be there after a failure.
        if self.identity is not None and own.identity(_NAME) == self.identity:
            own.remove(_NAME)
        for suffix in COMPANIONS if self._is_own else ():
            own.remove(_NAME + suffix)
        own.close()
        with contextlib.suppress(OSError):
            os.rmdir(self._own_name, dir_fd=self._place.descriptor)

    @property
    def folder(self) -> Folder:
        """Where the file is."""
        assert self._own is not None
        return self._own

    @property
    def path(self) -> str:
        """How the file is called now, for whoever opens files by name only.

        The folder above may be exchanged: who writes there has to see to it that it is this file.
        """
        return os.path.join(self.folder.path, _NAME)

    def require_path(self) -> None:
        """Raises CryptError if something else is where :attr:`path` leads."""
        try:
            found = Identity.of(os.stat(self.path, follow_symlinks=False))
        except OSError:
            found = None
        if found != self.identity:
            raise moved(self.target, "nothing was changed")

    def get_name(self) -> None:
        """Gives the file its name, durably, and never that of another.

        Raises FileExistsError, CryptError if somebody exchanged it at once, OSError.
        """
        self._complete()
        self._refuse_existing()
        try:
            with named(self.target):
                os.link(
                    _NAME,
                    self._name,
                    src_dir_fd=self.folder.descriptor,
                    dst_dir_fd=self._place.descriptor,
                    follow_symlinks=False,
                )
        except FileExistsError:
            raise
        except OSError:
            # A file system without hard links: the check and the rename are two steps there.
            self._refuse_existing()
            self._rename()
        self._check()
        self._remove_own()
        try:
            self._place.sync()
        except OSError:
            if self._place.identity(self._name) == self.identity:
                self._place.remove(self._name)
            raise

    def replace(self, original: Original, old: int) -> None:
        """Puts the file in the place of ``original``, which is open as ``old``; not durably yet.

        Raises CryptError if another file was there, or OSError; the original is as it was then.
        """
        self._complete()
        original.check()
        self._rename()
        # The database had one name: if it still has one, that was somebody else's doing.
        if os.fstat(old).st_nlink and not self._is_nameless(original.identity):
            raise moved(original.path, f"it is unchanged, under another name; {self._result()}")
        self._check()
        self._remove_own()

    def _result(self) -> str:
        if self._place.identity(self._name) == self.identity:
            return "what was to take its place is there now"
        return "what was to take its place was removed, too"

    def _is_nameless(self, identity: Identity) -> bool:
        """Whether the file system keeps an open file under a name of its own."""
        return any(
            self._place.identity(name) == identity
            for name in self._place.names()
            if name.startswith(_NAMELESS)
        )

    def _complete(self) -> None:
        os.fsync(self.descriptor)
        # Before anybody can open it: closing drops the locks that this process has on a file.
        self._close()

    def _refuse_existing(self) -> None:
        for suffix in ("", *LOGS):
            if self._place.status(self._name + suffix) is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.target + suffix)

    def _rename(self) -> None:
        with named(self.target):
            os.rename(
                _NAME,
                self._name,
                src_dir_fd=self.folder.descriptor,
                dst_dir_fd=self._place.descriptor,
            )

    def _check(self) -> None:
        if self._place.identity(self._name) != self.identity:
            raise moved(self.target, "the new file is not there any more")

"""What was typed before, in a file; never a key."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO
from urllib.parse import unquote

#: How many lines are read back, and how many may be in the file before it is cut to that.
_KEPT_LINES, _MOST_LINES = 1000, 2000

# Whatever may hold a key, with a wide net: a line too few does no harm, a key too many does.
_KEY = re.compile(
    r"""
    lumo[-_\s]*(?:re|change[-_\s]*)?key   # our pragmas, URI parameters and dot-commands, however misspelt
    | pragma\b[^=(;]*key\b           # those of other encryptions: PRAGMA key, rekey, hexkey, textkey
    | attach\b.*\bkey\b              # ATTACH ... KEY '...'
    | lumo[^\w]*\|\||\|\|[^\w]*(?:lumo|_?key)   # a name that SQL puts together
    | x\s*'[0-9a-f\s]{64,}           # a raw key, or a BLOB that is long enough for one
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def may_hold_key(text: str) -> bool:
    """Whether a command or statement may hold a key; if in doubt it does."""
    # SQLite takes the escapes out of a URI's names, too.
    seen: set[str] = set()
    while text not in seen:
        if _KEY.search(text):
            return True
        seen.add(text)
        text = unquote(text)
    return False


def default_path() -> Path:
    """``$XDG_STATE_HOME/lumocrypt/history``, in ``~/.local/state`` if that is not set to an absolute path
    (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return folder / "lumocrypt" / "history"


class History:
    """The file with the lines that were typed, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        """Creates the file if there is none. Raises OSError if that, or reading it, cannot be done, and for a
        file that is another user's or has other names: root may be using somebody's home."""
        self._path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._open(os.O_RDWR | os.O_CREAT) as file:
            os.fchmod(file.fileno(), 0o600)
            lines = file.read().splitlines()
            if len(lines) > _MOST_LINES:
                file.seek(0)
                file.truncate()
                file.writelines(f"{line}\n" for line in lines[-_KEPT_LINES:])
        #: What earlier shells have left, the oldest first.
        self.lines = lines[-_KEPT_LINES:]

    def add(self, lines: Iterable[str]) -> None:
        """Appends a command or statement, which may be of several lines, unless it may hold a key.

        At once, so that it is there when the shell is killed. Raises OSError.
        """
        text = "".join(f"{line}\n" for line in lines if line.strip())
        if text and not may_hold_key(text):
            with self._open(os.O_WRONLY | os.O_APPEND) as file:
                file.write(text)

    def _open(self, flags: int) -> TextIO:
        descriptor = os.open(self._path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink > 1:
            os.close(descriptor)
            raise PermissionError(errno.EACCES, "this is not a file of this user's alone", str(self._path))
        mode = "a" if flags & os.O_APPEND else "r+"
        return os.fdopen(descriptor, mode, encoding="utf-8", errors="surrogateescape", newline="\n")

"""Somebody else, who may write to a folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

#: Nobody's user and group, to which nothing on the machine belongs.
OTHER = 65534

ACCESS_LIST = "system.posix_acl_access"
DEFAULT_LIST = "system.posix_acl_default"
_EVERYBODY = 0xFFFFFFFF


def access_list(
    *, owner: int = 6, named: dict[int, int] | None = None, group: int = 0, others: int = 0
) -> bytes:
    """A POSIX access control list with users by number, as the kernel takes it."""
    users = named or {}
    entries = [(0x01, owner, _EVERYBODY), *((0x02, bits, user) for user, bits in sorted(users.items()))]
    entries += [(0x04, group, _EVERYBODY), (0x10, 7, _EVERYBODY), (0x20, others, _EVERYBODY)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def supports_access_lists(folder: Path) -> bool:
    """Whether files in the folder can have them."""
    probe = folder / "probe"
    probe.touch()
    try:
        os.setxattr(probe, ACCESS_LIST, access_list())
    except OSError:
        return False
    finally:
        probe.unlink()
    return True


def _fork(action: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(OTHER)
            os.setuid(OTHER)
            os.umask(0)
            action()
            code = 0
        except PermissionError:
            code = 13
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    return child


def act(action: Callable[[], object]) -> bool:
    """Does something as the other user, at once, in a process of its own; whether it was allowed."""
    code = os.waitstatus_to_exitcode(os.waitpid(_fork(action), 0)[1])
    assert code in (0, 13), code
    return code == 0


@contextlib.contextmanager
def in_background(action: Callable[[], object]) -> Generator[None, None, None]:
    """The other user does something meanwhile, without end."""
    child = _fork(action)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


class Shared:
    """A folder that everybody may write to, and a file outside of it that is to stay as it is."""

    def __init__(self, root: Path, *, sticky: bool) -> None:
        self.folder = root / "shared"
        self.folder.mkdir()
        self.folder.chmod(0o1777 if sticky else 0o777)
        self.victim = root / "victim"
        self.victim.write_bytes(b"the victim's")
        self.victim.chmod(0o600)
        self._before = self._state(self.victim)

    def _state(self, path: Path) -> tuple[object, ...]:
        status = path.lstat()
        return status.st_ino, status.st_uid, status.st_gid, status.st_mode, status.st_nlink, path.read_bytes()

    def temporaries(self) -> list[Path]:
        """What was made and has no name of its own yet."""
        return [path for path in self.folder.iterdir() if path.name.startswith(".") and ".lumo-" in path.name]

    def check(self, secret: bytes) -> None:
        """The victim is as it was, and no file that the other user can read holds the secret."""
        assert self._state(self.victim) == self._before
        for path in self.folder.rglob("*"):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and (status.st_uid == OTHER or status.st_mode & 0o004):
                assert secret not in path.read_bytes(), path


@pytest.fixture(params=[False, True], ids=["plain", "sticky"])
def shared(request: pytest.FixtureRequest) -> Iterator[Shared]:
    if os.geteuid() != 0:
        pytest.skip("only root can be two users")
    # Not below tmp_path, whose parents only their owner may enter.
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    yield Shared(root, sticky=request.param)
    shutil.rmtree(root)

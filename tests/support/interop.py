"""The gosqlite format by a program in Go that shares no code with the engine (tests/interop)."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "interop"
#: The kinds of the files that belong to a database, by what their names end in.
KINDS = {"": 1, "-journal": 2, "-wal": 3}


class Interop:
    """The program."""

    def __init__(self, folder: Path) -> None:
        """Builds it in ``folder``; its modules come from Go's module proxy the first time."""
        self._program = folder / "interop"
        subprocess.run(
            ["go", "build", "-mod=readonly", "-buildvcs=false", "-o", self._program, "."],
            cwd=SOURCE,
            check=True,
        )

    def _run(self, secret: bytes, *arguments: object) -> str:
        done = subprocess.run(
            [self._program, *map(str, arguments)], input=secret, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def seal(
        self, plain: Path, sealed: Path, key: bytes, cipher: str, page_size: int, *, older: bool = False
    ) -> list[str]:
        """Encrypts a database and its logs, as ``older`` versions of gosqlite do or as newer ones do; returns
        what their names end in."""
        return self._files("seal", plain, sealed, key, cipher, page_size, older=older)

    def open(
        self, sealed: Path, plain: Path, key: bytes, cipher: str, page_size: int, *, older: bool = False
    ) -> list[str]:
        """Decrypts a database and its logs; returns what their names end in."""
        return self._files("open", sealed, plain, key, cipher, page_size, older=older)

    def _files(
        self, command: str, old: Path, new: Path, key: bytes, cipher: str, page_size: int, *, older: bool
    ) -> list[str]:
        there = [suffix for suffix in KINDS if old.with_name(old.name + suffix).exists()]
        for suffix in there:
            names = [path.with_name(path.name + suffix) for path in (old, new)]
            options = ["-cipher", cipher, "-page-size", page_size, "-kind", KINDS[suffix]]
            options += ["-older"] if older else []
            self._run(key.hex().encode(), command, *options, *names)
        return there

    def derive(self, passphrase: str, salt: bytes, cipher: str) -> bytes:
        """What golang.org/x/crypto/argon2 makes of a passphrase."""
        options = ["-cipher", cipher, "-salt", salt.hex()]
        return bytes.fromhex(self._run(passphrase.encode(), "derive", *options))


def built(folder: Path) -> Interop:
    """The program, or a skip that nobody overlooks."""
    if shutil.which("go") is None:
        reason = "Go is not installed: the gosqlite format was NOT checked against another implementation"
        warnings.warn(reason, stacklevel=2)
        pytest.skip(reason)
    return Interop(folder)

"""How a database is opened: through lumocrypt, or by SQLite alone to calibrate the simulator."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import lumocrypt
from support.known_keys import RAW

#: How many keys may come and go beside that.
KEYS = 3


def numbered_key(number: int) -> lumocrypt.Key:
    """One of the keys that come and go, from 1 on."""
    return lumocrypt.Key.raw(bytes([number] * 32))


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a database is made; sizes in bytes."""

    page: int = 4096
    block: int = 4096
    cipher: str | None = None
    auto_vacuum: str = "none"


class Plain:
    """SQLite alone."""

    name = "plain"
    #: May it be encrypted or decrypted under its name, and then be anything?
    convertible = True
    #: Groups of scenarios of which there is nothing here.
    WITHOUT = frozenset({"header", "in-place", "ciphers", "rekeying"})

    def prepare(self, path: Path, geometry: Geometry) -> None:
        """Makes a database without content."""
        make_plain(path, geometry)

    def open(self, path: Path, random: Random | None = None) -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None)

    def attach(self, connection: sqlite3.Connection, path: Path, name: str) -> None:
        connection.execute("ATTACH ? AS ?", (str(path), name))

    def opening(self, path: Path) -> bytes:
        """The numbers of the keys that come and go, and open the database now."""
        return b""

    def damage(self, path: Path, *, written: bool) -> str | None:
        """What ``verify`` has to say against a closed database.

        ``written``: somebody has written since the crash, and completed a change of the header that it cut.
        """
        return None


class Encrypted:
    """Through lumocrypt."""

    name = "encrypted"

    def __init__(self, *, keys: bool = False) -> None:
        """``keys``: others than the one that always opens it come and go."""
        self._key, self._keys = lumocrypt.Key.raw(RAW), range(1, KEYS + 1 if keys else 1)
        self.convertible = not keys

    def _key_for(self, path: Path) -> lumocrypt.Key | None:
        with contextlib.suppress(lumocrypt.Error, OSError):
            if lumocrypt.info(path).cipher == "checksum":
                return None
        return self._key

    def prepare(self, path: Path, geometry: Geometry) -> None:
        plain = path.with_name(path.name + ".plain")
        make_plain(plain, geometry)
        key = None if geometry.cipher == "checksum" else self._key
        lumocrypt.encrypt(plain, path, key=key, cipher=geometry.cipher, block_size=geometry.block)
        plain.unlink()

    def open(self, path: Path, random: Random | None = None) -> sqlite3.Connection:
        io: Any = random.choice(["map", "pread"]) if random else None
        return lumocrypt.connect(path, key=self._key_for(path), isolation_level=None, io=io)

    def attach(self, connection: sqlite3.Connection, path: Path, name: str) -> None:
        lumocrypt.attach(connection, path, name, key=self._key_for(path))

    def opening(self, path: Path) -> bytes:
        return bytes(number for number in self._keys if self._opens(path, number))

    def _opens(self, path: Path, number: int) -> bool:
        with contextlib.suppress(lumocrypt.WrongKeyError):
            lumocrypt.connect(path, key=numbered_key(number)).close()
            return True
        return False

    def damage(self, path: Path, *, written: bool) -> str | None:
        found = lumocrypt.verify(path, key=self._key_for(path))
        damaged = [one for one in found.damaged if written or "of the superblock is" not in one.reason]
        return f"{damaged} header {found.header} cells {found.cells}" if damaged else None

    def false_alarm(self, path: Path, *, killed: bool) -> str | None:
        """What ``verify`` has to say against a database that a crash left, before anybody opens it.

        Unless the process was ``killed``, which keeps the order of writes, a log may end in a transaction
        that looks as if it had been committed and damaged.
        """
        try:
            found = lumocrypt.verify(path, key=self._key_for(path))
        except lumocrypt.Error as error:
            # A file that is no database yet.
            return None if type(error) is lumocrypt.CryptError else f"{type(error).__name__}: {error}"
        alarms = [
            one
            for one in found.damaged
            if (killed or one.file_kind != "wal") and "of the superblock is" not in one.reason
        ]
        return str(alarms) if alarms else None


class Gosqlite:
    """In the gosqlite format, whose VFS is of one page size."""

    CIPHERS = ("adiantum", "aes-256-xts")
    convertible = False
    #: As of :class:`Plain`, and the copies that lumocrypt makes and judges.
    WITHOUT = Plain.WITHOUT | {"copies"}

    def __init__(self, cipher: str, page: int) -> None:
        self.name, self._page = cipher, page
        self._vfs = lumocrypt.crypto_vfs(
            (RAW + bytes(32))[: 32 if cipher == "adiantum" else 64], cipher, page
        )

    def prepare(self, path: Path, geometry: Geometry) -> None:
        with contextlib.closing(self.open(path)) as connection:
            make_empty(connection, geometry)

    def open(self, path: Path, random: Random | None = None) -> sqlite3.Connection:
        connection = sqlite3.connect(f"file:{path}?vfs={self._vfs.name}", uri=True, isolation_level=None)
        # For a file that is empty because of a crash.
        connection.execute(f"PRAGMA page_size={self._page}")
        return connection

    def attach(self, connection: sqlite3.Connection, path: Path, name: str) -> None:
        connection.execute("ATTACH ? AS ?", (str(path), name))

    def opening(self, path: Path) -> bytes:
        return b""

    def damage(self, path: Path, *, written: bool) -> str | None:
        return None

    def close(self) -> None:
        """Its connections are closed."""
        self._vfs.close()


class Either:
    """Whatever the file is: encrypting and decrypting in place leave one or the other."""

    name = "either"
    convertible = True

    def __init__(self) -> None:
        self._plain, self._encrypted = Plain(), Encrypted()

    def prepare(self, path: Path, geometry: Geometry) -> None:
        self._plain.prepare(path, geometry)

    def _of(self, path: Path) -> Plain | Encrypted:
        with path.open("rb") as file:
            return self._encrypted if file.read(9) == b"lumocrypt" else self._plain

    def open(self, path: Path, random: Random | None = None) -> sqlite3.Connection:
        return self._of(path).open(path, random)

    def attach(self, connection: sqlite3.Connection, path: Path, name: str) -> None:
        self._of(path).attach(connection, path, name)

    def opening(self, path: Path) -> bytes:
        return b""

    def damage(self, path: Path, *, written: bool) -> str | None:
        return self._of(path).damage(path, written=written)


Flavour = Plain | Encrypted | Either | Gosqlite


def make_plain(path: Path, geometry: Geometry) -> None:
    """A plaintext database without tables."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        make_empty(connection, geometry)


def make_empty(connection: sqlite3.Connection, geometry: Geometry) -> None:
    """Makes an empty file a database without tables."""
    connection.execute(f"PRAGMA page_size={geometry.page}")
    connection.execute(f"PRAGMA auto_vacuum={geometry.auto_vacuum}")
    connection.execute("VACUUM")

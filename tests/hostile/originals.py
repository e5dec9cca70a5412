"""Sound databases of every kind, as the bytes of their files."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlcipher3 import dbapi2 as sqlcipher

import lumocrypt
from support import gosqlite
from support.crash import contents, crashed
from support.known_keys import RAW
from support.rekeying import bring_back, interrupt, steps_of
from support.tiny import make_plain_tiny, make_tiny

#: What every original is called.
NAME = "app.db"
#: Texts of keys, as a key file holds them.
RAW_KEY = f"x'{RAW.hex()}'"
PASSPHRASE = "a passphrase"
GOSQLITE_KEY = f"x'{gosqlite.KEYS['adiantum'].hex()}'"
#: The cheapest that is made.
CHEAP = {"t": 2, "m": 19456, "p": 1}


@dataclass(frozen=True, slots=True)
class Original:
    """The files of a database, by name; the database itself is NAME."""

    files: dict[str, bytes]
    #: The text of a key, None if it has none.
    key: str | None


def _encrypted(folder: Path) -> Original:
    make_tiny(folder / NAME, cipher="xchacha20-poly1305")
    return Original(contents(folder), RAW_KEY)


def _checksummed(folder: Path) -> Original:
    plain = make_plain_tiny(folder / "plain")
    lumocrypt.encrypt(plain, folder / NAME, key=None, cipher="checksum")
    plain.unlink()
    return Original(contents(folder), None)


def _with_keyslots(folder: Path) -> Original:
    """Passphrases and a raw key, with labels, and a header backup beside it."""
    plain = make_plain_tiny(folder / "plain")
    path = folder / NAME
    lumocrypt.encrypt(plain, path, key=PASSPHRASE, kdf=CHEAP)
    plain.unlink()
    lumocrypt.add_key(path, key=PASSPHRASE, new_key=RAW_KEY, label="raw")
    lumocrypt.add_key(path, key=RAW_KEY, new_key="another", kdf=CHEAP, label="another")
    lumocrypt.backup_header(path, folder / "header")
    return Original(contents(folder), PASSPHRASE)


def _crashed(folder: Path, journal_mode: str, cipher: str) -> Original:
    live = folder / "live"
    live.mkdir()
    key = None if cipher == "checksum" else RAW_KEY
    path = make_tiny(live / NAME) if key else live / NAME
    if not key:
        plain = make_plain_tiny(live / "plain")
        lumocrypt.encrypt(plain, path, key=None, cipher=cipher)
        plain.unlink()
    with contextlib.closing(lumocrypt.connect(path, key=key, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal_mode}")
        connection.execute("PRAGMA cache_size=1")
        connection.execute("UPDATE t SET v = v || ' again'")
        if journal_mode == "delete":
            connection.execute("BEGIN")
            connection.execute("UPDATE t SET v = v || ' and again', blob = randomblob(3000)")
        copy = crashed(path, folder / "crashed")
    return Original(contents(copy.parent), key)


def _rekeying(folder: Path) -> Original:
    path = make_tiny(folder / NAME)
    with steps_of(2048):
        interrupt(path, 2, key=lumocrypt.Key.raw(RAW))
    bring_back(path, 0, 2)
    return Original(contents(folder), RAW_KEY)


def _gosqlite(folder: Path) -> Original:
    live = folder / "live"
    live.mkdir()
    with lumocrypt.crypto_vfs(gosqlite.KEYS["adiantum"], page_size=512) as vfs:
        connection = gosqlite.make(vfs, live / NAME, 512, "wal")
        copy = crashed(live / NAME, folder / "crashed")
        connection.close()
    return Original(contents(copy.parent), GOSQLITE_KEY)


def _sqlcipher(folder: Path) -> Original:
    connection = sqlcipher.connect(str(folder / NAME))
    connection.execute(f'PRAGMA key = "{RAW_KEY}"')
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(row, "text" * 50) for row in range(100)])
    connection.commit()
    connection.close()
    return Original(contents(folder), RAW_KEY)


def _plain(folder: Path) -> Original:
    """Tables of every sort, for what reads b-trees."""
    path = folder / NAME
    connection = sqlite3.connect(path)
    for pragma in ("page_size=512", "auto_vacuum=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, blob BLOB)")
    connection.execute("CREATE TABLE w (a TEXT, b, PRIMARY KEY (a, b)) WITHOUT ROWID")
    connection.execute("CREATE INDEX by_v ON t (v)")
    connection.execute("CREATE VIEW seen AS SELECT v FROM t")
    rows = [(row, f"row {row}", bytes(1500 if row % 20 == 0 else 20)) for row in range(120)]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    connection.executemany("INSERT INTO w VALUES (?, ?)", [(f"{row:05}", row) for row in range(200)])
    connection.execute("CREATE TABLE gone (x)")
    connection.execute("INSERT INTO gone VALUES (zeroblob(4000))")
    connection.execute("DROP TABLE gone")
    connection.commit()
    connection.close()
    return Original(contents(folder), None)


_MAKERS: dict[str, Callable[[Path], Original]] = {
    "encrypted": _encrypted,
    "checksummed": _checksummed,
    "keyslots": _with_keyslots,
    "wal": lambda folder: _crashed(folder, "wal", "default"),
    "journal": lambda folder: _crashed(folder, "delete", "default"),
    "checksummed wal": lambda folder: _crashed(folder, "wal", "checksum"),
    "checksummed journal": lambda folder: _crashed(folder, "delete", "checksum"),
    "rekeying": _rekeying,
    "gosqlite": _gosqlite,
    "sqlcipher": _sqlcipher,
    "plain": _plain,
}
#: The names of all originals.
NAMES = tuple(_MAKERS)


@cache
def original(name: str) -> Original:
    """One of NAMES, made once per process."""
    with tempfile.TemporaryDirectory() as folder:
        return _MAKERS[name](Path(folder))

"""Makes the sample files of the gosqlite format in tests/golden/gosqlite. Run by ``make golden-gosqlite``.

SQLite of the standard library writes them in clear, and the program in tests/interop encrypts them, logs as
older versions of gosqlite do; golden/gosqlite-original has some of newer ones. SQLite's salts are random: the
files differ from run to run, their content does not.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from make_golden import facts
from support.crash import crashed
from support.interop import Interop

FOLDER = Path(__file__).with_name("golden") / "gosqlite"
MANIFEST = FOLDER / "manifest.json"
PASSPHRASE = "golden passphrase, Grüße"
SALT = bytes(range(200, 216))
KEYS = {"adiantum": bytes(range(7, 39)), "aes-256-xts": bytes(range(7, 71))}
STATES = {512: ["closed", "journal", "wal"], 4096: ["closed", "journal", "wal"], 65536: ["closed"]}


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    cipher: str
    page_size: int
    state: str
    #: Hexadecimal; None if the key is derived from the passphrase and the salt.
    key: str | None
    passphrase: str | None
    salt: str | None
    #: What the names of its files end in.
    files: list[str]
    #: Of the main file in clear.
    sha256: str
    #: What :func:`content` says of it once it is decrypted and recovered.
    content: str


def content(connection: sqlite3.Connection) -> str:
    """A digest of what ``make_golden.facts`` says."""
    return hashlib.sha256(json.dumps(facts(connection)).encode()).hexdigest()


def leave(path: Path, page_size: int, state: str, vfs: str = "unix") -> sqlite3.Connection:
    """Brings a new database into a state; the connection must stay open for as long as that matters."""
    connection = sqlite3.connect(f"file:{path}?vfs={vfs}", uri=True, isolation_level=None)
    connection.execute(f"PRAGMA page_size={page_size}")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
    connection.execute("PRAGMA user_version=1")
    # The largest pages are only for tests that need a cache to overflow, not for samples.
    large = 0 if (page_size, state) == (65536, "closed") else 6
    connection.executemany(
        "INSERT INTO t (name, data) VALUES (?, ?)",
        ((f"row {i}", bytes([i]) * (page_size // 3 if i < large else i)) for i in range(12)),
    )
    if state == "wal":
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("UPDATE t SET name = 'in the log ' || id WHERE id < 4")
        connection.execute("INSERT INTO t (name, data) VALUES ('in the log only', x'00ff')")
    if state != "closed":
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET name = 'never committed', data = zeroblob(length(data))")
    return connection


def make(program: Interop, cipher: str, page_size: int, state: str) -> Sample:
    name = f"{cipher}-{page_size}-{state}"
    derived = (page_size, state) == (4096, "closed")
    key = program.derive(PASSPHRASE, SALT, cipher) if derived else KEYS[cipher]
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "plain.db")
        connection = leave(path, page_size, state)
        if state == "closed":
            connection.close()
        copy = crashed(path, Path(temporary, "copy"))
        connection.close()
        files = program.seal(copy, FOLDER / f"{name}.db", key, cipher, page_size, older=True)
        digest = hashlib.sha256(copy.read_bytes()).hexdigest()
        reader = sqlite3.connect(copy)
        found = content(reader)
        reader.close()
    if derived:
        return Sample(name, cipher, page_size, state, None, PASSPHRASE, SALT.hex(), files, digest, found)
    return Sample(name, cipher, page_size, state, key.hex(), None, None, files, digest, found)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        program = Interop(Path(folder))
        samples = [
            asdict(make(program, cipher, page_size, state))
            for cipher in KEYS
            for page_size, states in STATES.items()
            for state in states
        ]
    text = json.dumps({"samples": samples}, indent=1, ensure_ascii=False)
    MANIFEST.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Makes the sample files of format v1 in tests/golden. Run by hand, once for a version of the format and
again for ciphers that are added to it.

    python tests/make_golden.py

The files differ from run to run (keys and nonces are random), their content does not. Samples that are in the
repository are never made again: that they open for ever is what they are there for. The program makes
those that are missing and replaces none.

Samples named v1-CIPHER-STATE are from before there was a length cell (flag 2 of the superblock). No version
writes such databases any more, so they cannot be made again. Those named v1-length-CIPHER-STATE have one.
"""

from __future__ import annotations

import json
import lzma
import sqlite3
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import lumocrypt

FOLDER = Path(__file__).with_name("golden")
MANIFEST = FOLDER / "manifest.json"
SUITES = [
    "aegis-256",
    "aegis-256x2",
    "xchacha20-poly1305",
    "aes-256-gcm",
    "checksum",
    "adiantum",
    "aes-256-xts",
]
PASSPHRASE = "golden passphrase, Grüße"
RAW = bytes(range(100, 132))
#: The cheapest costs that are accepted.
KDF = {"t": 2, "m": 19 * 1024, "p": 1}
STATES = ["closed", "wal", "journal"]
#: Begins the names of samples with a length cell, and those of older ones.
LENGTH, EARLIER = "v1-length-", "v1-"
#: Bytes of a log that a sample keeps: all that is committed, and of the unfinished transaction the beginning.
LOG = 18_000


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    suite: str
    state: str
    #: One of the two, or neither.
    passphrase: str | None
    raw_key: str | None
    files: list[str]
    #: What :func:`facts` says of it once it is decrypted and recovered.
    facts: dict[str, object]


def facts(connection: sqlite3.Connection) -> dict[str, object]:
    """What SQL sees, in a form that depends on no version of Python or SQLite."""

    def rows(sql: str) -> list[list[object]]:
        return [list(row) for row in connection.execute(sql)]

    return {
        "integrity": connection.execute("PRAGMA integrity_check").fetchone()[0],
        "page_size": connection.execute("PRAGMA page_size").fetchone()[0],
        "page_count": connection.execute("PRAGMA page_count").fetchone()[0],
        "user_version": connection.execute("PRAGMA user_version").fetchone()[0],
        "schema": [
            list(row) for row in connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name")
        ],
        "rows": [list(row) for row in connection.execute("SELECT id, name, hex(data) FROM t ORDER BY id")],
    }


def _secret(suite: str, state: str) -> tuple[str | None, str | None]:
    if suite == "checksum":
        return None, None
    return (None, RAW.hex()) if state == "journal" else (PASSPHRASE, None)


def _base(folder: Path, suite: str, key: lumocrypt.Key | None) -> Path:
    """An encrypted database of small blocks, so that the samples are small."""
    plain = folder / "plain.db"
    connection = sqlite3.connect(plain, isolation_level=None)
    connection.execute("PRAGMA page_size=512")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
    connection.execute("CREATE INDEX by_name ON t (name)")
    connection.execute("PRAGMA user_version=1")
    connection.executemany(
        "INSERT INTO t (name, data) VALUES (?, ?)",
        ((f"row {i}", bytes([i]) * (700 if i == 3 else i)) for i in range(12)),
    )
    connection.close()
    path = folder / "sample.db"
    lumocrypt.encrypt(plain, path, key=key, cipher=suite, kdf=KDF, block_size=512)
    return path


def _leave(connection: sqlite3.Connection, state: str) -> None:
    """Brings an open database into a state whose files are then copied."""
    if state == "wal":
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("UPDATE t SET name = 'first generation ' || id")
        connection.execute("PRAGMA wal_checkpoint(RESTART)")
        connection.execute("PRAGMA cache_size=2")
        connection.execute("UPDATE t SET name = 'second generation ' || id WHERE id < 7")
        connection.execute("INSERT INTO t (name, data) VALUES ('in the log only', x'00ff')")
        # Frames wait in memory for about 128 KiB of them, so the transaction must be longer.
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET name = 'never committed', data = zeroblob(12000)")
    if state == "journal":
        connection.execute("PRAGMA cache_size=2")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET name = 'never committed', data = zeroblob(400)")


def make(suite: str, state: str) -> Sample:
    passphrase, raw_key = _secret(suite, state)
    key = None
    if passphrase is not None:
        key = lumocrypt.Key.passphrase(passphrase)
    elif raw_key is not None:
        key = lumocrypt.Key.raw(bytes.fromhex(raw_key))
    name = f"{LENGTH}{suite}-{state}"
    with tempfile.TemporaryDirectory() as temporary:
        path = _base(Path(temporary), suite, key)
        writer = lumocrypt.connect(path, key, isolation_level=None)
        _leave(writer, state)
        if state == "closed":
            writer.close()
        copy = Path(temporary, "copy") / "sample.db"
        copy.parent.mkdir()
        files: list[str] = []
        for suffix in ("", "-wal", "-journal"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                content = source.read_bytes()
                if suffix == "-wal":
                    # As a crash may leave it, and small.
                    content = content[:LOG]
                copy.with_name(source.name).write_bytes(content)
                files.append(f"{name}.db{suffix}.xz")
                packed = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
                with (FOLDER / files[-1]).open("xb") as file:
                    file.write(packed)
        if state != "closed":
            writer.close()
        # What a reader finds after a crash; the writer's own view has the unfinished transaction in it.
        reader = lumocrypt.connect(copy, key)
        found = facts(reader)
        reader.close()
    return Sample(name, suite, state, passphrase, raw_key, files, found)


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    samples = json.loads(MANIFEST.read_text(encoding="utf-8"))["samples"] if MANIFEST.exists() else []
    there = {sample["name"] for sample in samples}
    missing = [
        (suite, state) for suite in SUITES for state in STATES if f"{LENGTH}{suite}-{state}" not in there
    ]
    if not missing:
        print("all samples are there, and none is made again", file=sys.stderr)
        return 1
    samples += [asdict(make(suite, state)) for suite, state in missing]
    text = json.dumps({"format": 1, "samples": samples}, indent=1, ensure_ascii=False)
    MANIFEST.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

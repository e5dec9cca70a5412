"""From plaintext to encrypted, in place, with a way back until you are sure.

    python examples/migrate_plaintext.py FOLDER

Stop the programs that use the database first. `encrypt` refuses while one is reading or writing, and a
connection that was idle gets an error afterwards.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import tempfile
from pathlib import Path

import lumocrypt

KEY = "correct horse battery staple"


def make_old(path: Path) -> None:
    """What you have."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO notes (body) VALUES (?)", ((f"a private note {i}",) for i in range(5000)))


def fingerprint(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    """Enough to tell that the content is the same."""
    return db.execute("SELECT count(*), sum(length(body)), max(id) FROM notes").fetchall()


def main(folder: Path) -> None:
    path = folder / "app.db"
    make_old(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("BEGIN")
        before = fingerprint(db)
        try:
            lumocrypt.encrypt(path, key=KEY)
        except lumocrypt.InUseError as error:
            print("while it is in use:", type(error).__name__)

    # Rehearse: a copy next to it, compared.
    lumocrypt.encrypt(path, folder / "rehearsal.db", key=KEY)
    with contextlib.closing(lumocrypt.connect(folder / "rehearsal.db", key=KEY)) as db:
        print("the rehearsal has the same rows:", fingerprint(db) == before)
    (folder / "rehearsal.db").unlink()

    # In earnest. A new file is written, synced and renamed; owner, permissions and attributes stay.
    done = lumocrypt.encrypt(path, key=KEY)
    print(f"{done.source_size:,} bytes became {done.destination_size:,}")
    with contextlib.closing(lumocrypt.connect(path, key=KEY)) as db:
        print("the database has the same rows:", fingerprint(db) == before)

    # Old code that still says sqlite3.connect gets an error and no data.
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            fingerprint(db)
    except sqlite3.DatabaseError as error:
        print("plain sqlite3:", error)
    print("undo: lumocrypt.decrypt(path, key=...) gives back the file as it was, byte for byte")
    print("not undone: old blocks of the disk and old backups are still in clear; destroy the backups")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

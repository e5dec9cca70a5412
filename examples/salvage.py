"""A damaged database: find what is damaged, save what is not, see what was lost.

    python examples/salvage.py FOLDER

Restore a backup if you have one. This is for when there is none.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import lumocrypt

KEY = lumocrypt.Key.raw(bytes(range(32)))  # yours comes from a random number generator


def make(path: Path) -> None:
    """Two tables, one of which is about to be damaged."""
    with contextlib.closing(lumocrypt.connect(path, key=KEY)) as db, db:
        db.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")
        db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO people (name) VALUES (?)", ((f"somebody {i}",) for i in range(500)))
        bodies = ((f"private note {i} " * 10,) for i in range(5000))
        db.executemany("INSERT INTO notes (body) VALUES (?)", bodies)


def damage(path: Path) -> None:
    """One flipped bit in the last third of the file."""
    with path.open("r+b") as file:
        at = path.stat().st_size * 2 // 3
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def main(folder: Path) -> None:
    path, rescued = folder / "app.db", folder / "rescued.db"
    make(path)
    damage(path)

    # 1. What is damaged, and what it belonged to. Run this on backups, too.
    result = lumocrypt.verify(path, key=KEY)
    for place in result.damaged:
        print("damaged:", place.owner)

    # 2. Reads of it fail, and say where; everything else can be read.
    with contextlib.closing(lumocrypt.connect(path, key=KEY)) as db:
        print("people:", db.execute("SELECT count(*) FROM people").fetchone()[0])
        try:
            db.execute("SELECT sum(length(body)) FROM notes").fetchone()
        except lumocrypt.TamperedError as error:
            print("notes:", type(error).__name__)

    # 3. Everything that authenticates, in a new database with the same keys. The old one is only read.
    saved = lumocrypt.salvage(path, rescued, key=KEY)
    for table in saved.tables:
        print(f"saved {table.name}: {table.rows} rows, about {table.rows_lost} lost")
    print("all of it:", saved.ok)
    print("the new one:", "sound" if lumocrypt.verify(rescued, key=KEY).ok else "DAMAGED")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

"""From SQLCipher 4 to lumocrypt; nothing is on disk in clear at any time.

    python examples/migrate_sqlcipher.py FOLDER

The import needs `lumocrypt[sqlcipher]`. The package sqlcipher3 is here only to make an old database.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

from sqlcipher3 import dbapi2 as sqlcipher

import lumocrypt

OLD, NEW = "the old passphrase", "correct horse battery staple"


def make_old(path: Path) -> None:
    """What you have: SQLCipher 4 with its default parameters, in WAL mode."""
    with contextlib.closing(sqlcipher.connect(str(path))) as db:
        db.execute(f"PRAGMA key = '{OLD}'")
        db.execute("PRAGMA journal_mode=WAL").fetchall()
        db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO notes (body) VALUES (?)", [(f"a private note {i}",) for i in range(5000)])
        db.commit()


def main(folder: Path) -> None:
    old, new = folder / "old.db", folder / "new.db"
    make_old(old)
    # A WAL has to be in the database first: close the last connection, as here, or PRAGMA
    # wal_checkpoint(TRUNCATE).
    done = lumocrypt.import_sqlcipher(old, new, source_key=OLD, key=NEW)
    print(f"{done.pages} pages, each with its HMAC checked, now under {done.cipher}")

    with contextlib.closing(lumocrypt.connect(new, key=NEW)) as db:
        print("rows:", db.execute("SELECT count(*) FROM notes").fetchone()[0])
        print("integrity_check:", db.execute("PRAGMA integrity_check").fetchone()[0])
    try:
        lumocrypt.import_sqlcipher(old, folder / "again.db", source_key="a wrong one", key=NEW)
    except lumocrypt.WrongKeyError as error:
        print("with a wrong key:", type(error).__name__)

    # SQLCipher's habits are errors that name ours, where stock SQLite would ignore them.
    with contextlib.closing(lumocrypt.connect(new, key=NEW)) as db:
        try:
            db.execute(f"PRAGMA key = '{NEW}'")
        except lumocrypt.Error as error:
            print("PRAGMA key:", error)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

"""Backups of an encrypted database that is in use: made, checked with a recovery key, restored.

    python examples/backup.py FOLDER

`VACUUM INTO` writes a compact copy that the same keys open. `Connection.backup` copies page by page, here
into a database with a key of its own. Neither puts anything on disk in clear.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import tempfile
from pathlib import Path

import lumocrypt


def main(folder: Path) -> None:
    path = folder / "app.db"
    key, recovery, elsewhere = (lumocrypt.Key.raw(secrets.token_bytes(32)) for _ in range(3))
    app = lumocrypt.connect(path, key=key)
    app.execute("PRAGMA journal_mode=WAL")
    with app:
        app.execute("CREATE TABLE notes (body)")
        app.executemany("INSERT INTO notes VALUES (?)", ((f"private note {i}",) for i in range(1000)))
    lumocrypt.add_key(path, key=key, new_key=recovery, label="recovery")

    # 1. A copy of now, while others read and write. Never copy the file of a database in use.
    app.execute("VACUUM INTO ?", (str(folder / "copy.db"),))

    # 2. The header, after every change of keys: 64 KiB without which no key opens the database.
    lumocrypt.backup_header(path, folder / "app.header")

    # 3. A copy for somebody else, under another key.
    with contextlib.closing(lumocrypt.connect(folder / "offsite.db", key=elsewhere)) as target:
        app.backup(target, pages=100)

    # 4. A backup that nobody has checked is a hope. The recovery key shows that it works, too.
    for name, its_key in (("copy.db", recovery), ("offsite.db", elsewhere)):
        result = lumocrypt.verify(folder / name, key=its_key)
        print(f"{name}: {result.blocks} blocks, {'sound' if result.ok else 'DAMAGED'}")

    # 5. Restore: the copy takes the place of the database while nobody has it open, logs removed. The copy
    # has a UUID of its own, so a program that names the database by `uuid=` has to be told.
    app.close()
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    (folder / "copy.db").replace(path)
    with contextlib.closing(lumocrypt.connect(path, key=key)) as restored:
        print("restored rows:", restored.execute("SELECT count(*) FROM notes").fetchone()[0])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

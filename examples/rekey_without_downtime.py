"""A new data key while another process goes on writing.

    python examples/rekey_without_downtime.py FOLDER

The steps are those of a leaked key: the new key is handed out first, then the database changes, then the
old key opens nothing. The writer below never stops and never reconnects.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import secrets
import sys
import tempfile
from multiprocessing.synchronize import Event
from pathlib import Path

import lumocrypt


def write(path: Path, old: bytes, stop: Event, started: Event) -> None:
    """Another process, which knows the old key only, and keeps the connection that it has."""
    db = lumocrypt.connect(path, key=lumocrypt.Key.raw(old), timeout=30)
    number = 0
    while not stop.is_set():
        with db:
            db.execute("INSERT INTO entries (writer, body) VALUES (1, ?)", (f"private entry {number}",))
        number += 1
        started.set()
    # Everything that it was told is committed is there.
    (count,) = db.execute("SELECT count(*) FROM entries WHERE writer = 1").fetchone()
    db.close()
    sys.exit(0 if count == number else 1)


def main(folder: Path) -> None:
    path = folder / "app.db"
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    with contextlib.closing(lumocrypt.connect(path, key=lumocrypt.Key.raw(old))) as db, db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE entries (writer INTEGER, body TEXT)")
        bodies = ((f"private entry {number}" * 20,) for number in range(20_000))
        db.executemany("INSERT INTO entries VALUES (0, ?)", bodies)
    before = lumocrypt.info(path)

    # Not fork: a child of a program with threads is to begin afresh.
    context = multiprocessing.get_context("spawn")
    stop, started = context.Event(), context.Event()
    writer = context.Process(target=write, args=(path, old, stop, started))
    writer.start()
    started.wait(60)

    # Killed or out of disk space, it leaves a database that opens; the same call then goes on where it
    # stopped.
    done = lumocrypt.rekey(path, key=lumocrypt.Key.raw(old), new_key=lumocrypt.Key.raw(new))
    print(f"rekeyed {done.size:,} bytes; another data key:", done.key_id != before.key_id)
    stop.set()
    writer.join(60)
    print("the writer lost nothing:", writer.exitcode == 0)

    try:
        lumocrypt.connect(path, key=lumocrypt.Key.raw(old))
    except lumocrypt.WrongKeyError as error:
        print("with the old key:", type(error).__name__)
    print("verify:", "sound" if lumocrypt.verify(path, key=lumocrypt.Key.raw(new)).ok else "DAMAGED")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

"""asyncio: aiosqlite on an encrypted database, and whole-file work in a thread.

    python examples/async_tasks.py FOLDER

aiosqlite runs each connection in a thread of its own. It takes a function that opens the connection, so
nothing has to be installed for the whole process.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from pathlib import Path

import aiosqlite

import lumocrypt

KEY = lumocrypt.Key.passphrase("correct horse battery staple")


def connect(path: Path) -> aiosqlite.Connection:
    """Like ``aiosqlite.connect(path)``: to await, or for ``async with``."""

    def opened() -> sqlite3.Connection:
        return lumocrypt.connect(path, key=KEY, timeout=30)

    return aiosqlite.Connection(opened, iter_chunk_size=64)


async def write(path: Path, writer: int, rows: int) -> None:
    """One of several writers, each with a connection of its own."""
    async with connect(path) as db:
        for row in range(rows):
            await db.execute("INSERT INTO notes (body) VALUES (?)", (f"private note {writer}.{row}",))
            await db.commit()


async def run(folder: Path) -> None:
    path = folder / "notes.db"
    async with connect(path) as db:
        await db.execute("PRAGMA journal_mode=WAL")
        await db.execute("CREATE TABLE notes (body TEXT)")
        await db.commit()

    await asyncio.gather(*(write(path, writer, 20) for writer in range(4)))

    async with connect(path) as db, db.execute("SELECT count(*) FROM notes") as cursor:
        row = await cursor.fetchone()
        print("rows:", row[0] if row else 0)

    # Functions on whole files block. They let go of the interpreter's lock while they work.
    result = await asyncio.to_thread(lumocrypt.verify, path, key=KEY)
    print("verify:", "sound" if result.ok else result.damaged)


def main(folder: Path) -> None:
    asyncio.run(run(folder))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

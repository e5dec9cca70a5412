"""A web service in Flask with a pool of connections to one encrypted database.

    LUMO_NOTES_KEY=... python examples/web_service.py FOLDER

A connection costs well under a millisecond, because a passphrase is derived once per process and file. A pool
still pays: it keeps SQLite's page cache warm and bounds the number of open files.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, jsonify, request
from werkzeug.exceptions import HTTPException, ServiceUnavailable

import lumocrypt


class Pool:
    """A fixed number of connections, each used by one request at a time."""

    def __init__(self, path: Path, key: lumocrypt.Key, size: int) -> None:
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._size = size
        for _ in range(size):
            # Requests run in different threads, but never two of them with the same connection.
            connection = lumocrypt.connect(path, key=key, check_same_thread=False, timeout=5)
            connection.execute("PRAGMA journal_mode=WAL")
            self._idle.put(connection)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection, and a transaction that is committed unless something is raised."""
        try:
            connection = self._idle.get(timeout=5)
        except queue.Empty:
            raise ServiceUnavailable("all connections are busy") from None
        try:
            with connection:
                yield connection
        finally:
            self._idle.put(connection)

    def close(self) -> None:
        """Closes all of them; waits for those in use."""
        for _ in range(self._size):
            self._idle.get().close()


def create_app(pool: Pool) -> Flask:
    """The service."""
    app = Flask(__name__)

    @app.post("/notes")
    def add() -> tuple[object, int]:
        with pool.transaction() as db:
            row = db.execute("INSERT INTO notes (body) VALUES (?)", (request.json["body"],)).lastrowid
        return jsonify(id=row), 201

    @app.get("/notes/<int:number>")
    def show(number: int) -> tuple[object, int]:
        with pool.transaction() as db:
            row = db.execute("SELECT body FROM notes WHERE id = ?", (number,)).fetchone()
        return (jsonify(body=row[0]), 200) if row else (jsonify(error="no such note"), 404)

    @app.errorhandler(lumocrypt.TamperedError)
    def damaged(error: lumocrypt.TamperedError) -> tuple[object, int]:
        # Names the file and the place. Alert somebody: retrying does not help.
        app.logger.critical("%s", error)
        return jsonify(error="the database is damaged"), 500

    @app.errorhandler(HTTPException)
    def plain(error: HTTPException) -> tuple[object, int]:
        return jsonify(error=error.description), error.code or 500

    return app


def main(folder: Path) -> None:
    path = folder / "notes.db"
    # The one place that reads the key. Take it out of the environment, which child processes inherit.
    key = lumocrypt.Key.parse(os.environ.pop("LUMO_NOTES_KEY", "correct horse battery staple"))
    with contextlib.closing(lumocrypt.connect(path, key=key)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
    pool = Pool(path, key, size=4)
    client = create_app(pool).test_client()
    number = client.post("/notes", json={"body": "a private note"}).get_json()["id"]
    print("GET", client.get(f"/notes/{number}").get_json())
    print("GET", client.get("/notes/999").status_code)
    pool.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

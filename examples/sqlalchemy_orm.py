"""SQLAlchemy on an encrypted database.

    python examples/sqlalchemy_orm.py FOLDER

The dialect is SQLAlchemy's own for SQLite. `creator` makes the connections, so the key is in no URL: URLs
end up in logs.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from pathlib import Path

from sqlalchemy import Engine, QueuePool, create_engine, event, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import lumocrypt


class Base(DeclarativeBase):
    """The tables."""


class Note(Base):
    """One of them."""

    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]


def encrypted_engine(path: Path, key: lumocrypt.Key | lumocrypt.KmsKey) -> Engine:
    """An engine whose connections all have the key."""

    def connect() -> sqlite3.Connection:
        return lumocrypt.connect(path, key=key, check_same_thread=False)

    # The URL names the dialect and nothing else. Without a file name in it SQLAlchemy would take the
    # database for one in memory and choose a pool of one connection, so the pool is named.
    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=5)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def main(folder: Path) -> None:
    path = folder / "app.db"
    engine = encrypted_engine(path, lumocrypt.Key.passphrase("correct horse battery staple"))
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add_all([Note(body="a private note"), Note(body="another one")])
    with Session(engine) as session:
        print("found:", session.scalars(select(Note.body).order_by(Note.id)).all())
    engine.dispose()
    print("on disk:", lumocrypt.info(path).cipher)

    wrong = encrypted_engine(path, lumocrypt.Key.passphrase("incorrect horse"))
    try:
        wrong.connect()
    except DBAPIError as error:
        # SQLAlchemy wraps the errors of sqlite3 in its own classes; ours is the original.
        print("with a wrong key:", type(error.orig).__name__)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

"""Opens what a crash left and says what is wrong with it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random

from campaigns.integrity import WrongError, check_integrity

from .flavour import Encrypted, Flavour
from .session import NAME, OTHER, OTHER_NAME, all_contents

#: A file of this size or less is empty to SQLite, and may be a creation that a crash interrupted: there is
#: nothing to verify.
WITHOUT_CONTENT = 65536


def judge(
    folder: Path,
    flavour: Flavour,
    allowed: list[bytes],
    random: Random,
    *,
    with_other: bool,
    killed: bool | None = None,
) -> str | None:
    """Recovers, reads and goes on writing. What is wrong, or None.

    ``killed``: whether it was the process that died, and not the power that failed; None: on a medium that
    fails, where damage is damage.
    """
    try:
        kept = _kept(folder)
        if killed is not None:
            look(folder, flavour, killed=killed)
        recover(folder, flavour, allowed, random, with_other=with_other)
        if killed and _kept(folder) != kept:
            raise WrongError(f"kept as damaged: {_kept(folder) - kept}")
        go_on(folder, flavour, random)
    except (WrongError, sqlite3.Error, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def look(folder: Path, flavour: Flavour, *, killed: bool) -> None:
    """Verifies what the crash left, before anybody opens it: none of it is anybody's doing."""
    for name in (NAME, OTHER_NAME):
        if (folder / name).exists() and isinstance(flavour, Encrypted):
            alarm = flavour.false_alarm(folder / name, killed=killed)
            if alarm is not None:
                raise WrongError(f"verify of {name} before it was opened: {alarm}")


def _kept(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.lumo-damaged")}


def recover(
    folder: Path, flavour: Flavour, allowed: list[bytes], random: Random, *, with_other: bool
) -> bytes:
    """The first connection after the crash: what it finds must be one of ``allowed``, which is returned."""
    path = folder / NAME
    with contextlib.closing(flavour.open(path, random)) as connection:
        if with_other:
            flavour.attach(connection, folder / OTHER_NAME, OTHER)
        if random.random() < 0.3:
            # A writer comes first.
            connection.execute("BEGIN IMMEDIATE")
            found = all_contents(connection, with_other=with_other)
            connection.execute(random.choice(["COMMIT", "ROLLBACK"]))
        else:
            found = all_contents(connection, with_other=with_other)
        found += flavour.opening(path)
        if found not in allowed:
            raise WrongError(f"content is none of the {len(allowed)} that are allowed")
        check_integrity(connection)
    _verify(folder, flavour, written=False)
    return found


def go_on(folder: Path, flavour: Flavour, random: Random) -> None:
    """Life after the crash."""
    with contextlib.closing(flavour.open(folder / NAME, random)) as connection:
        if random.random() < 0.3:
            journal = random.choice(["delete", "persist", "truncate", "wal"])
            connection.execute(f"PRAGMA journal_mode={journal}").fetchall()
        connection.execute("CREATE TABLE after (v BLOB)")
        connection.execute("INSERT INTO after VALUES (?)", (random.randbytes(random.randrange(1, 9000)),))
        connection.execute("DELETE FROM after")
        check_integrity(connection)
        if random.random() < 0.1:
            connection.execute("VACUUM")
    _verify(folder, flavour, written=True)


def _verify(folder: Path, flavour: Flavour, *, written: bool) -> None:
    for name in _databases(folder):
        damage = flavour.damage(folder / name, written=written)
        if damage is not None:
            raise WrongError(f"verify of {name}: {damage}")


def _databases(folder: Path) -> Iterator[str]:
    for name in (NAME, OTHER_NAME):
        path = folder / name
        if path.exists() and path.stat().st_size > WITHOUT_CONTENT:
            yield name

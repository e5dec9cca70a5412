"""Opens what a run left, without faults, and says what is wrong with it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import lumocrypt
from campaigns.integrity import WrongError, check_integrity

from .opener import Opener
from .run import NAME, OTHER, Run, all_contents
from .workload import Workload


def judge(run: Run) -> None:
    """Recovers, reads, goes on writing. Raises WrongError."""
    folder, opener, workload = run.folder, run.opener, run.workload
    try:
        with contextlib.closing(_open(folder, opener, workload)) as connection:
            found = all_contents(connection, workload)
            if found not in run.allowed:
                raise WrongError(f"reopened: content is none of the {len(run.allowed)} allowed")
            check_integrity(connection)
        _verify(run)
        with contextlib.closing(_open(folder, opener, workload)) as connection:
            connection.execute("CREATE TABLE after (v BLOB)")
            connection.execute("INSERT INTO after VALUES (zeroblob(5000))")
            connection.execute("DROP TABLE after")
            if all_contents(connection, workload) != found:
                raise WrongError("content changed by going on")
            check_integrity(connection)
        _verify(run)
    except (sqlite3.Error, MemoryError, OSError, ValueError) as error:
        raise WrongError(f"reopened: {type(error).__name__}: {error}") from error


def _open(folder: Path, opener: Opener, workload: Workload) -> sqlite3.Connection:
    connection = opener.open(folder / NAME)
    if workload.with_other:
        opener.attach(connection, folder / OTHER, "other")
    return connection


def _verify(run: Run) -> None:
    for name in (NAME, OTHER):
        path = run.folder / name
        if not path.exists() or not path.stat().st_size:
            continue
        try:
            damage = run.opener.damage(path, scarred=run.wrote_half())
        except lumocrypt.CryptError as error:
            # A creation that did not get far; the next writer starts it again.
            if type(error) is not lumocrypt.CryptError or path.stat().st_size > 65_536:
                raise
            continue
        if damage is not None:
            raise WrongError(f"verify of {name}: {damage}")

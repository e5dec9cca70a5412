"""Changes of the data key that are killed, run out of space, and meet others.

``python -m faults.rekeys`` is the campaign; ``tests/keys/test_rekey_killed.py`` does a little of it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from random import Random

import lumocrypt
from support.folders import fast_folder
from support.known_keys import RAW

from .fleet import Duty, Fleet, InconsistentError, Place, change_keys, counts, read, write
from .kills import Tally, check

KEY = lumocrypt.Key.raw(RAW)
NEW = lumocrypt.Key.raw(bytes(reversed(RAW)))
#: What uses the database while its data key is changed.
OTHERS: tuple[Duty, ...] = (write, write, read, read)
_ROW = 4000
# Changes that a campaign must see at least, and seconds that it waits for them.
_CHANGES, _PATIENCE = 1, 60.0


@dataclass(slots=True)
class Kills:
    """What a campaign of kills came to."""

    #: Times that the change was killed, and times that it had ended before.
    killed: int = 0
    ended: int = 0


def make(path: Path, size: int, journal: str) -> tuple[int, int]:
    """A database of about ``size`` bytes; the number of its rows and their sum."""
    with contextlib.closing(lumocrypt.connect(path, key=KEY)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}").fetchall()
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, v BLOB)")
        connection.executemany(
            "INSERT INTO t (n, v) VALUES (?, randomblob(?))",
            ((n * 7919 % 65536, _ROW) for n in range(size // 4096)),
        )
        connection.commit()
        return _sums(connection)


def _sums(connection: sqlite3.Connection) -> tuple[int, int]:
    count, total = connection.execute("SELECT count(*), sum(n) FROM t").fetchone()
    return count, total


def _opens(path: Path, sums: tuple[int, int]) -> lumocrypt.Key:
    """Whichever key opens the database; everything must be there. Raises InconsistentError."""
    for key in (KEY, NEW):
        with (
            contextlib.suppress(lumocrypt.WrongKeyError),
            contextlib.closing(lumocrypt.connect(path, key=key)) as connection,
        ):
            if _sums(connection) != sums:
                raise InconsistentError("rows are missing")
            return key
    raise InconsistentError("neither key opens the database")


def _change(path: Path, old: lumocrypt.Key, new: lumocrypt.Key) -> int:
    """A process that changes data key and key."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    try:
        lumocrypt.rekey(path, key=old, new_key=new)
    except BaseException:
        traceback.print_exc()
        os._exit(3)
    os._exit(0)


def kill(path: Path, sums: tuple[int, int], kills: int, random: Random) -> Kills:
    """Changes that are killed and taken up again, from either key to the other. Raises InconsistentError."""
    tally = Kills()
    old, new = KEY, NEW
    begun = time.monotonic()
    lumocrypt.rekey(path, key=old, new_key=new)
    usual = time.monotonic() - begun
    old, new = new, old
    while tally.killed < kills:
        process = _change(path, old, new)
        time.sleep(random.uniform(0, 1.1) * usual)
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        ended = os.WIFEXITED(status)
        if ended and os.WEXITSTATUS(status) != 0:
            raise InconsistentError("a change failed")
        tally.ended += ended
        tally.killed += not ended
        opened_by = _opens(path, sums)
        # It may also have been killed when all was done, just before its process ended.
        done = opened_by is new and not lumocrypt.info(path).rekeying
        if ended and not done:
            raise InconsistentError("a change that ended left something to do")
        if not done and random.random() < 0.3:
            lumocrypt.rekey(path, key=old, new_key=new)
            done = _opens(path, sums) is new and not lumocrypt.info(path).rekeying
            if not done:
                raise InconsistentError("a change that was taken up again did not end")
        if done:
            old, new = new, old
    if lumocrypt.info(path).rekeying:
        lumocrypt.rekey(path, key=old, new_key=new)
    verdict = lumocrypt.verify(path, key=_opens(path, sums))
    if not verdict.ok or lumocrypt.info(path).rekeying:
        raise InconsistentError(f"verify: {verdict.damaged[:3]}")
    return tally


def fill_disk(folder: Path, size: int) -> int:
    """A change on a full disk; how often it was full. Needs root. Raises InconsistentError."""
    place = folder / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size * 11 // 10 + (6 << 20)}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        raise PermissionError(errno.EPERM, "no file system can be mounted here to fill it")
    full = 0
    try:
        path = place / "app.db"
        sums = make(path, size, "delete")
        ballast = place / "ballast"
        while True:
            left = shutil.disk_usage(place).free
            with ballast.open("ab") as file:
                file.write(bytes(max(0, left - (full << 19))))
            try:
                lumocrypt.rekey(path, key=KEY)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                full += 1
                _opens(path, sums)
                ballast.write_bytes(b"")
                continue
            break
        if not full:
            raise InconsistentError("the disk was never full")
        if lumocrypt.info(path).rekeying or not lumocrypt.verify(path, key=KEY).ok:
            raise InconsistentError("a change on a full disk did not end")
        return full
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def online(place: Place, seconds: float, random: Random) -> Tally:
    """Changes, one after the other, while four processes read and write. Raises InconsistentError."""
    place.create()
    seen = {lumocrypt.info(place.path).key_id}
    begun = time.monotonic()
    fleet = Fleet(place, random)
    try:
        for duty in (*OTHERS, change_keys):
            fleet.start(duty)
        # A busy machine may need longer for as many changes as tell anything.
        while time.monotonic() < begun + seconds or (
            len(seen) <= _CHANGES and time.monotonic() < begun + _PATIENCE
        ):
            time.sleep(0.02)
            seen.add(lumocrypt.info(place.path).key_id)
    finally:
        fleet.kill_all()
    if len(seen) <= _CHANGES:
        raise InconsistentError("hardly anybody changed the data key")
    tally = Tally()
    with contextlib.closing(place.connect()) as connection:
        counts(connection)
    # To its end: whoever was killed may have left one copy of the header behind the other.
    lumocrypt.rekey(place.path, key=KEY)
    check(place, tally)
    if not tally.acknowledged:
        raise InconsistentError("nobody wrote")
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.rekeys", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--size", type=int, default=256, help="of the database, in MB")
    parser.add_argument("--seconds", type=float, default=60, help="of changes while others read and write")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random, size = Random(arguments.seed), arguments.size << 20
    for journal in ("delete", "wal"):
        with fast_folder() as folder:
            sums = make(folder / "app.db", size, journal)
            tally = kill(folder / "app.db", sums, arguments.kills // 2, random)
        killed = f"{tally.killed} killed, {tally.ended} had ended"
        print(
            f"{journal}: {arguments.size} MB, {killed}; it opened each time, and all rows were there",
            flush=True,
        )
    with tempfile.TemporaryDirectory(prefix="lumocrypt-rekeys-") as folder_name:
        try:
            print(f"full disk: {fill_disk(Path(folder_name), size)} times, ended each time", flush=True)
        except PermissionError as error:
            print(f"full disk: NOT TESTED: {error}", flush=True)
    for journal in ("delete", "persist", "wal"):
        with fast_folder() as folder:
            tally = online(Place(folder / "place", journal), arguments.seconds, random)
        print(f"{journal}: beside four processes: {tally}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

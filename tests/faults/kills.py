"""Processes killed at random. ``python -m faults.kills --kills 200`` is the campaign."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import lumocrypt
from campaigns.integrity import flaw
from support.known_keys import RAW

from .fleet import Duty, Fleet, InconsistentError, Place, counts, read, write
from .ledger import acknowledged

JOURNALS = ("wal", "delete", "truncate", "persist")
DUTIES: tuple[Duty, ...] = (write, write, write, read, read)


@dataclass(slots=True)
class Tally:
    """What a round came to."""

    kills: int = 0
    #: Transactions that their process was told are committed, and those that are there without.
    acknowledged: int = 0
    unacknowledged: int = 0
    #: Times that a log had to be recovered because nobody was left.
    recoveries: int = 0


def check(place: Place, tally: Tally) -> None:
    """Is everything there, with no process at work? Raises InconsistentError."""
    known = acknowledged(place.folder)
    logs = [place.path.with_name(place.path.name + suffix) for suffix in ("-wal", "-journal")]
    tally.recoveries += any(log.exists() and log.stat().st_size for log in logs)
    with contextlib.closing(place.connect()) as connection:
        found = counts(connection)
        for worker, number in known.items():
            # One more may have been committed and not been written down any more.
            if found.get(worker, 0) not in (number, number + 1):
                raise InconsistentError(
                    f"worker {worker}: {number} acknowledged, {found.get(worker, 0)} found"
                )
        if wrong := flaw(connection):
            raise InconsistentError(wrong)
    verdict = lumocrypt.verify(place.path, key=lumocrypt.Key.raw(RAW))
    if not verdict.ok:
        raise InconsistentError(f"verify: {verdict.damaged}")
    tally.acknowledged = sum(known.values())
    tally.unacknowledged = sum(found.values()) - tally.acknowledged


def campaign(place: Place, kills: int, random: Random, *, pause: float) -> Tally:
    """Kills one process, or all at once, until enough were. Raises InconsistentError."""
    tally = Tally()
    place.create()
    fleet = Fleet(place, random)
    duties: list[Duty] = list(DUTIES)
    try:
        while tally.kills < kills:
            for duty in duties:
                fleet.start(duty)
            time.sleep(random.uniform(0.1, 2) * pause)
            if random.random() < 0.2 or kills - tally.kills < len(DUTIES):
                duties = fleet.kill_all()
                check(place, tally)
            else:
                duties = [fleet.kill_one()]
            tally.kills += len(duties)
    finally:
        fleet.kill_all()
    check(place, tally)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between kills, on average")
    parser.add_argument("--journals", nargs="+", choices=JOURNALS, default=list(JOURNALS))
    arguments = parser.parse_args()
    begun, failures = time.monotonic(), 0
    for number, journal in enumerate(arguments.journals):
        kills = -(-arguments.kills // len(arguments.journals))
        folder = Path(tempfile.mkdtemp(prefix="lumocrypt-kills-"))
        sync = ("full", "normal")[(number + arguments.seed) % 2]
        place = Place(folder / "place", journal, sync)
        try:
            tally = campaign(place, kills, Random(f"{arguments.seed} {journal}"), pause=arguments.pause)
        except InconsistentError as error:
            failures += 1
            print(f"{journal}: {error}; the files are in {folder}", flush=True)
            continue
        print(f"{journal}, synchronous={sync}: {tally}", flush=True)
        shutil.rmtree(folder)
    print(f"{time.monotonic() - begun:.0f} s, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

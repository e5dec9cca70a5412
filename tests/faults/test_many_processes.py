"""Writers and readers in many processes, killed at random: what was acknowledged is there.

A little of it here; ``python -m faults.kills --kills 200`` is the campaign.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from faults.fleet import InconsistentError, Place, transact
from faults.kills import JOURNALS, Tally, check
from faults.ledger import Ledger

KILLS = 5


@pytest.mark.parametrize("journal", JOURNALS)
def test_processes_that_are_killed(journal: str) -> None:
    # A process of its own: it forks, which a process with threads should not.
    done = subprocess.run(
        [sys.executable, "-m", "faults.kills", f"--kills={KILLS}", "--pause=0.8", "--journals", journal],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " acknowledged=0," not in done.stdout


@pytest.mark.parametrize("loss", ["a commit", "half a transfer", "a number"])
def test_the_check_notices(tmp_path: Path, loss: str) -> None:
    place = Place(tmp_path / "place", "wal")
    place.create()
    ledger = Ledger(place.folder / "0.ledger")
    with contextlib.closing(place.connect()) as connection:
        done = 0
        while done < 5:
            if transact(connection, 0, done, Random(done)):
                ledger.acknowledge(done)
            else:
                connection.execute("INSERT INTO done VALUES (0, ?, NULL)", (done,))
                ledger.acknowledge(done)
            done += 1
        check(place, Tally())
        if loss == "a commit":
            connection.execute("DELETE FROM done WHERE number = 4")
        elif loss == "a number":
            connection.execute("DELETE FROM done WHERE number = 2")
        else:
            connection.execute("UPDATE account SET balance = balance - 7 WHERE id = 3")
    with pytest.raises(InconsistentError):
        check(place, Tally())

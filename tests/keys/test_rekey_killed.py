"""Changes of the data key that are killed, run out of space, and meet others: a little of the campaign."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import sys
from pathlib import Path
from random import Random
from faults.fleet import Place
from faults.rekeys import fill_disk, kill, make, online
what, folder, journal = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
if what == "kill":
    path = folder / "app.db"
    print(kill(path, make(path, 16 << 20, journal), 10, Random(1)))
elif what == "full":
    print(fill_disk(folder, 8 << 20))
else:
    print(online(Place(folder / "place", journal), 4, Random(1)))
"""


def _run(what: str, folder: Path, journal: str) -> str:
    # A process of its own: it forks, which a process with threads should not.
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, what, str(folder), journal],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    if "PermissionError" in done.stderr and what == "full":
        pytest.skip("NOT TESTED: no file system can be mounted here to fill it")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_killed_at_random_it_opens_and_goes_on_hazard_5(tmp_path: Path, journal: str) -> None:
    assert "killed=10" in _run("kill", tmp_path, journal)


def test_on_a_full_disk_it_opens_and_goes_on_hazard_5(tmp_path: Path) -> None:
    assert int(_run("full", tmp_path, "delete")) > 0


@pytest.mark.parametrize("journal", ["delete", "persist", "wal"])
def test_others_read_and_write_meanwhile_hazard_5(tmp_path: Path, journal: str) -> None:
    assert "acknowledged=" in _run("online", tmp_path, journal)

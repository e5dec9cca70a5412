"""Threads of one process: nobody waits for ever, nothing is lost, locks are taken in their order.

A moment of each scenario; ``python -m threads`` is the campaign.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from threads.__main__ import run
from threads.crew import Crew
from threads.scenarios import SCENARIOS

SECONDS = 1.5


@pytest.mark.parametrize("name", SCENARIOS)
def test_nobody_waits_for_ever(name: str) -> None:
    # The engine that checks its locks is built from source, and is the one that the crash simulator breaks.
    outcome = run(name, SECONDS, checked=shutil.which("cargo") is not None)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert int(outcome.stdout.split()[0]) > 0


STUCK = """
import threading
from threads import crew
crew.STALL = 1
crew.Crew([lambda random: threading.Event().wait()]).run(0.1)
"""


def test_the_watchdog_notices() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUCK],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
    assert "has not moved" in done.stderr
    assert "in _repeat" in done.stderr


def test_what_a_thread_finds_is_told() -> None:
    def work(random: Random) -> None:
        raise AssertionError("a wrong sum")

    with pytest.raises(AssertionError, match="a wrong sum"):
        Crew([work]).run(5)

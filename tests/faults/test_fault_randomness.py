"""Without random numbers nothing is written, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from campaigns.shared_object import build

FAULTS = Path(__file__).parent


@pytest.mark.parametrize("journal", ["delete", "truncate", "persist", "memory", "wal"])
def test_a_random_number_generator_that_fails(tmp_path: Path, journal: str) -> None:
    done = subprocess.run(
        [sys.executable, str(FAULTS / "without_randomness.py"), str(tmp_path), journal],
        env={**os.environ, "LD_PRELOAD": str(build(FAULTS / "randomness.c"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "fine\n", done.stderr
    # The generator was asked, and refused.
    assert "failed 0 times" not in done.stderr

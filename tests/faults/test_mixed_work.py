"""Processes and threads do everything at once while the data key changes: a sample of ``make faults``."""

from __future__ import annotations

from pathlib import Path

from faults.stress import stress


def test_everything_at_once_keeps_every_balance(tmp_path: Path) -> None:
    found, done = stress(tmp_path, 4, 1)
    assert found == []
    assert done > 0

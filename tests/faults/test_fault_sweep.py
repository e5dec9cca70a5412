"""Every call of the VFS below fails, in turn: the errors are clean, and nothing committed is lost.

A sample here; ``python -m faults.sweep`` does all of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import sweep as module
from faults.catalogue import MODES, SYNCS, workloads
from faults.faulty import FAULTS, Fault, Operation
from faults.opener import Encrypted, Opener, Plain
from faults.sweep import sweep

#: The part of the runs that is done here, chosen by a seed.
SHARE = 0.03


def sample(opener: Opener, folder: Path, journal: str, sync: str, share: float) -> tuple[int, list[str]]:
    """Number of runs and failures."""
    runs, failures = 0, []
    for workload in workloads():
        if (workload.journal, workload.sync) == (journal, sync):
            outcome = sweep(workload, opener, folder / workload.name, share=share)
            runs += outcome.runs
            failures += outcome.failures
    return runs, failures


@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("journal", MODES)
def test_faults(tmp_path: Path, journal: str, sync: str) -> None:
    runs, failures = sample(Encrypted(), tmp_path, journal, sync, SHARE)
    assert not failures
    assert runs > 200


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_the_judge_is_fair(tmp_path: Path, journal: str) -> None:
    """SQLite alone passes, too."""
    runs, failures = sample(Plain(), tmp_path, journal, "full", SHARE / 4)
    assert not failures
    assert runs > 10


@pytest.mark.parametrize("opener", [Plain(), Encrypted()], ids=["plain", "encrypted"])
@pytest.mark.parametrize("label", ["spills/delete/full", "commits/wal/full"])
def test_the_judge_is_strict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opener: Opener, label: str
) -> None:
    """A disk that forgets writes, and says nothing, is found out."""
    forgetful = dict.fromkeys(FAULTS, ()) | {Operation.WRITE: (Fault("forgotten", 0),)}
    monkeypatch.setattr(module, "FAULTS", forgetful)
    (workload,) = (workload for workload in workloads() if workload.label == label)
    outcome = sweep(workload, opener, tmp_path, share=1)
    assert outcome.failures

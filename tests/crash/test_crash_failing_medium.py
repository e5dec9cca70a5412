"""A sync or a write fails, the program tries again and goes on, and the power goes: no commit is lost.

How pages get lost is in ``crash/disk.py``, what fails in ``crash/medium.py``. This is a sample;
``make crash`` has all scenarios.
"""

from __future__ import annotations

import dataclasses

import pytest

from crash.catalogue import scenarios
from crash.failing import is_tried
from crash.flavour import Plain
from crash.jobs import Job, run_jobs

SEED = 11
#: States of each scenario: ten of each sync that fails.
STATES, PLAIN_STATES, WRITE_STATES = 50, 20, 20
SAMPLE = {
    "log": [
        "commits-wal-full", "generations-wal-full", "each_checkpoint-wal-full", "each_checkpoint-wal-normal",
        "generations-wal-full-exclusive", "sizes-wal-full-incremental",
    ],
    "journal": [
        "commits-delete-full", "commits-persist-full", "spills-truncate-full", "vacuum-delete-normal",
        "spills-delete-full-exclusive", "pairs-persist-full",
    ],
    "creation": ["creation-wal-full", "creation-delete-full", "creation-truncate-full"],
    "header": ["key_changes-delete-full", "key_changes-wal-full"],
    "rekeying": ["rekeying-delete-full", "rekeying-wal-full", "rekeying-persist-full"],
    "in-place": ["conversions-delete-full", "conversions-wal-full"],
}  # fmt: skip


def _jobs(names: list[str], states: int, flavour: str) -> list[Job]:
    known = {scenario.name: scenario for scenario in scenarios()}
    assert all(is_tried(known[name], flavour) for name in names)
    return [Job(name, states, SEED, flavour, failing="sync") for name in names]


@pytest.mark.parametrize("group", SAMPLE)
def test_no_failed_sync_loses_a_commit_or_looks_like_tampering(group: str) -> None:
    outcomes = run_jobs(_jobs(SAMPLE[group], STATES, "encrypted"))
    assert [failure for outcome in outcomes for failure in outcome.failures] == []
    assert all(outcome.states > STATES / 4 for outcome in outcomes)


@pytest.mark.parametrize("group", [group for group in SAMPLE if group not in Plain.WITHOUT])
def test_sqlite_alone_passes_the_same_judge(group: str) -> None:
    """The simulator asks for no more than SQLite does: what that does not survive is left out."""
    outcomes = run_jobs(_jobs(SAMPLE[group], PLAIN_STATES, "plain"))
    assert [failure for outcome in outcomes for failure in outcome.failures] == []


@pytest.mark.parametrize("flavour", ["encrypted", "plain"])
def test_no_failed_write_loses_a_commit_or_looks_like_tampering(flavour: str) -> None:
    names = [name for names in SAMPLE.values() for name in names]
    if flavour == "plain":
        names = [name for group, names in SAMPLE.items() if group not in Plain.WITHOUT for name in names]
    jobs = [dataclasses.replace(job, failing="write") for job in _jobs(names, WRITE_STATES, flavour)]
    assert [failure for outcome in run_jobs(jobs) for failure in outcome.failures] == []


def test_a_cache_that_drops_the_pages_shows_the_medium() -> None:
    """A database of SQLite's own, whose journal is read back from such a cache, is lost: the pages do go."""
    jobs = [Job("commits-delete-full", 200, seed, "plain", failing="sync", every=True) for seed in range(3)]
    assert [failure for outcome in run_jobs(jobs) for failure in outcome.failures]

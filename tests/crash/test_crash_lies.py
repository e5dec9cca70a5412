"""The simulator notices syncs that are left out: without that, its silence would mean nothing."""

from __future__ import annotations

import pytest

from crash.jobs import Job, run_jobs

#: Whose syncs do nothing, and a scenario that needs them.
LIES = [
    ("journal", "commits-persist-full"),
    ("database", "commits-delete-full"),
    ("wal", "commits-wal-full"),
    ("wal", "generations-wal-normal"),
    ("folder", "commits-delete-extra"),
]


@pytest.mark.parametrize("flavour", ["plain", "encrypted"])
@pytest.mark.parametrize(("lie", "scenario"), LIES)
def test_a_sync_that_does_nothing_is_noticed(lie: str, scenario: str, flavour: str) -> None:
    jobs = [Job(scenario, 100, seed, flavour, lie) for seed in range(3)]
    assert [failure for outcome in run_jobs(jobs) for failure in outcome.failures]


@pytest.mark.parametrize("lie", ["new", "folder"])
def test_a_sync_that_does_nothing_is_noticed_in_conversions(lie: str) -> None:
    jobs = [Job("conversions-delete-full", 100, seed, lie=lie) for seed in range(3)]
    assert [failure for outcome in run_jobs(jobs) for failure in outcome.failures]

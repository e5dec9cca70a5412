"""Crash states by the thousand: no acknowledged commit is lost, nothing honest is taken for tampering.

The scenarios, what a crash can leave and how it is judged are in the package ``crash``; longer campaigns are
``python -m tests.crash``.
"""

from __future__ import annotations

import pytest

from crash.catalogue import scenarios
from crash.jobs import Job, run_jobs

SEED = 20_240
#: States of each group of scenarios that are asked for, and the fewest of one scenario that there must be: in
#: short recordings many crashes leave the same.
STATES, FEWEST = 600, 6

GROUPS = sorted({scenario.group for scenario in scenarios()})


def _jobs(group: str, flavour: str, states: int) -> list[Job]:
    names = [found.name for found in scenarios() if found.group == group]
    return [Job(name, max(12, states // len(names)), SEED, flavour) for name in names]


@pytest.mark.parametrize("group", GROUPS)
def test_no_crash_loses_a_commit_or_looks_like_tampering(group: str) -> None:
    outcomes = run_jobs(_jobs(group, "encrypted", STATES))
    assert [failure for outcome in outcomes for failure in outcome.failures] == []
    assert min(outcome.states for outcome in outcomes) >= FEWEST


def test_sqlite_alone_passes_the_same_judge() -> None:
    """The simulator is no harsher than what SQLite is made for."""
    jobs = [job for group in GROUPS for job in _jobs(group, "plain", STATES // 2)]
    outcomes = run_jobs(jobs)
    assert [failure for outcome in outcomes for failure in outcome.failures] == []

"""Crash states by the thousand: no acknowledged commit is lost, nothing honest is taken for tampering.

The scenarios, what a crash can leave and how it is judged are in the package ``crash``; ``make crash`` is the
campaign of at least 100,000 states.
"""

from __future__ import annotations

import pytest

from crash.catalogue import scenarios
from crash.flavour import Gosqlite, Plain
from crash.jobs import Job, run_jobs

SEED = 20_240
#: States of each scenario that are asked for, and the fewest that there must be: in short recordings many
#: crashes leave the same.
STATES, FEWEST = 14, 5
#: Of SQLite alone.
PLAIN_STATES = 4
GOSQLITE_STATES = 4

GROUPS = sorted({scenario.group for scenario in scenarios()})


def _jobs(group: str, flavour: str, states: int) -> list[Job]:
    names = [found.name for found in scenarios() if found.group == group]
    return [Job(name, states, SEED, flavour) for name in names]


@pytest.mark.parametrize("group", GROUPS)
def test_no_crash_loses_a_commit_or_looks_like_tampering(group: str) -> None:
    outcomes = run_jobs(_jobs(group, "encrypted", STATES))
    assert [failure for outcome in outcomes for failure in outcome.failures] == []
    assert min(outcome.states for outcome in outcomes) >= FEWEST


@pytest.mark.parametrize("group", sorted({*GROUPS} - Gosqlite.WITHOUT))
@pytest.mark.parametrize("cipher", Gosqlite.CIPHERS)
def test_no_crash_loses_a_commit_in_the_gosqlite_format(cipher: str, group: str) -> None:
    """In a WAL with synchronous=NORMAL on a medium that does not garble the sector it is writing: the one in
    which synced commits end is written again (SECURITY.md)."""
    outcomes = run_jobs(_jobs(group, cipher, GOSQLITE_STATES))
    assert [failure for outcome in outcomes for failure in outcome.failures] == []


@pytest.mark.parametrize("group", sorted({*GROUPS} - Plain.WITHOUT))
def test_sqlite_alone_passes_the_same_judge(group: str) -> None:
    """The simulator is no harsher than what SQLite is made for."""
    outcomes = run_jobs(_jobs(group, "plain", PLAIN_STATES))
    assert [failure for outcome in outcomes for failure in outcome.failures] == []

"""A process that dies leaves nothing that ``verify`` or a recovery takes for damage.

The kernel writes all of it, in order.

What a power cut leaves is in test_crash_states.py.
"""

from __future__ import annotations

import pytest

from crash.jobs import Job, run_jobs

STATES, SEED = 120, 40
#: In the short recordings many kills leave the same.
FEWEST = 12

#: Those that leave more than the end of a log torn: frames that are written again, files that grow, headers
#: of new databases.
SCENARIOS = [
    "rewrites-wal-full", "rewrites-wal-normal", "rewrites-wal-off", "spills-wal-full", "floods-wal-full",
    "rewrites-delete-full", "floods-truncate-full", "sizes-persist-full-incremental", "holes-delete-off",
    "creation-delete-full", "creation-wal-full", "pairs-delete-full",
]  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_that_a_kill_leaves_looks_like_damage(scenario: str) -> None:
    """Before the database is opened, and after that: the simulator's judge looks at both."""
    (outcome,) = run_jobs([Job(scenario, STATES, SEED, kills=True)])
    assert outcome.failures == []
    assert outcome.states >= FEWEST

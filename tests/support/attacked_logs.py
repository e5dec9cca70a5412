"""What the tests of attacked logs share."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable

import pytest

import lumocrypt
from support.crash import contents
from support.history import Crashed
from support.tiny import Attacked


def log(crash: Crashed) -> bytes:
    """The one log of a crashed database."""
    (content,) = (content for name, content in crash.files.items() if name != crash.path.name)
    return content


def prefix_or_error(crash: Crashed) -> int | None:
    """Recovers; the number of the state that came out, None for an error. Everything else fails the test."""
    outcome = crash.outcome()
    if isinstance(outcome, sqlite3.Error):
        return None
    assert outcome in crash.states, "wrong data"
    return crash.states.index(outcome)


def refused(crash: Attacked, kind: str, match: str) -> None:
    """The database does not open because of its log, and nothing is touched."""
    before = contents(crash.path.parent)
    for _ in range(2):
        with pytest.raises(lumocrypt.TamperedError, match=match) as caught:
            crash.rows()
        assert caught.value.file_kind == kind
        assert contents(crash.path.parent) == before
    assert not crash.verdict()


def changed(content: bytes, offset: int, rng: random.Random) -> bytes:
    """``content`` with one byte changed to another random value."""
    return content[:offset] + bytes([content[offset] ^ rng.randrange(1, 256)]) + content[offset + 1 :]


def journal_outcomes(crash: Crashed, journals: Iterable[bytes]) -> set[int | None]:
    """What recoveries with each of the journals lead to."""
    seen: set[int | None] = set()
    for journal in journals:
        crash.put(journal=journal)
        seen.add(prefix_or_error(crash))
    return seen

"""Changed, replayed and missing rollback journals of a database that is in the middle of a transaction."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import lumocrypt
from support.attacked_logs import changed, journal_outcomes, log, prefix_or_error
from support.crash import contents, crashed, log_of
from support.folders import fast_folder
from support.history import KEY, Crashed, crash_in_a_transaction
from support.layout import HEADER, OVERHEAD, slot_at
from support.sql_recorder import Recorder
from support.tiny import BLOCK, Attacked, Rows, make_tiny

#: Lengths of the preamble and of what stands in front of each extent.
PREAMBLE, EXTENT_HEAD = 128, 24


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with fast_folder() as made:
        yield made


@pytest.fixture(scope="module")
def journal_crash(folder: Path) -> Crashed:
    (folder / "journal").mkdir()
    return crash_in_a_transaction(folder / "journal")


@pytest.fixture(autouse=True)
def _as_crashed(journal_crash: Crashed) -> None:
    journal_crash.put()


def test_an_untouched_journal_is_rolled_back(journal_crash: Crashed) -> None:
    assert prefix_or_error(journal_crash) == 0
    # The control: without its journal the database is in the middle of a transaction.
    journal_crash.put(journal=None)
    assert journal_crash.outcome() not in journal_crash.states


@pytest.mark.parametrize("size", [0, HEADER])
def test_an_empty_main_file_beside_a_journal_hazard_13(journal_crash: Crashed, size: int) -> None:
    journal_crash.put(main=journal_crash.files[journal_crash.path.name][:size])
    before = contents(journal_crash.path.parent)
    with pytest.raises(lumocrypt.TamperedError, match=r"empty|cut"):
        journal_crash.rows()
    with pytest.raises(lumocrypt.TamperedError):
        lumocrypt.connect(journal_crash.path, key=KEY).execute("CREATE TABLE mine (a)")
    assert contents(journal_crash.path.parent) == before


def extents(journal: bytes) -> list[int]:
    """Where the extents begin: their heads are clear (docs/reference/format.md, section 5)."""
    starts, at = [], PREAMBLE
    while journal[at : at + 4] == b"LJX1":
        starts.append(at)
        at += EXTENT_HEAD + int.from_bytes(journal[at + 4 : at + 8], "little") + OVERHEAD
    return starts


@pytest.mark.parametrize(("synchronous", "unproven"), [("NORMAL", 2), ("FULL", 1), ("EXTRA", 1)])
@pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST"])
def test_flipped_bits_in_a_hot_journal(folder: Path, mode: str, synchronous: str, unproven: int) -> None:
    """A transaction that is half in the main file is rolled back as a whole, or the database is refused.

    That holds for whatever a later extent proves to have been synced: under NORMAL SQLite writes the records
    and their count before one sync, otherwise it syncs in between.
    """
    here = folder / f"flips-{mode}-{synchronous}"
    here.mkdir()
    crash = crash_in_a_transaction(here, journal_mode=mode, synchronous=synchronous)
    journal = log(crash)
    starts = extents(journal)
    assert len(starts) > 2 * unproven
    rng = random.Random(2)
    proven = range(starts[-unproven])
    heads = {at for start in starts[:-unproven] for at in range(start, start + 24)}
    offsets = sorted(heads | set(proven[:256]) | set(proven[::7]) | set(proven[-64:]))
    seen = journal_outcomes(crash, (changed(journal, offset, rng) for offset in offsets))
    assert seen == {0, None}


def crash_in_a_commit(folder: Path, synchronous: str) -> Crashed:
    """A crash when the main file is written and the journal about to go: all of it is needed."""
    path = make_tiny(folder / "tiny.db")
    states = [Attacked(path, KEY).rows()]
    before = path.read_bytes()
    recorder = Recorder()
    connection = recorder.connect(path)
    connection.execute(f"PRAGMA synchronous={synchronous}").fetchall()
    connection.execute("SELECT count(*) FROM t").fetchall()
    crashes: list[Path] = []
    recorder.watch(lambda _: crashes.append(crashed(path, folder / f"crash-{len(crashes)}")))
    connection.execute("UPDATE t SET v = v || ' changed'")
    recorder.stop()
    connection.close()
    late = [copy for copy in crashes if log_of(copy, "-journal").exists() and copy.read_bytes() != before]
    return Crashed(late[-1], KEY, states, contents(late[-1].parent))


@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
def test_flipped_bits_in_the_journal_of_a_commit(folder: Path, synchronous: str) -> None:
    here = folder / f"commit-{synchronous}"
    here.mkdir()
    crash = crash_in_a_commit(here, synchronous)
    assert prefix_or_error(crash) == 0
    crash.put(journal=None)
    assert crash.outcome() not in crash.states
    journal = log(crash)
    rng = random.Random(3)
    offsets = [*range(0, len(journal), 7), *range(len(journal) - 100, len(journal))]
    seen = journal_outcomes(crash, (changed(journal, offset, rng) for offset in offsets))
    assert seen == {0, None}


def test_extents_of_a_hot_journal_out_of_order(journal_crash: Crashed) -> None:
    journal = log(journal_crash)
    starts = [*extents(journal), len(journal)]
    pieces = [journal[start:end] for start, end in itertools.pairwise(starts)]
    journals: list[bytes] = []
    for first in range(len(pieces) - 1):
        order = list(pieces)
        order[first], order[first + 1] = order[first + 1], order[first]
        journals.append(journal[:PREAMBLE] + b"".join(order))
        # Left out, and repeated.
        journals.append(journal[:PREAMBLE] + b"".join(pieces[:first] + pieces[first + 1 :]))
        journals.append(journal[:PREAMBLE] + b"".join([*pieces[: first + 1], *pieces[first:]]))
    # Of the page in the last extent nothing is in the main file yet: it may come late, twice, or not at all.
    assert journal_outcomes(journal_crash, journals[:-4]) == {None}
    assert journal_outcomes(journal_crash, journals[-4:]) == {0}


def test_known_limit_a_hot_journal_deleted_or_damaged_at_an_end(journal_crash: Crashed) -> None:
    """Nothing in the main file says that a rollback is due; the blocks of half a transaction are sound."""
    journal = log(journal_crash)
    assert len(journal) > 4096
    beginnings = [filler * 4096 + journal[4096:] for filler in (b"\0", b"\xa5")]
    ends = [journal[: extents(journal)[-1]], journal[:-1] + bytes([journal[-1] ^ 1])]
    for left in (None, b"", *beginnings, *ends):
        journal_crash.put(journal=left)
        if left in beginnings[1:]:
            (warning,) = lumocrypt.verify(journal_crash.path, key=KEY).warnings
            assert "holds bytes that do not authenticate" in warning
        outcome = journal_crash.outcome()
        assert not isinstance(outcome, sqlite3.Error)
        kept = list(journal_crash.path.parent.glob("*.lumo-damaged"))
        assert bool(kept) == (left in beginnings[1:])
        for copy in kept:
            assert copy.read_bytes() == left
            copy.unlink()
        # What is lost at the very end may not have been in use yet.
        assert left or outcome not in journal_crash.states


def test_an_old_journal_of_the_same_database(folder: Path) -> None:
    """Replayed after its transaction was committed: hot-journal injection."""
    here = folder / "old-journal"
    here.mkdir()
    crash = crash_in_a_transaction(here)
    path = here / "tiny.db"
    connection = lumocrypt.connect(path, key=KEY)
    connection.execute("UPDATE t SET v = v || '!'")
    connection.commit()
    connection.close()
    attacked = Attacked(path, KEY)
    latest: Rows = attacked.rows()
    log_of(path, "-journal").write_bytes(log(crash))
    outcome = attacked.outcome()
    assert isinstance(outcome, sqlite3.Error) or outcome in (latest, crash.states[0])


def test_a_slot_cannot_be_smuggled_in_by_a_journal(journal_crash: Crashed) -> None:
    """Main slots appended to a journal as if they were extents."""
    journal = log(journal_crash)
    main = journal_crash.files[journal_crash.path.name]
    slot = main[slot_at(1, BLOCK) : slot_at(2, BLOCK)]
    extent = b"LJX1" + (BLOCK).to_bytes(4, "little") + journal[64:80] + slot
    journal_crash.put(journal=journal + extent)
    assert prefix_or_error(journal_crash) == 0

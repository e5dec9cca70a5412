"""The length of a database and of its log is authenticated: ends that were cut off, changed cells."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lumocrypt
from support.attacked_logs import changed, refused
from support.crash import contents, log_of
from support.folders import fast_folder
from support.history import (
    KEY,
    Crashed,
    crash_in_a_transaction,
    crash_in_wal_mode,
    open_wal,
    write,
)
from support.layout import (
    CELL_A,
    CELL_B,
    CELL_USED,
    HEADER,
    LENGTH_A,
    LENGTH_B,
    OVERHEAD,
    WAL_FRAMES,
    frame_at,
    slot_at,
)
from support.tiny import BLOCK, Attacked, make_tiny

SLOT = BLOCK + OVERHEAD
PAIRS = [(CELL_A, CELL_B), (LENGTH_A, LENGTH_B)]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with fast_folder() as made:
        yield made


def slots_of(main: bytes) -> int:
    return (len(main) - HEADER) // SLOT


def refused_without_a_trace(attacked: Attacked) -> None:
    """An error for connections, ``verify`` and whoever writes, and not a byte of the database changes."""
    before = contents(attacked.path.parent)
    for io in ("map", "pread"):
        assert isinstance(attacked.outcome(io), lumocrypt.TamperedError)
    with pytest.raises(lumocrypt.TamperedError):
        lumocrypt.connect(attacked.path, key=KEY).execute("DELETE FROM t")
    assert not attacked.verdict()
    damaged = lumocrypt.verify(attacked.path, key=KEY).damaged
    assert any("cut off" in found.reason for found in damaged)
    assert contents(attacked.path.parent) == before


def uncheckpointed(folder: Path) -> Crashed:
    return crash_in_wal_mode(folder, transactions=1)


def checkpointed_in_part(folder: Path) -> Crashed:
    """A passive checkpoint has copied the first frames; a reader kept the log from being restarted."""
    path = make_tiny(folder / "tiny.db")
    connection, reader = open_wal(path), open_wal(path)
    states = [Attacked(path, KEY).rows(), *write(connection, path, [" one", " two"])]
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM t").fetchall()
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    states += write(connection, path, [" three"])
    made = Crashed.of(path, folder / "crash", states)
    reader.close()
    connection.close()
    return made


@pytest.mark.parametrize("crash", [uncheckpointed, checkpointed_in_part, crash_in_a_transaction])
def test_an_end_that_is_cut_off_beside_a_log(crash: Callable[[Path], Crashed], folder: Path) -> None:
    place = folder / f"cut-{crash.__name__}"
    place.mkdir()
    crashed = crash(place)
    before = crashed.states[0]
    crashed.put()
    assert crashed.outcome() in crashed.states
    main = crashed.files[crashed.path.name]
    # Of the transaction that is rolled back nothing has to be there; of what was there before everything.
    make_tiny(place / "same.db")
    required = slots_of((place / "same.db").read_bytes())
    assert before
    for cut in range(1, required):
        crashed.put(main=main[: slot_at(required - cut, BLOCK)])
        refused_without_a_trace(crashed)


@pytest.mark.parametrize("journal_mode", ["DELETE", "WAL"])
def test_an_end_that_is_cut_off_a_closed_database(journal_mode: str, folder: Path) -> None:
    place = folder / f"closed-{journal_mode}"
    place.mkdir()
    path = make_tiny(place / "tiny.db")
    connection = lumocrypt.connect(path, key=KEY, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={journal_mode}")
    connection.execute("INSERT INTO t (v, blob) VALUES ('grown', randomblob(20000))")
    connection.close()
    whole = path.read_bytes()
    for left in range(slots_of(whole)):
        path.write_bytes(whole[: slot_at(left, BLOCK)])
        refused_without_a_trace(Attacked(path, KEY))
    path.write_bytes(whole)
    assert Attacked(path, KEY).verdict()


def test_an_old_journal_beside_a_database_whose_end_was_cut_off(folder: Path) -> None:
    """The journal restores what it holds; it must not make zeros of what is missing."""
    place = folder / "old-journal"
    place.mkdir()
    crashed = crash_in_a_transaction(place)
    crashed.put()
    connection = lumocrypt.connect(crashed.path, key=KEY, isolation_level=None)
    connection.execute("INSERT INTO t (v, blob) VALUES ('later', randomblob(9000))")
    connection.close()
    main = crashed.path.read_bytes()
    for left in range(1, slots_of(main)):
        crashed.put(main=main[: slot_at(left, BLOCK)])
        refused_without_a_trace(crashed)


def test_an_old_journal_that_restores_a_longer_database(folder: Path) -> None:
    """The database was made shorter since: what the journal counts is not there, and zeros are not it."""
    place = folder / "longer"
    place.mkdir()
    crashed = crash_in_a_transaction(place)
    crashed.put()
    connection = lumocrypt.connect(crashed.path, key=KEY, isolation_level=None)
    connection.execute("DELETE FROM t WHERE id > 2")
    connection.execute("VACUUM")
    connection.close()
    crashed.put(main=crashed.path.read_bytes())
    assert isinstance(crashed.outcome(), lumocrypt.TamperedError)
    assert not crashed.verdict()


def test_a_database_that_is_made_shorter_and_longer_stays_in_order(folder: Path) -> None:
    place = folder / "breathing"
    place.mkdir()
    path = make_tiny(place / "tiny.db")
    for mode, vacuum in itertools.product(("DELETE", "WAL", "PERSIST", "TRUNCATE"), ("none", "full")):
        connection = lumocrypt.connect(path, key=KEY, isolation_level=None)
        connection.execute(f"PRAGMA auto_vacuum={vacuum}")
        connection.execute("VACUUM")
        connection.execute(f"PRAGMA journal_mode={mode}")
        for size in (30_000, 2_000, 60_000, 0):
            connection.execute("DELETE FROM t WHERE id > 100")
            connection.execute("INSERT INTO t (id, v, blob) VALUES (101, 'x', randomblob(?))", (size,))
            if size == 2_000:
                connection.execute("VACUUM")
            assert Attacked(path, KEY).verdict(), (mode, vacuum, size)
        connection.close()
        assert Attacked(path, KEY).verdict()
        assert "x" in repr(Attacked(path, KEY).rows())


def test_frames_that_a_checkpoint_has_copied_cannot_go(folder: Path) -> None:
    """Without them half a transaction would be left. What came after them is the end of the log, as ever."""
    place = folder / "copied"
    place.mkdir()
    crashed = checkpointed_in_part(place)
    wal = crashed.files[crashed.wal.name]
    frames = (len(wal) - WAL_FRAMES) // (frame_at(1, BLOCK) - frame_at(0, BLOCK))
    assert frame_at(frames, BLOCK) == len(wal)
    seen: list[object] = []
    for left in range(frames):
        crashed.put(wal=wal[: frame_at(left, BLOCK)])
        outcome = crashed.outcome()
        seen.append(crashed.states.index(outcome) if isinstance(outcome, list) else type(outcome))
        if isinstance(outcome, lumocrypt.TamperedError):
            crashed.put(wal=wal[: frame_at(left, BLOCK)])
            refused(crashed, "wal", "half a transaction")
        # One flipped bit in the next frame ends the log as well as a cut does.
        crashed.put(wal=changed(wal, frame_at(left, BLOCK) + 30, random.Random(left)))
        assert not crashed.verdict() or left == frames - 1, left
        flipped = crashed.outcome()
        assert type(flipped) is type(outcome)
    copied = seen.count(lumocrypt.TamperedError)
    assert 1 < copied < frames
    assert seen == [lumocrypt.TamperedError] * copied + [2] * (frames - copied)


def closed_with_an_older_wal(place: Path) -> tuple[Crashed, bytes]:
    """A closed database, and the log that it had when mallory was still in it."""
    path = make_tiny(place / "tiny.db")
    connection = open_wal(path)
    write(connection, path, [" mallory"])
    older = log_of(path, "-wal").read_bytes()
    now = write(connection, path, [" alice"])
    connection.close()
    return Crashed(path, KEY, now, contents(place)), older


def flips(main: bytes, bits: int) -> Iterator[bytes]:
    """``main`` with so many bits flipped in its cells: any copies, at a sample of offsets."""
    copies = [at for pair in PAIRS for at in pair]
    for chosen in itertools.combinations(copies, bits):
        for within in range(0, CELL_USED, 29):
            bent = bytearray(main)
            for at in chosen:
                bent[at + within] ^= 1 << within % 8
            yield bytes(bent)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_an_older_wal_does_not_come_back_whatever_is_flipped(bits: int, folder: Path) -> None:
    place = folder / f"older-{bits}"
    place.mkdir()
    closed, older = closed_with_an_older_wal(place)
    (now,) = closed.states
    main = closed.files[closed.path.name]
    outcomes: set[str] = set()
    for bent in flips(main, bits):
        closed.put(main=bent, wal=older)
        assert not closed.verdict(), "verify reports each damaged copy"
        outcome = closed.outcome()
        assert outcome == now or isinstance(outcome, lumocrypt.CryptError)
        outcomes.add("now" if outcome == now else type(outcome).__name__)
    # One copy of each cell is enough; both of one are not.
    assert outcomes == {1: {"now"}, 2: {"now", "HeaderDamagedError"}}.get(bits, {"HeaderDamagedError"})


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_a_missing_wal_is_missed_whatever_is_flipped(bits: int, folder: Path) -> None:
    place = folder / f"missing-{bits}"
    place.mkdir()
    crashed = crash_in_wal_mode(place)
    main = crashed.files[crashed.path.name]
    for bent in flips(main, bits):
        crashed.put(main=bent, wal=None)
        assert not crashed.verdict()
        assert isinstance(crashed.outcome(), lumocrypt.TamperedError | lumocrypt.HeaderDamagedError)


@pytest.mark.parametrize("journal_mode", ["DELETE", "WAL"])
def test_both_copies_of_a_cell_say_the_same_whenever_somebody_looks(journal_mode: str, folder: Path) -> None:
    place = folder / f"same-{journal_mode}"
    place.mkdir()
    path = place / "app.db"

    def look() -> None:
        region = path.read_bytes()[:HEADER]
        for a, b in PAIRS:
            assert region[a : a + CELL_USED] == region[b : b + CELL_USED]

    connection = lumocrypt.connect(path, key=KEY, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={journal_mode}")
    connection.execute("CREATE TABLE t (x)")
    look()
    for kind in ("PASSIVE", "FULL", "RESTART", "TRUNCATE"):
        connection.execute("INSERT INTO t VALUES (randomblob(30000))")
        look()
        connection.execute(f"PRAGMA wal_checkpoint({kind})")
        look()
    connection.execute("DELETE FROM t")
    connection.execute("VACUUM")
    look()
    connection.close()
    look()


def test_a_damaged_copy_is_repaired_by_the_next_change(folder: Path) -> None:
    place = folder / "repaired"
    place.mkdir()
    path = make_tiny(place / "tiny.db")
    for at in (CELL_A, CELL_B, LENGTH_A, LENGTH_B):
        content = path.read_bytes()
        path.write_bytes(content[: at + 10] + bytes([content[at + 10] ^ 1]) + content[at + 11 :])
        assert not Attacked(path, KEY).verdict()
        connection = open_wal(path)
        connection.execute("INSERT INTO t (v, blob) VALUES ('more', randomblob(20000))")
        connection.close()
        assert Attacked(path, KEY).verdict()


def test_a_copy_of_the_whole_folder_is_complete(folder: Path) -> None:
    """What has to be there is there in every backup of the files, not in this process alone."""
    place = folder / "copy"
    place.mkdir()
    crashed = checkpointed_in_part(place)
    crashed.put()
    shutil.copytree(crashed.path.parent, place / "backup")
    assert Attacked(place / "backup" / crashed.path.name, KEY).rows() == crashed.states[-1]


@pytest.mark.parametrize("mode", ["delete", "persist", "truncate", "wal"])
@pytest.mark.parametrize("locking", ["normal", "exclusive"])
def test_the_end_counts_where_nothing_is_synced(tmp_path: Path, mode: str, locking: str) -> None:
    """``synchronous=OFF`` gives up what a power cut does, not what an attacker does."""
    path = tmp_path / "a.db"
    connection = lumocrypt.connect(path, key=KEY, isolation_level=None)
    for pragma in ("synchronous=OFF", f"locking_mode={locking}", f"journal_mode={mode}"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE t (a)")
    for size in range(20):
        connection.execute("INSERT INTO t VALUES (zeroblob(?))", (size * 1000,))
    connection.close()
    whole = path.read_bytes()
    assert lumocrypt.verify(path, key=KEY)
    path.write_bytes(whole[: -(4096 + OVERHEAD)])
    assert not lumocrypt.verify(path, key=KEY)
    with pytest.raises(lumocrypt.TamperedError, match="cut off"):
        lumocrypt.connect(path, key=KEY).execute("SELECT * FROM t")

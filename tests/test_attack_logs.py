"""Changed, replayed, foreign, plaintext and missing logs."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import lumocrypt
from support.crash import contents, crashed, log_of
from support.folders import fast_folder
from support.history import KEY, Crashed, crash_in_a_transaction, crash_in_wal_mode, open_wal, write
from support.layout import HEADER, OVERHEAD, WAL_FRAME_HEADER, WAL_FRAMES, frame_at, slot_at
from support.tiny import BLOCK, Attacked, Rows, make_plain_tiny, make_tiny

FRAME = WAL_FRAME_HEADER + BLOCK + OVERHEAD
LOG_KINDS = pytest.mark.parametrize("kind", ["wal", "journal"])


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with fast_folder() as made:
        yield made


@pytest.fixture(scope="module")
def wal_crash(folder: Path) -> Crashed:
    (folder / "wal").mkdir()
    return crash_in_wal_mode(folder / "wal")


@pytest.fixture(scope="module")
def journal_crash(folder: Path) -> Crashed:
    (folder / "journal").mkdir()
    return crash_in_a_transaction(folder / "journal")


@pytest.fixture(autouse=True)
def _as_crashed(request: pytest.FixtureRequest) -> None:
    for name in {"wal_crash", "journal_crash"} & set(request.fixturenames):
        request.getfixturevalue(name).put()


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
    return content[:offset] + bytes([content[offset] ^ rng.randrange(1, 256)]) + content[offset + 1 :]


def test_an_untouched_log_is_recovered(wal_crash: Crashed, journal_crash: Crashed) -> None:
    assert len(set(map(repr, wal_crash.states))) == len(wal_crash.states) == 5
    assert wal_crash.verdict()
    assert prefix_or_error(wal_crash) == 4
    assert prefix_or_error(journal_crash) == 0
    # The control: without its journal the database is in the middle of a transaction.
    journal_crash.put(journal=None)
    assert journal_crash.outcome() not in journal_crash.states


# WAL


def test_flipped_bits_anywhere_in_the_wal(wal_crash: Crashed) -> None:
    wal = log(wal_crash)
    frames = (len(wal) - WAL_FRAMES) // FRAME
    assert WAL_FRAMES + frames * FRAME == len(wal)
    rng = random.Random(1)
    heads = [*range(256), *range(4096, 4096 + 256), *range(256, 4096, 97)]
    # Each frame's header, nonce and tag, and a sample of its page.
    bodies = [
        frame_at(index, BLOCK) + within
        for index in range(frames)
        for within in [*range(24), *range(24, FRAME - OVERHEAD, 31), *range(FRAME - OVERHEAD, FRAME)]
    ]
    seen: set[int | None] = set()
    for offset in [*heads, *bodies]:
        wal_crash.put(wal=changed(wal, offset, rng))
        clean = wal_crash.verdict()
        state = prefix_or_error(wal_crash)
        seen.add(state)
        if state is None or state < len(wal_crash.states) - 2:
            # verify can tell lost commits from an append that a crash tore, except at the very end.
            assert not clean, f"verify overlooks byte {offset}"
    assert seen == {None, 0, 1, 2, 3, 4}


def test_a_recovered_prefix_can_be_written_to(wal_crash: Crashed) -> None:
    wal = log(wal_crash)
    for offset in range(WAL_FRAMES, len(wal), FRAME):
        wal_crash.put(wal=changed(wal, offset, random.Random(offset)))
        state = prefix_or_error(wal_crash)
        assert state is not None
        wal_crash.put(wal=changed(wal, offset, random.Random(offset)))
        connection = open_wal(wal_crash.path)
        connection.execute("INSERT INTO t VALUES (100, 'afterwards', NULL)")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        again = Attacked(crashed(wal_crash.path, wal_crash.path.parent / f"again-{offset}"), KEY)
        connection.close()
        rows = [row for row in again.rows() if "afterwards" not in row]
        assert rows == wal_crash.states[state]
        assert again.verdict()


def test_a_truncated_wal_is_a_prefix(wal_crash: Crashed) -> None:
    wal = log(wal_crash)
    cuts = {start + extra for start in range(WAL_FRAMES, len(wal), FRAME) for extra in (0, 1, 24, 300)}
    states = []
    for cut in sorted(cuts, reverse=True):
        wal_crash.put(wal=wal[:cut])
        states.append(prefix_or_error(wal_crash))
    assert states == sorted(states, key=lambda state: -(state or 0))
    assert set(states) == {0, 1, 2, 3}
    # A header without frames is what a crash leaves; less than a header is not.
    for cut in (1, 100, 127, 231):
        wal_crash.put(wal=wal[:cut])
        refused(wal_crash, "wal", "no valid header|missing or was emptied")


def test_moved_frames(wal_crash: Crashed) -> None:
    """Swapped, repeated, left out: the log ends in front of the first that is not in its place."""
    wal = log(wal_crash)
    frames = [wal[at : at + FRAME] for at in range(WAL_FRAMES, len(wal), FRAME)]
    head = wal[:WAL_FRAMES]
    ends: list[int | None] = []
    for first in range(len(frames)):
        for second in range(first + 1, len(frames)):
            order = list(frames)
            order[first], order[second] = order[second], order[first]
            wal_crash.put(wal=head + b"".join(order))
            assert not wal_crash.verdict() or second == len(frames) - 1
            ends.append(prefix_or_error(wal_crash))
        wal_crash.put(wal=head + b"".join(frames[:first] + frames[first + 1 :]))
        ends.append(prefix_or_error(wal_crash))
        wal_crash.put(wal=head + b"".join([*frames[: first + 1], frames[first], *frames[first + 1 :]]))
        ends.append(prefix_or_error(wal_crash))
    assert ends[0] == 0
    assert max(end or 0 for end in ends) <= 4


def test_frames_of_an_earlier_generation_are_not_taken(folder: Path) -> None:
    """Two generations of one log with the same salts' place, the frames of the first in the second."""
    here = folder / "splice"
    here.mkdir()
    path = make_tiny(here / "tiny.db")
    connection = open_wal(path)
    states = write(connection, path, [" first", " second"])
    earlier = log_of(path, "-wal").read_bytes()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    states = states[-1:] + write(connection, path, [" third", " fourth", " fifth"])
    crash = Crashed.of(path, here / "crash", states)
    connection.close()
    wal = log(crash)
    for at in range(WAL_FRAMES, min(len(wal), len(earlier)), FRAME):
        crash.put(wal=wal[:at] + earlier[at : at + FRAME] + wal[at + FRAME :])
        prefix_or_error(crash)
        crash.put(wal=wal[:at] + earlier[at:])
        prefix_or_error(crash)


@pytest.mark.parametrize("io", ["map", "pread"])
def test_a_frame_changed_under_an_open_connection(folder: Path, io: lumocrypt.connection.Io) -> None:
    """The wal-index names the frame: it has to be there."""
    here = folder / f"live-{io}"
    here.mkdir()
    path = make_tiny(here / "tiny.db")
    connection = open_wal(path)
    write(connection, path, [" one"])
    with log_of(path, "-wal").open("r+b") as file:
        for at in range(WAL_FRAMES, log_of(path, "-wal").stat().st_size, FRAME):
            file.seek(at + 100)
            file.write(b"damaged")
    with pytest.raises(lumocrypt.TamperedError) as caught:
        Attacked(path, KEY).rows(io)
    assert (caught.value.file_kind, caught.value.path) == ("wal", str(log_of(path, "-wal")))
    assert isinstance(caught.value.page, int)
    connection.close()


def test_a_whole_older_wal_over_a_newer_closed_database(folder: Path) -> None:
    """Whole-log replay: the rows that it would bring back were changed since."""
    here = folder / "replay"
    here.mkdir()
    path = make_tiny(here / "tiny.db")
    connection = open_wal(path)
    (first,) = write(connection, path, [" revoked"])
    old = log_of(path, "-wal").read_bytes()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (latest,) = write(connection, path, [" granted"])
    last = log_of(path, "-wal").read_bytes()
    connection.close()
    attacked = Attacked(path, KEY)
    main = path.read_bytes()
    assert not log_of(path, "-wal").exists()
    log_of(path, "-wal").write_bytes(old)
    refused(attacked, "wal", "not the one that the database names")
    # The log that was checkpointed last brings nothing back.
    path.write_bytes(main)
    log_of(path, "-wal").write_bytes(last)
    assert attacked.rows() == latest != first


def test_an_older_wal_in_place_of_the_current_one(folder: Path) -> None:
    here = folder / "older"
    here.mkdir()
    path = make_tiny(here / "tiny.db")
    connection = open_wal(path)
    states = write(connection, path, [" one"])
    old = log_of(path, "-wal").read_bytes()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    states += write(connection, path, [" two"])
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    states += write(connection, path, [" three"])
    crash = Crashed.of(path, here / "crash", states)
    connection.close()
    crash.put(wal=old)
    refused(crash, "wal", "not the one that the database names")
    crash.put()
    assert prefix_or_error(crash) == 2


def test_known_limit_an_older_state_of_the_same_log(wal_crash: Crashed) -> None:
    """Cutting commits off the end of a log is what a crash before their sync looks like."""
    wal_crash.put(wal=log(wal_crash)[: -2 * FRAME])
    state = prefix_or_error(wal_crash)
    assert state is not None
    assert state < 4


def test_known_limit_everything_replaced_by_an_older_copy(folder: Path) -> None:
    here = folder / "all"
    here.mkdir()
    old = crash_in_wal_mode(here, transactions=1)
    connection = open_wal(here / "tiny.db")
    connection.execute("DELETE FROM t")
    connection.close()
    (here / "tiny.db").write_bytes(old.files["tiny.db"])
    log_of(here / "tiny.db", "-wal").write_bytes(log(old))
    assert Attacked(here / "tiny.db", KEY).rows() == old.states[-1]


# Logs that are missing


@pytest.mark.parametrize("left", [None, b""])
def test_a_missing_wal_is_an_error_that_can_be_overridden(wal_crash: Crashed, left: bytes | None) -> None:
    wal_crash.put(wal=left)
    main = wal_crash.path.read_bytes()
    with pytest.raises(lumocrypt.TamperedError, match="lumo_discard_wal=1") as caught:
        wal_crash.rows()
    assert caught.value.file_kind == "wal"
    assert wal_crash.path.read_bytes() == main
    assert not wal_crash.verdict()
    uri = wal_crash.path.as_uri() + "?lumo_discard_wal=1"
    connection = lumocrypt.connect(uri, key=KEY, uri=True)
    table = connection.execute("SELECT id, v, quote(blob) FROM t ORDER BY id").fetchall()
    assert table == wal_crash.states[0][: len(table)]
    connection.execute("INSERT INTO t VALUES (100, 'afterwards', NULL)")
    connection.commit()
    connection.close()
    assert (100, "afterwards", "NULL") in wal_crash.rows()
    assert wal_crash.verdict()


@pytest.mark.parametrize("size", [0, HEADER])
def test_a_main_file_cut_beside_a_log_with_commits(wal_crash: Crashed, size: int) -> None:
    """SQLite deletes the log of a database without pages."""
    wal_crash.put(main=wal_crash.files[wal_crash.path.name][:size])
    before = contents(wal_crash.path.parent)
    for _ in range(2):
        with pytest.raises(lumocrypt.TamperedError, match=r"empty|cut"):
            wal_crash.rows()
        with pytest.raises(lumocrypt.TamperedError):
            lumocrypt.connect(wal_crash.path, key=KEY).execute("CREATE TABLE mine (a)")
        assert contents(wal_crash.path.parent) == before


def test_an_empty_main_file_beside_a_journal(journal_crash: Crashed) -> None:
    journal_crash.put(main=b"")
    before = contents(journal_crash.path.parent)
    with pytest.raises(lumocrypt.TamperedError, match="empty"):
        journal_crash.rows()
    with pytest.raises(lumocrypt.TamperedError):
        lumocrypt.connect(journal_crash.path, key=KEY).execute("CREATE TABLE mine (a)")
    assert contents(journal_crash.path.parent) == before


# Logs from elsewhere


@LOG_KINDS
def test_a_plaintext_log_is_refused(folder: Path, kind: str) -> None:
    """A real one, of a plaintext twin, that SQLite would replay if the VFS let it."""
    here = folder / f"plain-{kind}"
    here.mkdir()
    twin = make_plain_tiny(here / "twin.db")
    connection = sqlite3.connect(twin, isolation_level=None)
    if kind == "wal":
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("UPDATE t SET v = 'injected'")
    else:
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET v = v || ' injected by a log'")
    injected = log_of(twin, f"-{kind}").read_bytes()
    assert len(injected) > BLOCK
    connection.close()
    for mode in ("DELETE", "WAL"):
        path = here / mode / "tiny.db"
        path.parent.mkdir()
        make_tiny(path)
        lumocrypt.connect(path, key=KEY).execute(f"PRAGMA journal_mode={mode}").close()
        attacked = Attacked(path, KEY)
        right = attacked.rows()
        log_of(path, f"-{kind}").write_bytes(injected)
        refused(attacked, kind, "plaintext")
        # Moving it away is all that it takes.
        log_of(path, f"-{kind}").unlink()
        assert attacked.rows() == right


@LOG_KINDS
@pytest.mark.parametrize("owner", ["stranger", "relative"])
def test_a_log_of_another_database_is_refused(folder: Path, kind: str, owner: str) -> None:
    """Of one with the same raw key, and of a VACUUM INTO copy with the same data key."""
    here = folder / f"{owner}-{kind}"
    here.mkdir()
    make = crash_in_wal_mode if kind == "wal" else crash_in_a_transaction
    foreign = make(here)
    path = here / "other" / "tiny.db"
    path.parent.mkdir()
    if owner == "stranger":
        make_tiny(path)
    else:
        foreign.rows()
        connection = lumocrypt.connect(foreign.path, key=KEY)
        connection.execute("VACUUM INTO ?", (str(path),))
        connection.close()
        assert lumocrypt.info(path).key_id == lumocrypt.info(foreign.path).key_id
    attacked = Attacked(path, KEY)
    right = attacked.rows()
    log_of(path, f"-{kind}").write_bytes(log(foreign))
    refused(attacked, kind, "belongs to another database or another key")
    log_of(path, f"-{kind}").unlink()
    assert attacked.rows() == right


@LOG_KINDS
def test_a_log_of_a_newer_version_is_refused(wal_crash: Crashed, journal_crash: Crashed, kind: str) -> None:
    import hashlib

    crash = wal_crash if kind == "wal" else journal_crash
    content = bytearray(log(crash))
    for copy in (0, 4096) if kind == "wal" else (0,):
        if any(content[copy : copy + 16]):
            content[copy + 16] = 2
            content[copy + 96 : copy + 128] = hashlib.sha256(content[copy : copy + 96]).digest()
    crash.put(**{kind: bytes(content)})
    before = contents(crash.path.parent)
    with pytest.raises(lumocrypt.UnsupportedFormatError, match="version 2"):
        crash.rows()
    assert contents(crash.path.parent) == before


# Rollback journals


def journal_outcomes(crash: Crashed, journals: Iterator[bytes]) -> set[int | None]:
    seen: set[int | None] = set()
    for journal in journals:
        crash.put(journal=journal)
        seen.add(prefix_or_error(crash))
    return seen


@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL", "EXTRA"])
@pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST"])
def test_flipped_bits_in_a_hot_journal(folder: Path, mode: str, synchronous: str) -> None:
    """A transaction that is half in the main file is rolled back as a whole, or the database is refused."""
    here = folder / f"flips-{mode}-{synchronous}"
    here.mkdir()
    crash = crash_in_a_transaction(here, journal_mode=mode, synchronous=synchronous)
    journal = log(crash)
    rng = random.Random(2)
    offsets = [*range(300), *range(300, len(journal) - 300, 13), *range(len(journal) - 300, len(journal))]
    seen = journal_outcomes(crash, (changed(journal, offset, rng) for offset in offsets))
    assert seen == {0, None}


def test_known_limit_a_hot_journal_cut_short_or_deleted(journal_crash: Crashed) -> None:
    """Nothing in the main file says that a rollback is due; the blocks of half a transaction are sound."""
    journal_crash.put(journal=None)
    assert not isinstance(journal_crash.outcome(), sqlite3.Error)


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

"""Changed, moved, replayed and missing write-ahead logs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import lumocrypt
from lumocrypt.opening.connection import Io
from support.attacked_logs import changed, log, prefix_or_error, refused
from support.crash import contents, crashed, log_of
from support.folders import fast_folder
from support.history import KEY, Crashed, crash_in_wal_mode, open_wal, write
from support.layout import HEADER, OVERHEAD, WAL_FRAME_HEADER, WAL_FRAMES, frame_at
from support.tiny import BLOCK, Attacked, make_tiny

FRAME = WAL_FRAME_HEADER + BLOCK + OVERHEAD


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with fast_folder() as made:
        yield made


@pytest.fixture(scope="module")
def wal_crash(folder: Path) -> Crashed:
    (folder / "wal").mkdir()
    return crash_in_wal_mode(folder / "wal")


@pytest.fixture(autouse=True)
def _as_crashed(wal_crash: Crashed) -> None:
    wal_crash.put()


def test_an_untouched_log_is_recovered(wal_crash: Crashed) -> None:
    assert len(set(map(repr, wal_crash.states))) == len(wal_crash.states) == 5
    assert wal_crash.verdict()
    assert prefix_or_error(wal_crash) == 4


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
def test_a_frame_changed_under_an_open_connection(folder: Path, io: Io) -> None:
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
    assert isinstance(caught.value.frame, int)
    connection.close()


def test_a_whole_older_wal_over_a_newer_closed_database_hazard_9(folder: Path) -> None:
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


def test_an_older_wal_in_place_of_the_current_one_hazard_9(folder: Path) -> None:
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
def test_a_missing_wal_is_an_error_that_can_be_overridden_hazard_9(
    wal_crash: Crashed, left: bytes | None
) -> None:
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
def test_a_main_file_cut_beside_a_log_with_commits_hazard_13(wal_crash: Crashed, size: int) -> None:
    """SQLite deletes the log of a database without pages."""
    wal_crash.put(main=wal_crash.files[wal_crash.path.name][:size])
    before = contents(wal_crash.path.parent)
    for _ in range(2):
        with pytest.raises(lumocrypt.TamperedError, match=r"empty|cut"):
            wal_crash.rows()
        with pytest.raises(lumocrypt.TamperedError):
            lumocrypt.connect(wal_crash.path, key=KEY).execute("CREATE TABLE mine (a)")
        assert contents(wal_crash.path.parent) == before

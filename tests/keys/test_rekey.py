"""Changes of the data key: all of it, interrupted, resumed, and beside other connections."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from lumocrypt.database.command import Commander
from lumocrypt.keys.source import Source
from support.known_keys import FAST, RAW
from support.plaintext import MARKER, fill
from support.rekeying import bring_back, interrupt, steps_of

KEY = lumocrypt.Key.raw(RAW)
OTHER = lumocrypt.Key.raw(bytes(range(32, 64)))
NEW = lumocrypt.Key.raw(bytes(range(64, 96)))
HEADER = 65536
SLOT = 4096 + 40
JOURNALS = ("delete", "persist", "wal")


def make(path: Path, journal: str = "delete", rows: int = 500, **arguments: Any) -> Path:
    with contextlib.closing(lumocrypt.connect(path, key=KEY, **arguments)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}").fetchall()
        fill(connection, rows)
    return path


def rows(path: Path, key: lumocrypt.Key = KEY, **arguments: Any) -> list[tuple[Any, ...]]:
    with contextlib.closing(lumocrypt.connect(path, key=key, **arguments)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute("SELECT * FROM t ORDER BY id").fetchall()


def tear(path: Path, *blocks: int) -> None:
    with path.open("r+b") as file:
        for block in blocks:
            file.seek(HEADER + block * SLOT + 1000)
            file.write(bytes(2000))


def bend(path: Path, *blocks: int) -> None:
    """Flips a bit in each; a second time flips it back."""
    with path.open("r+b") as file:
        for block in blocks:
            file.seek(HEADER + block * SLOT + 77)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))


def slots(path: Path) -> list[bytes]:
    content = path.read_bytes()[HEADER:]
    return [content[at : at + SLOT] for at in range(0, len(content), SLOT)]


@pytest.fixture(params=JOURNALS)
def journal(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database(tmp_path: Path, journal: str) -> Path:
    return make(tmp_path / "app.db", journal)


@pytest.mark.parametrize("step", [1, 10_000, 4 << 20])
def test_every_block_is_sealed_anew(database: Path, step: int) -> None:
    before, content, old = slots(database), rows(database), lumocrypt.info(database)
    with steps_of(step):
        done = lumocrypt.rekey(database, key=KEY)
    new = lumocrypt.info(database)
    assert rows(database) == content
    assert lumocrypt.verify(database, key=KEY).ok
    assert not any(one == other for one, other in zip(before, slots(database), strict=True))
    assert new.key_id == done.key_id != old.key_id
    assert (new.uuid, new.cipher, new.rekeying) == (old.uuid, old.cipher, False)
    assert done.size == new.logical_size
    assert not Path(f"{database}-lumo-rekey").exists()


@pytest.mark.parametrize("cipher", [None, "xchacha20-poly1305"])
@pytest.mark.parametrize("threads", ["1", "4"])
def test_every_block_is_sealed_anew_however_many_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: str, cipher: str | None
) -> None:
    # Steps that are worth several threads, and the last of them is not.
    database = make(tmp_path / "app.db", "wal", rows=60_000, cipher=cipher)
    before, content = slots(database), rows(database)
    assert len(before) * SLOT > 9 << 20
    monkeypatch.setenv("LUMO_THREADS", threads)
    lumocrypt.rekey(database, key=KEY)
    assert rows(database) == content
    assert lumocrypt.verify(database, key=KEY).ok
    assert not any(one == other for one, other in zip(before, slots(database), strict=True))


def test_a_damaged_block_is_named_however_many_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = make(tmp_path / "app.db", rows=60_000)
    content = rows(database)
    monkeypatch.setenv("LUMO_THREADS", "4")
    # Both in one step, in pieces that different threads take: the first counts.
    bend(database, 1700, 1100)
    with pytest.raises(lumocrypt.TamperedError) as caught:
        lumocrypt.rekey(database, key=KEY)
    assert (caught.value.block, caught.value.file_kind) == (1100, "main")
    bend(database, 1700, 1100)
    assert lumocrypt.rekey(database, key=KEY).resumed
    assert rows(database) == content


@pytest.mark.parametrize("threads", ["none", "0", "-1", "9" * 30])
def test_a_number_of_threads_that_is_none_is_refused_before_anything_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    database = make(tmp_path / "app.db", "delete")
    before = database.read_bytes()
    monkeypatch.setenv("LUMO_THREADS", threads)
    with pytest.raises(ValueError, match="LUMO_THREADS"):
        lumocrypt.rekey(database, key=KEY)
    assert database.read_bytes() == before


def test_the_old_header_opens_nothing_that_was_sealed_anew(database: Path, tmp_path: Path) -> None:
    old = database.read_bytes()[:HEADER]
    lumocrypt.rekey(database, key=KEY)
    copy = tmp_path / "copy.db"
    copy.write_bytes(old + database.read_bytes()[HEADER:])
    result = lumocrypt.verify(copy, key=KEY)
    assert result.damaged_total >= len(slots(copy))


def test_nothing_links_the_keys_when_it_is_over(database: Path) -> None:
    lumocrypt.rekey(database, key=KEY)
    for copy in (0, 16384):
        header = database.read_bytes()[copy : copy + 16384]
        assert not header[72] & 1
        assert header[73:80] == bytes(7)
        assert header[80:1024] == bytes(944)


def test_another_key_takes_the_place(database: Path) -> None:
    content = rows(database)
    lumocrypt.rekey(database, key=KEY, new_key=NEW)
    assert rows(database, NEW) == content
    with pytest.raises(lumocrypt.WrongKeyError):
        rows(database, KEY)
    # As after a call whose answer got lost, or with the two in the wrong order.
    before = database.read_bytes()
    with pytest.raises(lumocrypt.WrongKeyError, match="the new one does already"):
        lumocrypt.rekey(database, key=KEY, new_key=NEW)
    assert database.read_bytes() == before


@pytest.mark.parametrize("cipher", ["aegis-256x2", "xchacha20-poly1305", "aes-256-gcm"])
def test_another_suite(database: Path, cipher: str) -> None:
    content = rows(database)
    interrupt(database, key=KEY, cipher=cipher, after=1)
    assert rows(database) == content
    lumocrypt.rekey(database, key=KEY)
    assert rows(database) == content
    assert lumocrypt.info(database).cipher == cipher
    assert lumocrypt.verify(database, key=KEY).ok


def test_a_suite_without_a_key_is_refused(database: Path) -> None:
    before = database.read_bytes()
    with pytest.raises(ValueError, match="checksum"):
        lumocrypt.rekey(database, key=KEY, cipher="checksum")
    assert database.read_bytes() == before


def test_a_wrong_key_changes_nothing(database: Path) -> None:
    before = database.read_bytes()
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.rekey(database, key=OTHER)
    assert database.read_bytes() == before


def test_other_slots_go_only_with_consent(database: Path) -> None:
    lumocrypt.add_key(database, key=KEY, new_key=OTHER, label="the other")
    before = database.read_bytes()
    with pytest.raises(lumocrypt.KeyRequiredError, match="the other"):
        lumocrypt.rekey(database, key=KEY)
    assert database.read_bytes() == before
    lumocrypt.rekey(database, key=KEY, other_keys=[OTHER])
    assert rows(database, OTHER) == rows(database, KEY)
    assert [slot.label for slot in lumocrypt.keyslots(database)] == ["", "the other"]
    lumocrypt.rekey(database, key=KEY, drop_other_slots=True)
    assert len(lumocrypt.keyslots(database)) == 1
    with pytest.raises(lumocrypt.WrongKeyError):
        rows(database, OTHER)


def test_a_passphrase_keeps_its_cost(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with contextlib.closing(lumocrypt.connect(path, key="old one", kdf=FAST)) as connection:
        fill(connection)
    before = lumocrypt.info(path).keyslots
    lumocrypt.rekey(path, key="old one", new_key="new one")
    (slot,) = lumocrypt.info(path).keyslots
    assert (slot.type, slot.kdf) == ("passphrase", before[0].kdf)
    assert rows(path, lumocrypt.Key("new one"))


@pytest.mark.parametrize("io", ["map", "pread"])
@pytest.mark.parametrize("step", [1, 4])
def test_interrupted_it_opens_and_goes_on_hazard_5(database: Path, step: int, io: str) -> None:
    content = rows(database)
    key_id = ""
    with steps_of(step * 4096):
        for stop in range(1, len(slots(database)) // step):
            interrupt(database, key=KEY, after=1)
            assert rows(database, io=io) == content
            assert lumocrypt.verify(database, key=KEY).ok
            found = lumocrypt.info(database)
            assert found.rekeying
            # Taken up, and not begun again.
            assert key_id in ("", found.key_id)
            key_id = found.key_id
            if stop > 5:
                break
        interrupt(database, key=KEY, after=3)
        done = lumocrypt.rekey(database, key=KEY)
    assert done.resumed
    assert done.key_id == key_id
    assert rows(database) == content
    assert lumocrypt.verify(database, key=KEY).ok


def test_both_keys_take_an_interrupted_change_up_hazard_5(database: Path, tmp_path: Path) -> None:
    content = rows(database)
    with steps_of(8192):
        interrupt(database, key=KEY, new_key=NEW, after=2)
    copy = tmp_path / "copy.db"
    shutil.copyfile(database, copy)
    shutil.copyfile(f"{database}-lumo-rekey", f"{copy}-lumo-rekey")
    assert rows(database, NEW) == content
    lumocrypt.rekey(database, key=KEY, new_key=NEW)
    lumocrypt.rekey(copy, key=NEW)
    for path in (database, copy):
        assert rows(path, NEW) == content
        assert not lumocrypt.info(path).rekeying


@pytest.mark.parametrize("header_key", [RAW, None], ids=["version2", "version1"])
def test_a_torn_block_is_found_beside_the_database_hazard_5(header_key: bytes | None, tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    content = rows(path)
    with steps_of(5 * 4096):
        interrupt(path, key=KEY, after=2)
    bring_back(path, 5, 5, header_key)
    tear(path, 5, 9)
    for io in ("map", "pread"):
        assert rows(path, io=io) == content
    assert lumocrypt.verify(path, key=KEY).ok
    clear = tmp_path / "clear.db"
    lumocrypt.decrypt(path, clear, key=KEY)
    with contextlib.closing(sqlite3.connect(clear)) as connection:
        assert connection.execute("SELECT * FROM t ORDER BY id").fetchall() == content
    converted = tmp_path / "converted.db"
    lumocrypt.convert(path, converted, format="lumocrypt", key=KEY, new_format="lumocrypt", new_key=NEW)
    assert rows(converted, NEW) == content
    lumocrypt.rekey(path, key=KEY)
    assert rows(path) == content
    assert lumocrypt.verify(path, key=KEY).ok


def test_torn_blocks_are_put_back_before_anything_else_hazard_5(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    content = rows(path)
    with steps_of(5 * 4096):
        interrupt(path, key=KEY, after=2)
        bring_back(path, 5, 5, RAW)
        tear(path, 5, 9)
        interrupt(path, key=KEY, after=1)
    Path(f"{path}-lumo-rekey").unlink(missing_ok=True)
    assert rows(path) == content
    lumocrypt.rekey(path, key=KEY)
    assert rows(path) == content


def test_what_a_step_kept_does_not_stand_in_for_damage_hazard_5(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    with steps_of(1 << 20):
        interrupt(path, key=KEY, after=1)
    with contextlib.closing(lumocrypt.connect(path, key=KEY)) as connection:
        connection.execute("UPDATE t SET name = 'changed'")
        connection.commit()
    tear(path, 7)
    with pytest.raises(lumocrypt.TamperedError):
        rows(path)
    with pytest.raises(lumocrypt.TamperedError):
        lumocrypt.rekey(path, key=KEY)


def test_a_header_copy_that_lags_is_completed_hazard_5(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    content, old = rows(path), path.read_bytes()[16384:32768]
    with steps_of(8192):
        interrupt(path, key=KEY, after=1)
    with path.open("r+b") as file:
        file.seek(16384)
        file.write(old)
    with steps_of(8192):
        interrupt(path, key=KEY, after=2)
    with path.open("r+b") as file:
        file.write(bytes(1000))
    assert rows(path) == content


def test_two_changes_at_once(tmp_path: Path) -> None:
    """The walk of one change is not taken for that of another."""
    path = make(tmp_path / "app.db")
    content = rows(path)
    begin = {"command": "rekey_begin", "new_key": False, "drop_other_slots": False}
    step, finish = {"command": "rekey_step", "bytes": 1 << 30}, {"command": "rekey_finish"}
    with Commander(Source.open(path, KEY)) as one, Commander(Source.open(path, KEY)) as other:
        assert one.run(begin, [KEY]) == {"resumed": False, "busy": False}
        assert other.run(begin, [KEY]) == {"resumed": True, "busy": False}
        for commander in (one, other):
            commander.run(step)
        assert one.run(finish)["finished"]
        assert one.run(begin, [KEY]) == {"resumed": False, "busy": False}
        assert other.run(finish)["finished"]
        assert lumocrypt.info(path).rekeying
        answer = other.run(step)
        assert answer["done"] == answer["total"]
        one.run(step)
        assert one.run(finish)["finished"]
    assert rows(path) == content
    assert lumocrypt.verify(path, key=KEY).ok
    assert not lumocrypt.info(path).rekeying


def test_an_interrupted_change_is_not_taken_for_another_one(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    with steps_of(8192):
        interrupt(path, key=KEY, after=2)
    for other in ({"new_key": NEW}, {"cipher": "aes-256-gcm"}):
        with pytest.raises(lumocrypt.CryptError, match="earlier change"):
            lumocrypt.rekey(path, key=KEY, **other)
    lumocrypt.rekey(path, key=KEY)
    lumocrypt.rekey(path, key=KEY, new_key=NEW, cipher="aes-256-gcm")
    assert lumocrypt.info(path).cipher == "aes-256-gcm"


def test_another_key_that_opens_nothing_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    before = path.read_bytes()
    with pytest.raises(lumocrypt.WrongKeyError, match="other keys"):
        lumocrypt.rekey(path, key=KEY, other_keys=[OTHER], drop_other_slots=True)
    assert path.read_bytes() == before


def test_a_pipe_beside_the_database_keeps_nobody_waiting(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    with steps_of(8192):
        interrupt(path, key=KEY, after=2)
    beside = Path(f"{path}-lumo-rekey")
    beside.unlink()
    os.mkfifo(beside)
    tear(path, 7)
    with pytest.raises(lumocrypt.TamperedError):
        rows(path)


def test_a_connection_from_before_makes_copies_and_changes_its_key(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    with contextlib.closing(lumocrypt.connect(path, key=KEY, isolation_level=None)) as connection:
        content = connection.execute("SELECT * FROM t ORDER BY id").fetchall()
        lumocrypt.rekey(path, key=KEY)
        connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
        lumocrypt.rekey(path, key=KEY)
        assert connection.execute("PRAGMA lumo_change_key = 'another one'").fetchone() == ("ok",)
    assert rows(tmp_path / "copy.db") == content
    assert rows(path, lumocrypt.Key("another one")) == content


def test_what_lies_beside_the_database_is_never_newer_hazard_5(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    with steps_of(1 << 20):
        interrupt(path, key=KEY, after=1)
    with contextlib.closing(lumocrypt.connect(path, key=KEY)) as connection:
        connection.execute("UPDATE t SET name = 'changed'")
        connection.commit()
    content = rows(path)
    assert content[0][1] == "changed"
    lumocrypt.rekey(path, key=KEY)
    assert rows(path) == content


def test_a_damaged_block_stops_it(database: Path) -> None:
    content = rows(database)
    bend(database, 20)
    with pytest.raises(lumocrypt.TamperedError) as caught:
        lumocrypt.rekey(database, key=KEY)
    assert (caught.value.block, caught.value.file_kind) == (20, "main")
    bend(database, 20)
    assert lumocrypt.rekey(database, key=KEY).resumed
    assert rows(database) == content


@pytest.mark.parametrize("io", ["map", "pread"])
def test_connections_that_are_open_go_on(database: Path, journal: str, io: str) -> None:
    with contextlib.closing(lumocrypt.connect(database, key=KEY, io=io)) as connection:
        count = connection.execute("SELECT count(*) FROM t").fetchone()[0]

        def use(_done: int, _total: int) -> None:
            nonlocal count
            connection.execute("INSERT INTO t (name, data) VALUES ('more', randomblob(3000))")
            connection.commit()
            count += 1
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (count,)

        with steps_of(16384):
            lumocrypt.rekey(database, key=KEY, progress=use)
        use(0, 0)
        connection.execute("DELETE FROM t WHERE id < 100")
        connection.commit()
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        left = connection.execute("SELECT * FROM t ORDER BY id").fetchall()
    assert count > 510
    assert rows(database) == left
    assert lumocrypt.verify(database, key=KEY).ok


@pytest.mark.parametrize("io", ["map", "pread"])
def test_a_connection_that_slept_opens_the_database_anew(database: Path, io: str) -> None:
    with contextlib.closing(lumocrypt.connect(database, key=KEY, io=io)) as connection:
        content = connection.execute("SELECT * FROM t ORDER BY id").fetchall()
        lumocrypt.rekey(database, key=KEY)
        lumocrypt.rekey(database, key=KEY)
        assert connection.execute("SELECT * FROM t ORDER BY id").fetchall() == content
        connection.execute("UPDATE t SET name = 'late'")
        connection.commit()
    assert rows(database)[0][1] == "late"
    assert lumocrypt.verify(database, key=KEY).ok


@pytest.mark.parametrize("io", ["map", "pread"])
def test_a_connection_that_slept_and_whose_key_is_gone(database: Path, io: str) -> None:
    with contextlib.closing(lumocrypt.connect(database, key=KEY, io=io)) as connection:
        connection.execute("PRAGMA cache_size=5")
        connection.execute("SELECT count(*) FROM t").fetchone()
        lumocrypt.rekey(database, key=KEY, new_key=NEW)
        before = slots(database)
        with pytest.raises(lumocrypt.WrongKeyError):
            connection.execute("UPDATE t SET name = 'never'")
        with pytest.raises(lumocrypt.WrongKeyError):
            connection.execute("SELECT * FROM t ORDER BY id").fetchall()
        connection.rollback()
    assert slots(database) == before
    assert lumocrypt.verify(database, key=NEW).ok


def test_a_reader_keeps_its_snapshot(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db", "wal")
    with contextlib.closing(lumocrypt.connect(path, key=KEY, isolation_level=None)) as reader:
        reader.execute("PRAGMA cache_size=5")
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (500,)
        with contextlib.closing(lumocrypt.connect(path, key=KEY)) as writer:
            writer.execute("DELETE FROM t WHERE id > 10")
            writer.commit()
        with pytest.raises(lumocrypt.InUseError, match="write-ahead log"):
            lumocrypt.rekey(path, key=KEY, wait=0.2)
        assert len(reader.execute("SELECT * FROM t").fetchall()) == 500
        reader.execute("COMMIT")
        assert lumocrypt.rekey(path, key=KEY).resumed
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (10,)
    assert len(rows(path)) == 10
    assert lumocrypt.verify(path, key=KEY).ok


def test_a_crash_with_a_hot_journal_of_either_key(tmp_path: Path) -> None:
    """What a writer leaves that is killed during the change is rolled back, whichever key it wrote with."""
    path = make(tmp_path / "app.db")
    content = rows(path)
    with steps_of(5 * 4096):
        interrupt(path, key=KEY, after=2)
    copy = tmp_path / "copy.db"
    with contextlib.closing(lumocrypt.connect(path, key=KEY)) as connection:
        connection.execute("PRAGMA cache_size=2")
        connection.execute("UPDATE t SET data = randomblob(200)")
        for suffix in ("", "-journal", "-lumo-rekey"):
            shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
        connection.rollback()
    assert Path(f"{copy}-journal").stat().st_size > 10_000
    assert rows(copy) == content
    lumocrypt.rekey(copy, key=KEY)
    assert rows(copy) == content


def test_a_log_with_frames_under_the_old_key(tmp_path: Path) -> None:
    """A process dies before the change, and leaves a log that nobody has checkpointed."""
    path = make(tmp_path / "app.db", "wal")
    copy = tmp_path / "copy.db"
    with contextlib.closing(lumocrypt.connect(path, key=KEY)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
        connection.execute("UPDATE t SET name = 'in the log'")
        connection.commit()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
    lumocrypt.rekey(copy, key=KEY)
    assert {row[1] for row in rows(copy)} == {"in the log"}
    assert lumocrypt.verify(copy, key=KEY).ok


def test_a_database_of_another_block_size(tmp_path: Path) -> None:
    for page in (512, 65536):
        path = tmp_path / f"{page}.db"
        with contextlib.closing(lumocrypt.connect(path, key=KEY)) as connection:
            connection.execute(f"PRAGMA page_size={page}")
            fill(connection)
        content = rows(path)
        with steps_of(page * 3):
            interrupt(path, key=KEY, after=2)
            assert rows(path) == content
            lumocrypt.rekey(path, key=KEY)
        assert rows(path) == content


def test_a_main_file_cut_to_nothing_during_the_change(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    with steps_of(8192):
        interrupt(path, key=KEY, after=2)
    path.write_bytes(b"")
    with (
        contextlib.closing(lumocrypt.connect(path, key=KEY)) as connection,
        pytest.raises(lumocrypt.TamperedError),
    ):
        connection.execute("CREATE TABLE t (a)")


def test_in_place_decryption_waits_for_the_end(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    with steps_of(8192):
        interrupt(path, key=KEY, after=2)
    with pytest.raises(lumocrypt.InUseError, match="rekey"):
        lumocrypt.decrypt(path, key=KEY)
    lumocrypt.rekey(path, key=KEY)
    lumocrypt.decrypt(path, key=KEY)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM t WHERE id = 1").fetchone() == (f"{MARKER} 0",)


def test_a_copy_made_during_the_change_is_under_the_new_key(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    content = rows(path)
    with steps_of(8192):
        interrupt(path, key=KEY, after=2)
    copy = tmp_path / "copy.db"
    with contextlib.closing(lumocrypt.connect(path, key=KEY, isolation_level=None)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    assert rows(copy) == content
    found = lumocrypt.info(copy)
    assert (found.rekeying, found.key_id) == (False, lumocrypt.info(path).key_id)


def test_a_header_copied_during_the_change_does_not_begin_it_again(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    content = rows(path)
    before, during = tmp_path / "before", tmp_path / "during"
    lumocrypt.backup_header(path, before)
    with steps_of(8192):
        interrupt(path, key=KEY, after=2)
        with pytest.raises(ValueError, match="another database"):
            lumocrypt.restore_header(path, before, key=KEY)
        lumocrypt.backup_header(path, during)
        interrupt(path, key=KEY, after=5)
    lumocrypt.restore_header(path, during, key=KEY)
    assert lumocrypt.info(path).rekeying
    assert rows(path) == content
    lumocrypt.rekey(path, key=KEY)
    lumocrypt.restore_header(path, during, key=KEY)
    assert not lumocrypt.info(path).rekeying
    assert rows(path) == content
    with pytest.raises(ValueError, match="another database"):
        lumocrypt.restore_header(path, before, key=KEY)
    assert rows(path) == content


def test_a_header_lost_during_the_change_comes_back(tmp_path: Path) -> None:
    path, copy = make(tmp_path / "app.db"), tmp_path / "header"
    content = rows(path)
    with steps_of(8192):
        interrupt(path, key=KEY, after=2)
    lumocrypt.backup_header(path, copy)
    with path.open("r+b") as file:
        file.write(bytes(32768))
    lumocrypt.restore_header(path, copy, key=KEY)
    assert rows(path) == content
    assert lumocrypt.rekey(path, key=KEY).resumed
    assert rows(path) == content


@pytest.mark.parametrize("io", ["map", "pread"])
def test_a_writer_that_had_read_before_the_change_writes_with_the_new_key(tmp_path: Path, io: str) -> None:
    """SQLite sees no reason to read anything again between its two locks."""
    path = make(tmp_path / "app.db")
    with contextlib.closing(lumocrypt.connect(path, key=KEY, io=io, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM t").fetchall()
        lumocrypt.rekey(path, key=KEY)
        # Of the same length, and in no index: nothing else is read.
        connection.execute("UPDATE t SET data = zeroblob(200)")
        connection.execute("COMMIT")
    assert lumocrypt.verify(path, key=KEY).ok
    assert {row[2] for row in rows(path)} == {bytes(200)}


@pytest.mark.parametrize("cipher", ["adiantum", "aes-256-xts"])
def test_ciphers_without_tags_are_changed_by_convert(tmp_path: Path, cipher: str) -> None:
    path = make(tmp_path / "app.db")
    content, key_id = rows(path), lumocrypt.info(path).key_id
    with pytest.raises(lumocrypt.CryptError, match=f"lumocrypt convert .* --new-cipher {cipher}"):
        lumocrypt.rekey(path, key=KEY, cipher=cipher)
    for new in (cipher, cipher, "aegis-256x2"):
        lumocrypt.convert(
            path, format="lumocrypt", key=KEY, new_format="lumocrypt", new_key=KEY, new_cipher=new
        )
        found = lumocrypt.info(path)
        assert (found.cipher, found.key_id != key_id) == (new, True)
        key_id = found.key_id
    assert rows(path) == content

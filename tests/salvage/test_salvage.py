"""``salvage``: what was not damaged comes out, and nothing comes out that was not in."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from lumocrypt.cli import main
from support.bytes_on_disk import flip
from support.damage import build, content, damage, freelist, page_kinds
from support.known_keys import FAST, RAW
from support.rescue import Content, rescue, table

PAGE = 1024
INTERNAL = ("sqlite_sequence", "sqlite_stat1")


@pytest.fixture(scope="module", params=[0, 1], ids=["no_vacuum", "auto_vacuum"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("original") / "plain.db", page_size=PAGE, auto_vacuum=request.param)


@pytest.fixture(scope="module")
def expected(original: Path) -> Content:
    with contextlib.closing(sqlite3.connect(original)) as connection:
        return content(connection)


@pytest.fixture
def damaged(original: Path, tmp_path: Path, key: lumocrypt.Key) -> Path:
    path = tmp_path / "damaged.db"
    lumocrypt.encrypt(original, path, key=key, block_size=PAGE)
    return path


def only_subsets(found: Content, expected: Content) -> None:
    """No table has a row that the original has not."""
    for name in found.keys() - {"(schema)", "lost_and_found", *INTERNAL}:
        assert not found[name] - expected[name], name


def pages(original: Path, owner: str, kind: str) -> list[int]:
    return [page for page, place in page_kinds(original).items() if place == (owner, kind)]


# Nothing lost


def test_an_undamaged_database_comes_out_whole(damaged: Path, expected: Content, key: lumocrypt.Key) -> None:
    result, found = rescue(damaged, key)
    assert result.ok
    assert found == expected
    assert (result.lost_and_found, result.rebuilt, result.not_created, result.warnings) == (None, [], [], [])
    assert {one.rows_lost for one in result.tables} == {0}


def test_settings_of_the_database_are_kept(original: Path, damaged: Path, key: lumocrypt.Key) -> None:
    rescue(damaged, key)
    names = ("user_version", "application_id", "page_size", "auto_vacuum", "encoding", "journal_mode")
    with (
        contextlib.closing(sqlite3.connect(original)) as old,
        contextlib.closing(lumocrypt.connect(damaged.with_name("rescued.db"), key=key)) as new,
    ):
        for name in names:
            assert new.execute(f"PRAGMA {name}").fetchall() == old.execute(f"PRAGMA {name}").fetchall()


@pytest.mark.parametrize("name", ["sqlite_autoindex_people_1", "people_height", "log_line"])
@pytest.mark.parametrize("kind", ["leaf", "interior"])
def test_a_damaged_index_is_made_anew(
    name: str, kind: str, original: Path, damaged: Path, expected: Content, key: lumocrypt.Key
) -> None:
    damage(damaged, pages(original, name, kind)[0], page_size=PAGE)
    result, found = rescue(damaged, key)
    assert result.ok
    assert result.rebuilt == [name]
    assert found == expected


@pytest.mark.parametrize("name", ["people", "log", "doomed", "big", "counted"])
def test_leaves_below_a_lost_interior_page_are_found(
    name: str, original: Path, damaged: Path, expected: Content, key: lumocrypt.Key
) -> None:
    for page in pages(original, name, "interior"):
        damage(damaged, page, page_size=PAGE)
    result, found = rescue(damaged, key)
    assert found == expected, "deleted rows came back, or rows are missing"
    assert result.ok
    assert table(result, name).pages_lost > 0


def test_the_freelist_holds_nothing(
    original: Path, damaged: Path, expected: Content, key: lumocrypt.Key
) -> None:
    trunks = freelist(original)
    if not trunks:
        pytest.skip("auto_vacuum leaves no free pages")
    damage(damaged, trunks[0], page_size=PAGE)
    result, found = rescue(damaged, key)
    assert result.ok
    assert found == expected


def test_the_pointer_map_is_made_anew(
    original: Path, damaged: Path, expected: Content, key: lumocrypt.Key
) -> None:
    if freelist(original):
        pytest.skip("there is none")
    damage(damaged, 2, page_size=PAGE)
    result, found = rescue(damaged, key)
    assert result.ok
    assert found == expected


@pytest.mark.parametrize(("start", "auto_vacuum"), [(1, 0), (1, 1), (90_000, 0)])
def test_tables_of_the_same_shape_are_never_mixed(
    start: int, auto_vacuum: int, tmp_path: Path, key: lumocrypt.Key
) -> None:
    """Both lose an interior page. Rowids tell the leaves below apart, or the pointer map."""
    plain, path = tmp_path / "plain.db", tmp_path / "damaged.db"
    with contextlib.closing(sqlite3.connect(plain, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size=512")
        connection.execute(f"PRAGMA auto_vacuum={auto_vacuum}")
        connection.execute("BEGIN")
        for name, first in (("a", 1), ("b", start)):
            connection.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, x TEXT)")
            rows = ((i, f"{name}{i}" * 20) for i in range(first, first + 1000))
            connection.executemany(f"INSERT INTO {name} VALUES (?, ?)", rows)
        connection.execute("COMMIT")
        expected = content(connection)
    lumocrypt.encrypt(plain, path, key=key, block_size=512)
    for name in ("a", "b"):
        # Not the root: its children have limits.
        interiors = pages(plain, name, "interior")
        assert len(interiors) > 3
        damage(path, sorted(interiors)[2], page_size=512)
    plain.unlink()
    result, found = rescue(path, key)
    only_subsets(found, expected)
    if auto_vacuum or start > 1:
        assert result.ok
        assert found == expected
    else:
        assert not result.ok
        lost = (expected["a"] - found["a"]).total() + (expected["b"] - found["b"]).total()
        assert result.lost_and_found_rows == lost > 0


@pytest.mark.parametrize("copy", [0, 0x4000])
def test_one_copy_of_the_header_is_enough(
    copy: int, damaged: Path, expected: Content, key: lumocrypt.Key
) -> None:
    flip(damaged, copy + 100)
    result, found = rescue(damaged, key)
    assert result.ok
    assert found == expected


# Something lost


@pytest.mark.parametrize("name", ["people", "log", "words", "doomed", "big"])
def test_a_lost_leaf_costs_its_rows_and_no_others(
    name: str, original: Path, damaged: Path, expected: Content, key: lumocrypt.Key
) -> None:
    lost = pages(original, name, "leaf")
    damage(damaged, lost[len(lost) // 2], page_size=PAGE)
    result, found = rescue(damaged, key)
    assert not result.ok
    report = table(result, name)
    assert report.pages_lost == 1
    assert report.rows_lost
    missing = (expected[name] - found[name]).total()
    assert 0 < missing <= report.rows_lost * 4
    for other in expected.keys() - {name, *INTERNAL}:
        assert found[other] == expected[other]
    only_subsets(found, expected)


def test_a_row_with_a_lost_overflow_page_is_kept_as_far_as_it_goes(
    original: Path, damaged: Path, expected: Content, key: lumocrypt.Key
) -> None:
    damage(damaged, pages(original, "big", "overflow")[40], page_size=PAGE)
    result, found = rescue(damaged, key)
    assert not result.ok
    assert (table(result, "big").rows_lost, table(result, "big").pages_lost) == (1, 1)
    assert (expected["big"] - found["big"]).total() == 1
    only_subsets(found, expected)
    with contextlib.closing(lumocrypt.connect(damaged.with_name("rescued.db"), key=key)) as connection:
        rows = connection.execute("SELECT source, state, id, c0 FROM lost_and_found").fetchall()
    assert [(source, state, c0) for source, state, _, c0 in rows] == [("big", "incomplete", None)]
    assert rows[0][2] in range(20)


def test_a_table_without_rowid_loses_the_rows_on_its_interior_page(
    original: Path, damaged: Path, expected: Content, key: lumocrypt.Key
) -> None:
    kinds = pages(original, "words", "interior")
    damage(damaged, kinds[-1], page_size=PAGE)
    result, found = rescue(damaged, key)
    assert not result.ok
    missing = (expected["words"] - found["words"]).total()
    assert 0 < missing < 200
    assert table(result, "words").rows_lost
    only_subsets(found, expected)
    for other in expected.keys() - {"words", *INTERNAL}:
        assert found[other] == expected[other]


def test_without_a_readable_first_page_the_schema_below_it_is_found(
    damaged: Path, expected: Content, key: lumocrypt.Key
) -> None:
    damage(damaged, 1, page_size=PAGE)
    result, found = rescue(damaged, key)
    assert not result.ok
    assert any("schema" in text for text in result.warnings)
    for name in expected.keys() - {*INTERNAL}:
        assert found[name] == expected[name]


def test_tables_whose_definition_is_lost_are_kept(
    original: Path, damaged: Path, expected: Content, key: lumocrypt.Key
) -> None:
    for page in pages(original, "sqlite_schema", "leaf"):
        damage(damaged, page, page_size=PAGE)
    result, found = rescue(damaged, key)
    assert not result.ok
    assert result.tables == []
    assert result.lost_and_found == "lost_and_found"
    with contextlib.closing(lumocrypt.connect(damaged.with_name("rescued.db"), key=key)) as connection:
        names = {
            row[0] for row in connection.execute("SELECT c1 FROM lost_and_found WHERE c1 LIKE 'person%'")
        }
    assert len(names) == 1500
    assert found.keys() == {"lost_and_found", "(schema)"}


def test_deleted_rows_do_not_come_back(
    original: Path, damaged: Path, expected: Content, key: lumocrypt.Key
) -> None:
    trunks = freelist(original)
    if not trunks:
        pytest.skip("auto_vacuum leaves no free pages")
    # Without the freelist a leaf that nothing refers to may be a free page, with rows of another time.
    for page in (*trunks, *pages(original, "doomed", "interior")):
        damage(damaged, page, page_size=PAGE)
    result, found = rescue(damaged, key)
    assert not result.ok
    only_subsets(found, expected)
    assert not found["doomed"]
    with contextlib.closing(lumocrypt.connect(damaged.with_name("rescued.db"), key=key)) as connection:
        states = {row[0] for row in connection.execute("SELECT state FROM lost_and_found")}
        kept = {
            row[0] for row in connection.execute("SELECT id FROM lost_and_found WHERE c1 LIKE 'deleted%'")
        }
    assert states == {"perhaps deleted"}
    assert kept >= {i for i in range(400) if i % 20 >= 18}


def test_a_file_cut_short_gives_what_is_left(damaged: Path, expected: Content, key: lumocrypt.Key) -> None:
    os.truncate(damaged, 65536 + (damaged.stat().st_size - 65536) * 2 // 3)
    result, found = rescue(damaged, key)
    assert not result.ok
    only_subsets(found, expected)
    # The definition of a table may be in what was cut off.
    kept = [row for rows in (found.get("people", {}), found.get("lost_and_found", {})) for row in rows]
    assert sum("person" in row for row in kept) > 500


def test_any_random_damage(original: Path, damaged: Path, expected: Content, key: lumocrypt.Key) -> None:
    whole = damaged.read_bytes()
    slots = (len(whole) - 65536) // (PAGE + 40)
    for seed in range(15):
        generator = random.Random(seed)
        damaged.write_bytes(whole)
        for _ in range(generator.randrange(1, 12)):
            damage(damaged, generator.randrange(slots) + 1, page_size=PAGE)
        result, found = rescue(damaged, key)
        only_subsets(found, expected)
        by_name = {one.name: one for one in result.tables}
        for name in expected.keys() - {"(schema)", *INTERNAL}:
            if name in by_name and by_name[name].rows_lost == 0 and not result.unknown_pages:
                assert found[name] == expected[name], (seed, name)
        if result.ok:
            assert found == expected, seed


# Other shapes


@pytest.mark.parametrize(("page_size", "block_size"), [(512, 4096), (4096, 1024), (65536, 65536)])
def test_blocks_that_are_no_pages(
    page_size: int, block_size: int, tmp_path: Path, key: lumocrypt.Key
) -> None:
    original = build(tmp_path / "plain.db", page_size=page_size)
    with contextlib.closing(sqlite3.connect(original)) as connection:
        expected = content(connection)
    path = tmp_path / "damaged.db"
    lumocrypt.encrypt(original, path, key=key, block_size=block_size)
    damage(path, pages(original, "people", "leaf")[1], page_size=page_size)
    original.unlink()
    result, found = rescue(path, key)
    assert not result.ok
    only_subsets(found, expected)
    assert found["people"]


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_other_encodings(encoding: str, tmp_path: Path, key: lumocrypt.Key) -> None:
    original = build(tmp_path / "plain.db", encoding=encoding)
    with contextlib.closing(sqlite3.connect(original)) as connection:
        expected = content(connection)
    lumocrypt.encrypt(original, tmp_path / "damaged.db", key=key, block_size=PAGE)
    damage(tmp_path / "damaged.db", pages(original, "people", "interior")[0], page_size=PAGE)
    original.unlink()
    result, found = rescue(tmp_path / "damaged.db", key)
    assert result.ok
    assert found == expected


def test_virtual_tables_keep_their_content(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = tmp_path / "damaged.db"
    with contextlib.closing(lumocrypt.connect(path, key=key, isolation_level=None)) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE texts USING fts5(body)")
        except sqlite3.OperationalError:
            pytest.skip("this SQLite has no FTS5")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO texts VALUES (?)", ((f"word{i} common",) for i in range(300)))
        connection.execute("COMMIT")
        expected = content(connection)
    result, found = rescue(path, key)
    assert result.ok
    assert found == expected
    with contextlib.closing(lumocrypt.connect(path.with_name("rescued.db"), key=key)) as connection:
        hits = connection.execute("SELECT rowid FROM texts WHERE texts MATCH 'word42'").fetchall()
    assert hits == [(43,)]


def test_a_collation_of_the_application(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = tmp_path / "damaged.db"
    with contextlib.closing(lumocrypt.connect(path, key=key)) as connection:
        connection.create_collation("backwards", lambda one, other: (one < other) - (one > other))
        connection.execute("CREATE TABLE t (x TEXT UNIQUE COLLATE backwards)")
        connection.executemany("INSERT INTO t VALUES (?)", ((f"{i}",) for i in range(50)))
        connection.commit()
    target = tmp_path / "rescued.db"
    result = lumocrypt.salvage(path, target, key=key)
    assert any("REINDEX backwards" in text for text in result.warnings)
    assert table(result, "t").rows == 50


def test_the_checksum_suite(tmp_path: Path) -> None:
    original = build(tmp_path / "plain.db")
    lumocrypt.encrypt(original, tmp_path / "damaged.db", key=None, cipher="checksum", block_size=PAGE)
    damage(tmp_path / "damaged.db", pages(original, "people", "leaf")[5], page_size=PAGE)
    original.unlink()
    result, found = rescue(tmp_path / "damaged.db", None)
    assert result.cipher == "checksum"
    assert found["people"].total() > 1400


def test_the_result_has_the_same_keys(tmp_path: Path) -> None:
    path, target = tmp_path / "app.db", tmp_path / "rescued.db"
    with contextlib.closing(lumocrypt.connect(path, key="a passphrase", kdf=FAST)) as connection:
        connection.execute("CREATE TABLE t (x)")
    lumocrypt.salvage(path, target, key="a passphrase")
    old, new = lumocrypt.info(path), lumocrypt.info(target)
    assert old.keyslots == new.keyslots
    assert old.key_id == new.key_id
    assert old.uuid != new.uuid
    lumocrypt.connect(target, key="a passphrase").close()


def test_in_clear_if_asked_for(damaged: Path, expected: Content, key: lumocrypt.Key, tmp_path: Path) -> None:
    result = lumocrypt.salvage(damaged, tmp_path / "clear.db", key=key, plain=True)
    assert result.cipher == ""
    with contextlib.closing(sqlite3.connect(tmp_path / "clear.db")) as connection:
        assert content(connection) == expected
    assert sorted(name.name for name in tmp_path.iterdir()) == ["clear.db", "damaged.db"]


# Refusals


def test_a_header_without_a_usable_copy(damaged: Path, key: lumocrypt.Key, tmp_path: Path) -> None:
    for copy in (0, 0x4000):
        flip(damaged, copy + 100)
    with pytest.raises(lumocrypt.HeaderDamagedError, match=r"header.*backup"):
        lumocrypt.salvage(damaged, tmp_path / "new.db", key=key)
    assert not (tmp_path / "new.db").exists()


def test_a_wrong_key_is_told_from_damage(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.salvage(damaged, tmp_path / "new.db", key=lumocrypt.Key.raw(bytes(32)))
    assert [name.name for name in tmp_path.iterdir()] == ["damaged.db"]


def test_a_destination_is_never_replaced(damaged: Path, key: lumocrypt.Key, tmp_path: Path) -> None:
    (tmp_path / "new.db").write_text("mine")
    with pytest.raises(FileExistsError):
        lumocrypt.salvage(damaged, tmp_path / "new.db", key=key)
    assert (tmp_path / "new.db").read_text() == "mine"


def test_a_source_that_is_written_to(damaged: Path, key: lumocrypt.Key, tmp_path: Path) -> None:
    def meddle(_done: int, _total: int) -> None:
        os.utime(damaged, ns=(1, 1))

    with pytest.raises(lumocrypt.InUseError):
        lumocrypt.salvage(damaged, tmp_path / "new.db", key=key, progress=meddle)
    assert [name.name for name in tmp_path.iterdir()] == ["damaged.db"]


def test_an_exception_of_the_progress_function_stops_it(
    damaged: Path, key: lumocrypt.Key, tmp_path: Path
) -> None:
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lumocrypt.salvage(damaged, tmp_path / "new.db", key=key, progress=stop)
    assert [name.name for name in tmp_path.iterdir()] == ["damaged.db"]


def test_progress_reaches_its_end(damaged: Path, key: lumocrypt.Key, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    lumocrypt.salvage(damaged, tmp_path / "new.db", key=key, progress=lambda *one: seen.append(one))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 0


# The command line


def _run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    code = main(arguments)
    return code, json.loads(capsys.readouterr().out)


def test_exit_codes(
    original: Path, damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"x'{RAW.hex()}'")
    source = ["--json", "--key-file", str(key_file)]
    code, report = _run(["salvage", str(damaged), str(tmp_path / "one.db"), *source], capsys)
    assert (code, report["ok"]) == (0, True)
    damage(damaged, pages(original, "people", "leaf")[3], page_size=PAGE)
    code, report = _run(["salvage", str(damaged), str(tmp_path / "two.db"), *source], capsys)
    assert (code, report["ok"]) == (4, False)
    assert next(one for one in report["tables"] if one["name"] == "people")["pages_lost"] == 1
    assert main(["salvage", str(damaged), str(tmp_path / "three.db"), "--key-file", str(key_file)]) == 4
    output = capsys.readouterr().out
    assert "table people: 1,4" in output
    assert "something was LOST" in output
    key_file.write_text("wrong")
    assert main(["salvage", str(damaged), str(tmp_path / "four.db"), "--key-file", str(key_file)]) == 3


# A real database


#: How many random damages are tried on the whole of proj.db.
WHOLE = int(os.environ.get("LUMO_TEST_SALVAGES", "1"))


@pytest.fixture(scope="module")
def proj(tmp_path_factory: pytest.TempPathFactory) -> Path:
    datadir = pytest.importorskip("pyproj.datadir")
    return Path(datadir.get_data_dir()) / "proj.db"


@pytest.fixture(scope="module")
def reduced(proj: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same schema with a tenth of the rows, so that there is time for many damages."""
    path = tmp_path_factory.mktemp("proj") / "reduced.db"
    shutil.copyfile(proj, path)
    path.chmod(0o600)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f'DROP TRIGGER "{name}"')
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in tables:
            with contextlib.suppress(sqlite3.OperationalError):  # a table without codes
                connection.execute(f"DELETE FROM \"{name}\" WHERE code NOT LIKE '%0'")
                connection.execute(f"DELETE FROM \"{name}\" WHERE length(code) > 4 AND code NOT LIKE '%00'")
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute("VACUUM")
    return path


def _random_damages(original: Path, folder: Path, key: lumocrypt.Key, seeds: range) -> None:
    with contextlib.closing(sqlite3.connect(original)) as connection:
        expected = content(connection)
    whole = folder / "whole.db"
    lumocrypt.encrypt(original, whole, key=key)
    slots = lumocrypt.info(whole).blocks
    (folder / "work").mkdir()
    path = folder / "work" / "damaged.db"
    for seed in seeds:
        shutil.copyfile(whole, path)
        damage(path, random.Random(seed).randrange(slots) + 1, page_size=4096)
        result, found = rescue(path, key)
        only_subsets(found, expected)
        whole_tables = {one.name for one in result.tables if one.rows_lost == 0}
        assert len(whole_tables) >= len(result.tables) - 1, seed
        for name in whole_tables - set(INTERNAL):
            assert found[name] == expected[name], (seed, name)


@pytest.mark.parametrize("first", [0, 25])
def test_fifty_random_damages_of_a_real_database(
    first: int, reduced: Path, tmp_path: Path, key: lumocrypt.Key
) -> None:
    _random_damages(reduced, tmp_path, key, range(first, first + 25))


def test_random_damages_of_a_large_real_database(proj: Path, tmp_path: Path, key: lumocrypt.Key) -> None:
    _random_damages(proj, tmp_path, key, range(1000, 1000 + WHOLE))

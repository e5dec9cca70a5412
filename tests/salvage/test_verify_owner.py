"""``verify`` names what the damaged blocks belonged to."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

import lumocrypt
from lumocrypt.cli import main
from lumocrypt.pages import damage as damage_module
from samples import copy_database
from support.bytes_on_disk import flip
from support.damage import build, damage, freelist, page_kinds
from support.known_keys import RAW

PAGE = 1024


@pytest.fixture(scope="module", params=[0, 1], ids=["no_vacuum", "auto_vacuum"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("original") / "plain.db", page_size=PAGE, auto_vacuum=request.param)


@pytest.fixture
def encrypted(original: Path, tmp_path: Path, key: lumocrypt.Key) -> Path:
    path = tmp_path / "app.db"
    lumocrypt.encrypt(original, path, key=key, block_size=PAGE)
    return path


def places(original: Path) -> dict[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    for page, place in page_kinds(original).items():
        found.setdefault(place, []).append(page)
    return found


def type_of(name: str) -> str:
    if name == "sqlite_schema":
        return "schema"
    return "index" if name in ("sqlite_autoindex_people_1", "people_height", "log_line") else "table"


def found_in(path: Path, key: lumocrypt.Key) -> list[lumocrypt.DamagedPage]:
    result = lumocrypt.verify(path, key=key)
    assert not result.ok
    assert result.warnings == []
    return [entry for entry in result.damaged if entry.number is not None]


def test_every_kind_of_page_of_every_tree(original: Path, encrypted: Path, key: lumocrypt.Key) -> None:
    whole = encrypted.read_bytes()
    for (name, part), pages in places(original).items():
        for page in {pages[0], pages[-1]}:
            encrypted.write_bytes(whole)
            damage(encrypted, page, page_size=PAGE)
            (entry,) = found_in(encrypted, key)
            assert (entry.file_kind, entry.block, entry.sqlite_pages) == ("main", page - 1, (page,))
            assert (entry.owner, entry.owner_type) == (name, type_of(name))
            assert entry.owner_certain
            # Of a root nothing tells whether it had children.
            assert entry.owner_part in (part, None)


def test_all_damages_at_once_are_told_apart(original: Path, encrypted: Path, key: lumocrypt.Key) -> None:
    expected = {
        pages[len(pages) // 2]: name for (name, part), pages in places(original).items() if part == "leaf"
    }
    # Where the schema is damaged nothing can be said of the tables in it.
    expected = {page: name for page, name in expected.items() if name != "sqlite_schema"}
    for page in expected:
        damage(encrypted, page, page_size=PAGE)
    found = {entry.sqlite_pages[0]: entry.owner for entry in found_in(encrypted, key)}
    assert found == expected


def test_free_pages_and_pointer_maps(original: Path, encrypted: Path, key: lumocrypt.Key) -> None:
    trunks = freelist(original)
    page, expected = (trunks[0], "freelist") if trunks else (2, "pointer map")
    damage(encrypted, page, page_size=PAGE)
    (entry,) = found_in(encrypted, key)
    assert (entry.owner, entry.owner_type, entry.owner_certain) == (None, expected, True)


def test_below_an_unreadable_page_the_owner_is_only_likely(
    original: Path, encrypted: Path, key: lumocrypt.Key
) -> None:
    where = places(original)
    root, leaf = where["people", "interior"][0], where["people", "leaf"][20]
    damage(encrypted, root, page_size=PAGE)
    damage(encrypted, leaf, page_size=PAGE)
    entries = {entry.sqlite_pages[0]: entry for entry in found_in(encrypted, key)}
    assert (entries[root].owner, entries[root].owner_certain) == ("people", True)
    assert entries[leaf].owner == "people"
    # A pointer map names the page above.
    assert entries[leaf].owner_certain == (not freelist(original))
    other = where["words", "interior"][0]
    damage(encrypted, other, page_size=PAGE)
    entries = {entry.sqlite_pages[0]: entry for entry in found_in(encrypted, key)}
    assert entries[leaf].owner_type == ("unknown" if freelist(original) else "table")


@pytest.mark.parametrize(("page_size", "block_size"), [(512, 4096), (4096, 512)])
def test_blocks_that_are_no_pages(
    page_size: int, block_size: int, tmp_path: Path, key: lumocrypt.Key
) -> None:
    original = build(tmp_path / "plain.db", page_size=page_size)
    path = tmp_path / "app.db"
    lumocrypt.encrypt(original, path, key=key, block_size=block_size)
    kinds = page_kinds(original)
    page = places(original)["people", "leaf"][9]
    damage(path, page, page_size=page_size)
    entries = found_in(path, key)
    assert len(entries) == max(1, page_size // block_size)
    for entry in entries:
        assert page in entry.sqlite_pages
        assert len(entry.sqlite_pages) == max(1, block_size // page_size)
        names = {kinds[number][0] for number in entry.sqlite_pages if number in kinds}
        assert set((entry.owner or "").split(", ")) == names


def test_pages_in_the_log(tmp_path: Path, key: lumocrypt.Key) -> None:
    """Tables that only the WAL knows of, and blocks that it replaces."""
    live = tmp_path / "live" / "app.db"
    live.parent.mkdir()
    with contextlib.closing(lumocrypt.connect(live, key=key, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", ((i, "x" * 500) for i in range(100)))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("UPDATE t SET x = 'changed' WHERE id = 50")
        connection.execute("ALTER TABLE t RENAME TO renamed")
        path = copy_database(live, tmp_path / "copy")
    damage(path, 5, page_size=4096)
    (entry,) = found_in(path, key)
    assert (entry.owner, entry.owner_part) == ("renamed", "leaf")
    # Page 1 is in the log, too: what is under it does not matter.
    damage(path, 1, page_size=4096)
    result = lumocrypt.verify(path, key=key)
    assert [entry.block for entry in result.damaged] == [4]
    assert result.damaged_total == 1
    assert "block 0" in result.warnings[0]


def test_a_walk_that_fails_does_not_keep_verify_from_reporting(
    encrypted: Path, key: lumocrypt.Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(damage_module, "PageMap", fail)
    damage(encrypted, 7, page_size=PAGE)
    result = lumocrypt.verify(encrypted, key=key)
    assert (result.ok, result.damaged_total) == (False, 1)
    assert result.damaged[0].owner is None
    assert "too deep" in result.warnings[0]


def test_without_damage_nothing_is_walked(
    encrypted: Path, key: lumocrypt.Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(damage_module, "Image", fail)
    assert lumocrypt.verify(encrypted, key=key).ok
    # A copy of the header belongs to no table.
    flip(encrypted, 100)
    assert lumocrypt.verify(encrypted, key=key).damaged[0].owner_type is None


def test_a_lost_first_page_hides_everything_but_itself(
    original: Path, encrypted: Path, key: lumocrypt.Key
) -> None:
    leaf = places(original)["people", "leaf"][5]
    damage(encrypted, 1, page_size=PAGE)
    damage(encrypted, leaf, page_size=PAGE)
    entries = found_in(encrypted, key)
    assert [entry.owner_type for entry in entries] == ["schema", "unknown"]
    assert not entries[1].owner_certain


def test_a_real_database(tmp_path: Path, key: lumocrypt.Key) -> None:
    datadir = pytest.importorskip("pyproj.datadir")
    proj = Path(datadir.get_data_dir()) / "proj.db"
    path = tmp_path / "proj.db"
    lumocrypt.encrypt(proj, path, key=key)
    kinds = page_kinds(proj)
    chosen = [page for page in sorted(kinds)[40::23] if kinds[page][0] != "sqlite_schema"]
    interiors = {page for page in chosen if kinds[page][1] == "interior"}
    chosen = [page for page in chosen if page not in interiors]
    for page in chosen:
        damage(path, page, page_size=4096)
    result = lumocrypt.verify(path, key=key)
    found = {entry.sqlite_pages[0]: (entry.owner, entry.owner_part) for entry in result.damaged}
    assert found == {page: kinds[page] for page in chosen}


def test_the_command_line_names_owners(
    original: Path, encrypted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"x'{RAW.hex()}'")
    damage(encrypted, places(original)["people", "leaf"][3], page_size=PAGE)
    if freelist(original):
        damage(encrypted, freelist(original)[0], page_size=PAGE)
    assert main(["verify", str(encrypted), "--key-file", str(key_file)]) == 4
    output = capsys.readouterr().out
    assert "does not authenticate (leaf page of table people)" in output
    assert ("(freelist)" in output) == bool(freelist(original))
    assert main(["verify", str(encrypted), "--json", "--key-file", str(key_file)]) == 4
    report = json.loads(capsys.readouterr().out)
    assert "people" in [entry["owner"] for entry in report["damaged"]]


def test_dbstat_is_there() -> None:
    """The tests of this file compare with it."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("SELECT * FROM dbstat").fetchall()

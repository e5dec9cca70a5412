"""``salvage``: copies out of a damaged database everything that still authenticates.

The source is only read, page by page, without SQLite (:mod:`lumocrypt.pages.image`). Trees are read from
their roots; what is below a lost page is found by looking for it (:mod:`lumocrypt.salvaging.orphans`), and
given to a table only if it can be of no other. So no row gets into a table that was not in it.
What cannot be placed goes into a table of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..database.verify import database_state
from ..engine import native
from ..engine.native import Progress
from ..engine.registration import stdlib_host
from ..errors import HeaderDamagedError, InUseError, make, quoting_files
from ..files.folder import Original, moved
from ..files.newfile import NewFile
from ..files.paths import StrPath, absolute, refuse_existing
from ..keys.identity import UuidLike
from ..keys.kdf import KdfLimit
from ..keys.key import NO_KEY, Key, KeyLike, hiding
from ..keys.source import Source
from ..opening.connection import connect
from ..pages.image import Image
from ..pages.pagemap import PageMap, Tree
from ..pages.rows import OverflowPages, Row, SchemaRow
from . import orphans
from .rebuild import Rebuild
from .shape import Shape

# Kept by SQLite itself: they exist once the tables do, or after ANALYZE.
_INTERNAL = "sqlite_"
# Stands for the first byte of a page that cannot be read; no page of a b-tree begins with it.
_UNREADABLE = 0xFF
# Pages between two calls of a progress function.
_STEP = 256
# Where a header has the database's UUID (docs/reference/format.md, section 2.1).
_UUID_AT, _UUID_LEN = 32, 16


@dataclass(frozen=True, slots=True)
class SalvagedTable:
    """What was saved of one table."""

    name: str
    rows: int
    #: Pages of it that could not be read.
    pages_lost: int
    #: An estimate from the rows on other pages; None if there is nothing to go by.
    rows_lost: int | None


@dataclass(frozen=True, slots=True)
class SalvageResult:
    """What :func:`salvage` saved, and what was lost."""

    source: str
    destination: str
    #: Whether nothing was lost. Damage to indexes, or to free pages, loses nothing.
    ok: bool
    #: The cipher of the result; empty if it is in clear.
    cipher: str
    tables: list[SalvagedTable]
    #: Indexes of which pages were lost: they were made anew.
    rebuilt: list[str]
    #: Tables, indexes, views and triggers that could not be created again.
    not_created: list[str]
    #: The table that holds rows of unknown tables, incomplete ones, and ones that their table refused.
    lost_and_found: str | None
    lost_and_found_rows: int
    #: Pages that could not be read and whose owner is not known.
    unknown_pages: int
    #: What was lost with the logs.
    lost_commits: list[str]
    #: What SQLite's integrity check finds wrong with the result.
    problems: list[str]
    warnings: list[str]


@hiding("key")
def salvage(
    source: StrPath,
    destination: StrPath,
    *,
    key: KeyLike | None,
    kdf_limit: KdfLimit | None = None,
    uuid: UuidLike | None = None,
    plain: bool = False,
    progress: Progress | None = None,
) -> SalvageResult:
    """Copies everything that still authenticates from a damaged database into a new one.

    The new database has the keys and the cipher of the damaged one, or is in clear if ``plain``. Rows keep
    their rowids; indexes, views and triggers are created anew. The source and its logs are only read: commits
    in the write-ahead log count, an unfinished transaction does not. ``key=None`` takes the key of
    :func:`lumocrypt.unlock` or ``LUMO_KEY``. ``kdf_limit`` and ``progress`` are as for
    :func:`lumocrypt.encrypt`, ``uuid`` as for :func:`lumocrypt.connect`.

    Loss does not raise: it is in the result.

    Raises WrongKeyError, KeyRequiredError, NotEncryptedError, WrongDatabaseError,
    UnsupportedFormatError, FileExistsError;
    InUseError if somebody writes to the source meanwhile; HeaderDamagedError if neither copy of the header
    can be used, because the data key is wrapped in there: nothing can be decrypted without it.
    """
    opened, target = Source.open(source, key, kdf_limit=kdf_limit, uuid=uuid), absolute(destination)
    refuse_existing(target)
    path, number, options = opened.path, opened.number, opened.options
    before = database_state(path)
    with (
        quoting_files(),
        Original(path) as original,
        _open(path, number, options) as image,
        NewFile(target) as new,
    ):
        image.relative(new.descriptor)
        work = _Salvage(image, _connection(new, opened.key, image, kdf_limit), progress)
        result = work.run(path, target, "" if plain else image.cipher)
        if database_state(path) != before:
            raise make(InUseError, "the database was written to while it was read; try again", path=path)
        original.check()
        if plain:
            with NewFile(target) as clear:
                held = (new.path, new.folder.descriptor)
                host, anew = stdlib_host().number, {**options, "uuid": None}
                native.decrypt_file(host, held, clear.descriptor, number, anew, None)
                original.attributes().limit(clear.descriptor, clear=True)
                clear.get_name()
        else:
            original.attributes().limit(new.descriptor, clear=opened.key is None)
            new.get_name()
    return result


def _open(path: str, key: int, options: dict[str, Any]) -> Image:
    try:
        return Image(path, key, options)
    except HeaderDamagedError as error:
        raise make(
            HeaderDamagedError,
            f"{error}; any older copy of this very database, whose first 64 KiB are its header, will do as a "
            "backup of it if no key was changed since",
        ) from None


def _connection(
    new: NewFile, key: Key | None, image: Image, kdf_limit: KdfLimit | None
) -> Callable[[], Rebuild]:
    def rebuild() -> Rebuild:
        connection = connect(
            new.path, NO_KEY if key is None else key, kdf_limit=kdf_limit, isolation_level=None
        )
        # SQLite opens files by name. Nobody else knows the UUID of the new one; an empty file has none.
        status = json.loads(connection.execute("PRAGMA lumo_status").fetchone()[0])
        if bytes.fromhex(status["uuid"] or "") != os.pread(new.descriptor, _UUID_LEN, _UUID_AT):
            connection.close()
            raise moved(new.target, "nothing was written")
        return Rebuild(connection, image.page(1), image.page_size)

    return rebuild


@dataclass(slots=True)
class _Progressing:
    """How far the work has come: every page is read twice."""

    total: int
    page_size: int
    report: Progress | None
    done: int = 0
    _told: int = field(default=0)

    def advance(self, pages: int = 1) -> None:
        self.done = min(self.done + pages, self.total)
        if self.report is not None and (self.done - self._told >= _STEP or self.done == self.total):
            self._told = self.done
            self.report(self.done * self.page_size, self.total * self.page_size)


@dataclass(slots=True)
class _Tally:
    """What became of the rows of one table."""

    rows: int = 0
    leaves: int = 0
    #: How many parts below a lost page were found.
    reattached: int = 0
    overflow: set[int] = field(default_factory=set[int])
    #: Leaves that can be read and are none: without tags, or of a database damaged before it was encrypted.
    garbled: set[int] = field(default_factory=set[int])
    broken: int = 0


class _Salvage:
    """One run."""

    def __init__(self, image: Image, rebuild: Callable[[], Rebuild], progress: Progress | None) -> None:
        self._progress = _Progressing(2 * image.page_count, image.page_size, progress)
        self._kinds = self._scan(image)
        unreadable = frozenset(
            number for number in range(1, image.page_count + 1) if self._kinds[number] == _UNREADABLE
        )
        self._unreadable = unreadable - {image.lock_page}
        self._kinds = self._kinds.replace(bytes([_UNREADABLE]), b"\0")
        self._image = image
        self._map = PageMap(image, unreadable)
        if self._map.schema_tree.holes:
            orphans.find_schema(self._map, self._kinds)
        self._new = rebuild()
        self._shapes: dict[str, Shape] = {}
        self._tallies: dict[str, _Tally] = {}
        self._not_created: list[str] = []

    def _scan(self, image: Image) -> bytes:
        """The first byte of every page, by number; _UNREADABLE for those that are."""
        kinds = bytearray(image.page_count + 1)
        for number in range(1, image.page_count + 1):
            data = image.page(number)
            kinds[number] = _UNREADABLE if data is None else min(data[0], _UNREADABLE - 1)
            self._progress.advance()
        return bytes(kinds)

    def run(self, path: str, target: str, cipher: str) -> SalvageResult:
        """Fills the new database and closes it."""
        entries = self._map.schema
        virtual = [entry for entry in entries if entry.is_virtual and entry.whole]
        for entry in entries:
            if (
                entry.type == "table"
                and not (entry.is_virtual and entry.whole)
                and not entry.name.startswith(_INTERNAL)
            ):
                self._create(entry)
        trees = [tree for tree in self._map.trees if tree.type == "table"]
        for tree in trees:
            if not tree.name.startswith(_INTERNAL):
                self._copy(tree, tree)
        self._place_orphans()
        for tree in trees:
            if tree.name.startswith(_INTERNAL):
                self._replace(tree)
        for kind in ("index", "view", "trigger"):
            for entry in entries:
                if entry.type == kind and (entry.sql is not None or not entry.whole):
                    self._create(entry)
        self._new.create_virtual(virtual)
        problems = self._new.check()
        result = self._result(path, target, cipher, problems)
        self._new.close()
        self._progress.advance(self._progress.total)
        return result

    def _create(self, entry: SchemaRow) -> None:
        if not entry.whole:
            self._not_created.append(f"{entry.type} {entry.name}: its definition is lost")
        elif not self._new.create(entry):
            self._not_created.append(f"{entry.type} {entry.name}: {entry.sql}")
        elif entry.type == "table":
            self._shapes[entry.name] = self._new.shape(entry.name)

    # Rows

    def _rows(self, tree: Tree, tally: _Tally) -> Iterator[Row]:
        """The rows of a tree, in the order of its pages."""
        tally.leaves += len(tree.leaves)
        # A table WITHOUT ROWID has rows on its interior pages, too; one with rowids has none there.
        for number in tree.leaves + tree.interiors:
            overflow = OverflowPages()
            found = self._map.rows(number, overflow)
            if not found and self._map.node(number) is None:
                tally.garbled.add(number)
            self._progress.advance()
            tally.overflow.update(overflow.lost)
            yield from found

    def _copy(self, tree: Tree, owner: Tree) -> None:
        """Copies the rows below ``tree``, which is the ``owner`` or a part of it, into the owner's table."""
        tally = self._tallies.setdefault(owner.name, _Tally())
        shape = self._shapes.get(owner.name)
        if shape is None:
            self._keep(tree, owner.name, orphans.UNKNOWN_TABLE)
            return
        broken: list[Row] = []

        def whole() -> Iterator[Row]:
            for row in self._rows(tree, tally):
                if row.whole:
                    yield row
                else:
                    broken.append(row)

        done, refused = self._new.insert(shape, whole())
        tally.rows += done
        tally.broken += len(broken) + len(refused)
        self._new.keep(owner.name, tree.root, orphans.INCOMPLETE, broken)
        self._new.keep(owner.name, tree.root, orphans.REFUSED, refused)

    def _replace(self, tree: Tree) -> None:
        tally = self._tallies.setdefault(tree.name, _Tally())
        rows = [row for row in self._rows(tree, tally) if row.whole]
        if self._new.replace_rows(tree.name, rows):
            tally.rows = len(rows)

    def _keep(self, tree: Tree, name: str | None, state: str) -> None:
        for number in tree.leaves + tree.interiors:
            self._new.keep(name, number, state, self._map.rows(number))

    def _place_orphans(self) -> None:
        missing = [tree for tree in self._map.trees if any(not hole.leaf for hole in tree.holes)]
        if not missing and not self._map.schema_tree.holes:
            # Every page that is in use was reached from its tree: the others are free.
            return
        for orphan in orphans.find_orphans(self._map, self._kinds):
            owner = orphans.owner_of(orphan, self._map, self._shapes)
            if owner is None:
                certain = self._map.freelist_whole
                state = orphans.UNKNOWN_TABLE if certain else orphans.PERHAPS_DELETED
                self._keep(orphan.tree, f"b-tree at page {orphan.tree.root}", state)
            elif owner.type == "table" and not owner.name.startswith(_INTERNAL):
                self._tallies[owner.name].reattached += 1
                owner.holes.extend(orphan.tree.holes)
                self._copy(orphan.tree, owner)

    # The report

    def _table(self, tree: Tree) -> SalvagedTable:
        tally = self._tallies.get(tree.name, _Tally())
        pages = {hole.page for hole in tree.holes} | tally.overflow | tally.garbled
        lost = tally.broken
        known = True
        shape = self._shapes.get(tree.name)
        whole = tally.leaves - len(tally.garbled)
        average = tally.rows / whole if whole else 0
        lost += len(tally.garbled) * (round(average) or 1)
        for hole in tree.holes:
            if hole.leaf:
                estimate = round(average) or 1
                if hole.low is not None and hole.high is not None:
                    estimate = min(estimate, hole.high - hole.low)
                lost += estimate
                known = known and average > 0
            elif not tally.reattached:
                known = False
            elif shape is not None and shape.without_rowid:
                # There is a row between any two children.
                lost += max(tally.reattached - 1, 1)
        return SalvagedTable(tree.name, tally.rows, len(pages), lost if known else None)

    def _result(self, path: str, target: str, cipher: str, problems: list[str]) -> SalvageResult:
        trees = self._map.trees
        tables = [self._table(tree) for tree in trees if tree.type == "table"]
        overflow = {page for tally in self._tallies.values() for page in tally.overflow}
        self._map.find_overflow(self._unreadable - overflow)
        unknown = self._unreadable - self._map.owners.keys() - overflow
        hidden = any(tree.holes for tree in (self._map.schema_tree, *trees) if tree.type != "index")
        hidden = hidden or bool(overflow) or any(tally.garbled for tally in self._tallies.values())
        warnings = [*self._image.notes, *self._new.warnings]
        if self._map.schema_tree.holes:
            warnings.append("a part of the schema is lost: tables may be missing; see lost_and_found")
            if not self._map.freelist_whole:
                warnings.append("the list of free pages is lost: deleted tables may have come back")
        ok = not (
            any(table.rows_lost != 0 for table in tables)
            or self._map.schema_tree.holes
            or self._not_created
            or self._new.found_rows
            or (unknown and hidden)
            or self._image.lost
            or problems
        )
        if not ok:
            dangling = self._new.dangling()
            if dangling:
                warnings.append(f"{dangling:,} rows refer by a foreign key to rows that are not there")
        return SalvageResult(
            source=path,
            destination=target,
            ok=ok,
            cipher=cipher,
            tables=tables,
            rebuilt=[tree.name for tree in trees if tree.type == "index" and tree.holes],
            not_created=self._not_created,
            lost_and_found=self._new.lost_and_found,
            lost_and_found_rows=self._new.found_rows,
            unknown_pages=len(unknown) if hidden else 0,
            lost_commits=self._image.lost,
            problems=problems,
            warnings=warnings,
        )

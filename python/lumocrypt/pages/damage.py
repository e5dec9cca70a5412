"""What the damaged blocks of a database belonged to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import number_as_page, unit
from .image import Image
from .pagemap import UNKNOWN, Owner, PageMap

_MAIN = "main"
#: The kind of file that an LMDB environment is.
ENVIRONMENT = "lmdb"


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys that a page of an LMDB environment may have held, of each at most the first 64 bytes."""

    #: The first one, and the first one behind them; None where there is no bound, or none is known.
    start: bytes | None
    end: bytes | None
    #: The only one, of a page that held nothing but its values.
    key: bytes | None


@dataclass(frozen=True, slots=True)
class DamagedPage:
    """A block of the main file, or a frame or extent of a log, that failed authentication; or a header.

    Also a page of an LMDB environment, which is its ``block``.
    """

    #: ``"lmdb"`` of an environment.
    file_kind: str
    #: What failed, counted from zero: one of these three by the kind of file, and none of them for what is
    #: not sealed in any, such as a copy of the header.
    block: int | None
    frame: int | None
    extent: int | None
    reason: str
    #: The table or index whose rows were in it, of a block of the main file; several are separated by commas.
    #: Of an environment, the name of the database; None also for the one without a name.
    owner: str | None = None
    #: ``"table"``, ``"index"``, ``"schema"``, ``"freelist"``, ``"pointer map"``, ``"lock page"``,
    #: ``"unused"``, ``"unknown"``, or ``"several"`` if the block held pages of different types. Of an
    #: environment ``"database"``, ``"freelist"`` or ``"header"``.
    owner_type: str | None = None
    #: ``"leaf"``, ``"interior"`` or ``"overflow"``, of a page of a table or an index.
    owner_part: str | None = None
    #: False if that is only likely, because the pages that would prove it are damaged too.
    owner_certain: bool = True
    #: SQLite's numbers, from 1, of the pages that were in the block.
    sqlite_pages: tuple[int, ...] = ()
    #: Of a page of an LMDB environment.
    keys: KeyRange | None = None

    @classmethod
    def of_environment(cls, entry: dict[str, Any]) -> DamagedPage:
        """As the engine says it of an LMDB environment."""

        def key(name: str) -> bytes | None:
            shown = entry["keys"][name]
            return None if shown is None else bytes.fromhex(shown)

        return cls(
            entry["file_kind"],
            entry["block"],
            None,
            None,
            entry["reason"],
            owner=entry["owner"]["database"],
            owner_type=entry["owner"]["type"],
            keys=None if entry["keys"] is None else KeyRange(key("from"), key("to"), key("key")),
        )

    @property
    def number(self) -> int | None:
        """The number of the block, frame or extent."""
        return next((one for one in (self.block, self.frame, self.extent) if one is not None), None)

    @property
    def page(self) -> int | None:
        """Deprecated: as ``block``, and of a log its frame or extent. It never was SQLite's page."""
        return number_as_page(self)

    def __str__(self) -> str:
        """Where it is: ``main block 4 (SQLite's page 5)``."""
        if self.file_kind == ENVIRONMENT:
            return "header" if self.block is None else f"page {self.block}"
        if self.number is None:
            return self.file_kind
        text = f"{self.file_kind} {unit(self.file_kind)} {self.number}"
        if self.sqlite_pages:
            first, last = self.sqlite_pages[0], self.sqlite_pages[-1]
            text += f" (SQLite's page {first})" if first == last else f" (SQLite's pages {first} to {last})"
        return text


def identify(
    path: str, key: int, options: dict[str, Any], damaged: list[DamagedPage]
) -> tuple[list[DamagedPage], list[str]]:
    """The same damages with their owners, and warnings. ``options`` are the engine's.

    Blocks of which a log holds every page are left out and become warnings: a crash while they were written
    may have torn them, which is what logs are for. Nothing that goes wrong here raises.
    """
    if not any(entry.block is not None and entry.file_kind == _MAIN for entry in damaged):
        return damaged, []
    try:
        with Image(path, key, options) as image:
            return _identify(image, damaged)
    except Exception as error:
        return damaged, [f"what the damaged blocks belonged to could not be told: {error}"]


def _identify(image: Image, damaged: list[DamagedPage]) -> tuple[list[DamagedPage], list[str]]:
    warnings: list[str] = []
    pages: dict[int, tuple[int, ...]] = {}
    kept: list[DamagedPage] = []
    for entry in damaged:
        if entry.block is not None and entry.file_kind == _MAIN:
            numbers = _pages_of(image, entry.block)
            lost = tuple(number for number in numbers if not image.is_logged(number))
            if len(lost) < len(numbers) and not any(number <= image.page_count for number in lost):
                warnings.append(
                    f"block {entry.block} does not authenticate, but a log holds all that was in it: a crash "
                    "may have torn it"
                )
                continue
            pages[entry.block] = lost
        kept.append(entry)
    unreadable = frozenset(number for numbers in pages.values() for number in numbers)
    if not unreadable:
        return kept, warnings
    owners = PageMap(image, unreadable)
    owners.find_overflow(frozenset(number for number in unreadable if number <= image.page_count))
    return [
        _with_owner(entry, pages[entry.block], owners)
        if entry.file_kind == _MAIN and entry.block in pages
        else entry
        for entry in kept
    ], warnings


def _pages_of(image: Image, block: int) -> tuple[int, ...]:
    first = block * image.block_size // image.page_size
    last = ((block + 1) * image.block_size - 1) // image.page_size
    return tuple(range(first + 1, last + 2))


def _with_owner(entry: DamagedPage, pages: tuple[int, ...], owners: PageMap) -> DamagedPage:
    count = owners.layout.page_count
    there = [owners.owner(number) for number in pages if number <= count] or [Owner("unused")]
    # In order, each once.
    found = list(dict.fromkeys(there))
    names = list(dict.fromkeys(owner.name for owner in found if owner.name is not None))
    types = {owner.type for owner in found}
    parts = {owner.part for owner in found}
    return replace(
        entry,
        owner=", ".join(names) or None,
        owner_type=found[0].type if len(types) == 1 else "several",
        owner_part=found[0].part if len(parts) == 1 else None,
        owner_certain=all(owner.certain for owner in found),
        sqlite_pages=pages,
    )


def describe(page: DamagedPage) -> str:
    """A few words on the owner of a damaged block, for a person; empty if nothing is known."""
    match page.owner_type:
        case None:
            return ""
        case UNKNOWN.type:
            text = "of what, the damage hides"
        case "table" | "index":
            part = f"{page.owner_part} page of " if page.owner_part else ""
            text = f"{part}{page.owner_type} {page.owner}"
        case "several":
            text = f"of {page.owner}" if page.owner else "of several structures"
        case "database":
            name = "the nameless database" if page.owner is None else f"database {page.owner}"
            text = f"of {name}{_shown(page.keys)}"
        case other:
            text = other
    if not page.owner_certain and page.owner_type != UNKNOWN.type:
        text = f"probably {text}"
    return text


def _shown(keys: KeyRange | None) -> str:
    """The keys of a page of an environment, after a comma."""
    if keys is None:
        return ""
    if keys.key is not None:
        return f", values of key {keys.key!r}"
    bounds = [
        f"{word} {key!r}" for word, key in (("from", keys.start), ("before", keys.end)) if key is not None
    ]
    return ", keys " + " ".join(bounds) if bounds else ""

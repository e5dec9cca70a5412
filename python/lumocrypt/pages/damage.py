"""What the damaged blocks of a database belonged to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .image import Image
from .pagemap import UNKNOWN, Owner, PageMap

_MAIN = "main"


@dataclass(frozen=True, slots=True)
class DamagedPage:
    """A block of the main file, or a frame or extent of a log, that failed authentication; or a header."""

    file_kind: str
    #: Counted from zero; None for what is no page, such as a copy of the header.
    page: int | None
    reason: str
    #: The table or index whose rows were in it, of a block of the main file; several are separated by commas.
    owner: str | None = None
    #: ``"table"``, ``"index"``, ``"schema"``, ``"freelist"``, ``"pointer map"``, ``"lock page"``,
    #: ``"unused"``, ``"unknown"``, or ``"several"`` if the block held pages of different types.
    owner_type: str | None = None
    #: ``"leaf"``, ``"interior"`` or ``"overflow"``, of a page of a table or an index.
    owner_part: str | None = None
    #: False if that is only likely, because the pages that would prove it are damaged too.
    owner_certain: bool = True
    #: SQLite's numbers, from 1, of the pages that were in the block.
    sqlite_pages: tuple[int, ...] = ()


def identify(
    path: str, key: int, options: dict[str, Any], damaged: list[DamagedPage]
) -> tuple[list[DamagedPage], list[str]]:
    """The same damages with their owners, and warnings. ``options`` are the engine's.

    Blocks of which a log holds every page are left out and become warnings: a crash while they were written
    may have torn them, which is what logs are for. Nothing that goes wrong here raises.
    """
    if not any(entry.file_kind == _MAIN and entry.page is not None for entry in damaged):
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
        if entry.file_kind == _MAIN and entry.page is not None:
            numbers = _pages_of(image, entry.page)
            lost = tuple(number for number in numbers if not image.is_logged(number))
            if len(lost) < len(numbers) and not any(number <= image.page_count for number in lost):
                warnings.append(
                    f"block {entry.page} does not authenticate, but a log holds all that was in it: a crash "
                    "may have torn it"
                )
                continue
            pages[entry.page] = lost
        kept.append(entry)
    unreadable = frozenset(number for numbers in pages.values() for number in numbers)
    if not unreadable:
        return kept, warnings
    owners = PageMap(image, unreadable)
    owners.find_overflow(frozenset(number for number in unreadable if number <= image.page_count))
    return [
        _with_owner(entry, pages[entry.page], owners)
        if entry.file_kind == _MAIN and entry.page in pages
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
        case other:
            text = other
    if not page.owner_certain and page.owner_type != UNKNOWN.type:
        text = f"probably {text}"
    return text

"""Parts of b-trees that nothing readable refers to, because the page above them is lost."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..pages.btree import INTERIORS, KINDS, TABLE_LEAF, TABLES, Malformed, children
from ..pages.pagemap import Hole, PageMap, Tree
from ..pages.rows import Row, schema_row
from .shape import Shape

#: Why rows are in the table of lost and found ones.
UNKNOWN_TABLE = "table unknown"
PERHAPS_DELETED = "perhaps deleted"
INCOMPLETE = "incomplete"
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Orphan:
    """The topmost page of such a part, and what is below it."""

    tree: Tree
    #: Whether it is of a table with rowids.
    is_table: bool
    #: The smallest and the largest rowid.
    low: int | None
    high: int | None
    #: The rows of one leaf.
    sample: list[Row]
    #: The page that the pointer map names as the one above it.
    parent: int | None


def find_schema(owners: PageMap, kinds: bytes) -> None:
    """Looks for leaves of ``sqlite_schema`` among the pages that nothing refers to, and takes them."""
    leaves: list[int] = []
    for number in _candidates(owners, kinds):
        rows = owners.rows(number) if kinds[number] == TABLE_LEAF else []
        if rows and all(schema_row(row) is not None for row in rows):
            leaves.append(number)
    if not leaves:
        return
    # A leaf of another time may name pages that have since become another table's.
    below = _children(owners, (number for number in range(2, len(kinds)) if kinds[number] in INTERIORS))
    roots = Counter(
        entry.root for number in leaves for entry in map(schema_row, owners.rows(number)) if entry is not None
    )
    shared = {root for root, times in roots.items() if root and times > 1}
    for number in leaves:
        owners.adopt_schema(number, below | shared)


def find_orphans(owners: PageMap, kinds: bytes) -> list[Orphan]:
    """The parts that nothing refers to. ``kinds[n]`` is the first byte of page n, 0 if it is unreadable."""
    candidates = [number for number in _candidates(owners, kinds) if not owners.is_free(number)]
    below = _children(owners, (number for number in candidates if kinds[number] in INTERIORS))
    found = [_orphan(owners, number, kinds) for number in candidates if number not in below]
    return [orphan for orphan in found if orphan is not None]


def _children(owners: PageMap, numbers: Iterable[int]) -> set[int]:
    """The pages that some interior pages refer to."""
    below: set[int] = set()
    for number in numbers:
        page = owners.node(number)
        if page is not None and page.is_interior:
            with contextlib.suppress(Malformed):
                below.update(child for child, _ in children(page))
    return below


def _candidates(owners: PageMap, kinds: bytes) -> Iterator[int]:
    for number in range(2, len(kinds)):
        if kinds[number] in KINDS and number not in owners.owners and owners.node(number) is not None:
            yield number


def _orphan(owners: PageMap, number: int, kinds: bytes) -> Orphan | None:
    tree = owners.walk(Tree("", "unknown", number))
    leaves = [owners.rows(leaf) for leaf in (*tree.leaves[:1], *tree.leaves[-1:])]
    rowids = [row.rowid for rows in leaves for row in rows if row.rowid is not None]
    if not leaves or not leaves[0]:
        return None
    is_table = kinds[number] in TABLES
    low, high = (min(rowids), max(rowids)) if is_table and rowids else (None, None)
    return Orphan(tree, is_table, low, high, leaves[0], owners.parent(number))


def owner_of(orphan: Orphan, owners: PageMap, shapes: Mapping[str, Shape]) -> Tree | None:
    """The only tree that an orphan can belong to; None if there are several, or it may hold deleted rows.

    What proves it: every free page is known, so this is none; every table is known, so it is of one of them;
    and only one has lost a page above pages of this kind, with these rowids and this number of columns.
    """
    if orphan.parent is not None:
        named = [tree for tree in owners.trees if any(hole.page == orphan.parent for hole in tree.holes)]
        return named[0] if len(named) == 1 else None
    if not owners.freelist_whole or owners.schema_tree.holes:
        return None
    fitting = [
        tree
        for tree in owners.trees
        if any(_fits(orphan, hole) for hole in tree.holes) and _has_shape(orphan, tree, shapes.get(tree.name))
    ]
    return fitting[0] if len(fitting) == 1 else None


def _fits(orphan: Orphan, hole: Hole) -> bool:
    if hole.leaf:
        return False
    if orphan.low is None or orphan.high is None:
        return True
    above = hole.low is None or hole.low < orphan.low
    return above and (hole.high is None or orphan.high <= hole.high)


def _has_shape(orphan: Orphan, tree: Tree, shape: Shape | None) -> bool:
    if tree.type != "table":
        return not orphan.is_table
    if shape is None:
        return True
    if shape.without_rowid == orphan.is_table:
        return False
    return all(row.values and (shape.accepts(row.values) or not row.whole) for row in orphan.sample)

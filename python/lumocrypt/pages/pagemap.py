"""Which table, index or other structure of a database each of its pages belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from .btree import ENCODINGS, HEADER, Layout, Malformed, Node, children, node
from .image import Image
from .rows import OverflowPages, Row, SchemaRow, follow_chains, rows, schema_row

SCHEMA = "sqlite_schema"
_MAGIC = b"SQLite format 3\0"

# How often the rows of a database, which are read up to six times, may lead to the same overflow page. A page
# is of one chain; damage may lead two there, but nobody should have to follow a chain for each cell there is.
_MOST_USES = 16

# Entries of a pointer map (fileformat2, section 1.8).
_POINTER = 5
_FREE, _OVERFLOW, _CHAINED, _CHILD = 2, 3, 4, 5


@dataclass(frozen=True, slots=True)
class Owner:
    """What a page belongs to."""

    #: ``"table"``, ``"index"``, ``"schema"``, ``"freelist"``, ``"pointer map"``, ``"lock page"``,
    #: ``"unused"`` or ``"unknown"``.
    type: str
    #: Of the table or index.
    name: str | None = None
    #: ``"leaf"``, ``"interior"`` or ``"overflow"``, where that is known.
    part: str | None = None
    #: Whether that follows from pages that authenticate, or is only likely.
    certain: bool = True


UNKNOWN = Owner("unknown", certain=False)


@dataclass(frozen=True, slots=True)
class Hole:
    """A page of a b-tree that cannot be read."""

    page: int
    #: Rowids below it are above ``low`` and not above ``high``; None is no limit, or an index.
    low: int | None
    high: int | None
    #: Whether it is a leaf; None if that cannot be told.
    leaf: bool | None


@dataclass(slots=True)
class Tree:
    """A b-tree of a table or an index."""

    name: str
    #: ``"table"``, ``"index"`` or ``"schema"``.
    type: str
    root: int
    #: In order, as far as they can be reached.
    leaves: list[int] = field(default_factory=list[int])
    interiors: list[int] = field(default_factory=list[int])
    holes: list[Hole] = field(default_factory=list[Hole])
    #: Whether a chain of overflow pages was found that ends too early.
    broken: bool = False


class PageMap:
    """Walks a database from its schema. Leaves are not read, but known from the pages above them."""

    def __init__(self, image: Image, unreadable: Collection[int]) -> None:
        self.image = image
        #: Pages known to be unreadable; others may turn out to be.
        self.unreadable = unreadable
        self.owners: dict[int, Owner] = {}
        self.trees: list[Tree] = []
        self.schema: list[SchemaRow] = []
        self._named: set[tuple[str, str]] = set()
        self._uses: Counter[int] = Counter()
        self._mapped_to: dict[int, Owner | None] = {}
        first = image.page(1)
        self.first = first if first is not None and first.startswith(_MAGIC) else None
        self.layout = _layout(image, self.first)
        #: Whether every free page is known to be one.
        self.freelist_whole = False
        self._auto_vacuum = self.first is not None and any(self.first[52:56])
        self._fixed_pages()
        self.schema_tree = self.walk(Tree(SCHEMA, "schema", 1))
        self.take_schema(self.schema_tree.leaves)
        self._freelist()

    def take_schema(self, leaves: Iterable[int], taken: Collection[int] = ()) -> None:
        """Reads the schema's entries in some leaves, and walks the trees that they name."""
        for number in leaves:
            for row in self.rows(number):
                entry = schema_row(row)
                if entry is None or (entry.type, entry.name) in self._named or entry.root in taken:
                    continue
                self._named.add((entry.type, entry.name))
                self.schema.append(entry)
                if 1 < entry.root <= self.layout.page_count:
                    self.trees.append(self.walk(Tree(entry.name, entry.type, entry.root)))

    def adopt_schema(self, number: int, taken: Collection[int]) -> None:
        """Takes a leaf of the schema that nothing refers to any more; ``taken`` pages are no roots."""
        if self.own(number, Owner("schema", SCHEMA, "leaf")):
            self.schema_tree.leaves.append(number)
            self.take_schema([number], taken)

    def own(self, number: int, owner: Owner) -> bool:
        """Notes whose page this is. False if it cannot be, or is another's already."""
        if not 1 <= number <= self.layout.page_count or number in self.owners:
            return False
        self.owners[number] = owner
        return True

    def node(self, number: int) -> Node | None:
        """A page of a b-tree, None if it cannot be read or is none."""
        data = None if number in self.unreadable else self.image.page(number)
        if data is None:
            return None
        try:
            return node(data, number, self.layout)
        except Malformed:
            return None

    def rows(self, number: int, overflow: OverflowPages | None = None) -> list[Row]:
        """The rows on a page, none if it cannot be read; the pages they overflow to go to ``overflow``."""
        page = self.node(number)
        if overflow is None:
            overflow = OverflowPages()
        return [] if page is None else list(rows(page, self.layout, self._overflow_page, overflow))

    def _overflow_page(self, number: int) -> bytes | None:
        self._uses[number] += 1
        if self._uses[number] > _MOST_USES:
            raise Malformed
        return self.image.page(number)

    def walk(self, tree: Tree) -> Tree:
        """Finds the pages of a b-tree, level by level: all leaves are on the last one."""
        level: list[tuple[int, int | None, int | None]] = [(tree.root, None, None)]
        while level:
            below: list[tuple[int, int | None, int | None]] = []
            holes: list[tuple[int, int | None, int | None]] = []
            leaves: bool | None = None
            for number, low, high in level:
                if not self.own(number, Owner(tree.type, tree.name)):
                    # Beyond the end, or another's: a page is missing here all the same.
                    holes.append((number, low, high))
                    continue
                page = None
                if leaves is None or not leaves:
                    page = self.node(number)
                elif number not in self.unreadable:
                    tree.leaves.append(number)
                    continue
                if page is None:
                    holes.append((number, low, high))
                elif page.is_interior:
                    leaves = False
                    tree.interiors.append(number)
                    below.extend(self._children(page, low, high))
                else:
                    leaves = True
                    tree.leaves.append(number)
            tree.holes.extend(Hole(*hole, leaves) for hole in holes)
            self._set_parts(tree, (number for number, _, _ in level), leaves)
            level = below
        return tree

    def _children(
        self, page: Node, low: int | None, high: int | None
    ) -> list[tuple[int, int | None, int | None]]:
        found: list[tuple[int, int | None, int | None]] = []
        try:
            for child, key in children(page):
                found.append((child, low, high if key is None else key))
                low = key
        except Malformed:
            pass
        return found

    def _set_parts(self, tree: Tree, numbers: Iterable[int], leaves: bool | None) -> None:
        if leaves is None:
            return
        owner = Owner(tree.type, tree.name, "leaf" if leaves else "interior")
        for number in numbers:
            if self.owners.get(number) == Owner(tree.type, tree.name):
                self.owners[number] = owner

    def find_overflow(self, wanted: Collection[int]) -> None:
        """Reads the rows of all trees until the owner of every ``wanted`` page is known."""
        left = set(wanted) - self.owners.keys()
        for tree in [self.schema_tree, *self.trees]:
            for number in tree.leaves + tree.interiors:
                if not left:
                    return
                found = self._overflow_of(number)
                for page in found.pages:
                    self.own(page, Owner(tree.type, tree.name, "overflow"))
                    left.discard(page)
                tree.broken = tree.broken or bool(found.lost)

    def _overflow_of(self, number: int) -> OverflowPages:
        found = OverflowPages()
        page = self.node(number)
        if page is not None:
            follow_chains(page, self.layout, self._overflow_page, found)
        return found

    def owner(self, number: int) -> Owner:
        """Whose page this is, or probably is."""
        known = self.owners.get(number) or self._by_pointer_map(number)
        if known is not None:
            return known
        # A leaf that cannot be read hides the overflow pages of its rows.
        hiding = [tree for tree in [self.schema_tree, *self.trees] if tree.holes or tree.broken]
        if not hiding:
            return Owner("freelist", certain=self.freelist_whole)
        if len(hiding) == 1 and self.freelist_whole and hiding[0] is not self.schema_tree:
            return Owner(hiding[0].type, hiding[0].name, certain=False)
        return UNKNOWN

    # What is no tree

    def _fixed_pages(self) -> None:
        self.own(self.image.lock_page, Owner("lock page"))
        if not self._auto_vacuum:
            return
        for number in range(2, self.layout.page_count + 1, self._mapped + 1):
            self.own(self._pointer_map_of(number), Owner("pointer map"))

    @property
    def _mapped(self) -> int:
        """How many pages a page of the pointer map describes."""
        return self.layout.usable // _POINTER

    def _pointer_map_of(self, number: int) -> int:
        at = (number - 2) // (self._mapped + 1) * (self._mapped + 1) + 2
        return at + 1 if at == self.image.lock_page else at

    def pointer(self, number: int) -> tuple[int, int] | None:
        """The pointer map's type of a page, and its parent; None if there is no readable entry."""
        if not self._auto_vacuum or number < 2:
            return None
        where = self._pointer_map_of(number)
        data = None if where in self.unreadable else self.image.page(where)
        at = (number - where - 1) * _POINTER
        if data is None or at < 0:
            return None
        return data[at], int.from_bytes(data[at + 1 : at + _POINTER], "big")

    def _by_pointer_map(self, number: int) -> Owner | None:
        """Whose page this is, by the pages above it; each is looked at once, however many lead to it."""
        passed: list[tuple[int, bool]] = []
        found: Owner | None = None
        while number not in self._mapped_to:
            entry = self.pointer(number)
            kind, parent = entry or (0, 0)
            chained = kind in (_OVERFLOW, _CHAINED)
            passed.append((number, chained))
            # Nothing, until it turns out that there is something: what leads back here has no owner.
            self._mapped_to[number] = None
            if kind == _FREE:
                found = Owner("freelist")
                break
            if not chained and kind != _CHILD:
                break
            found = self.owners.get(parent)
            if found is not None:
                found = Owner(found.type, found.name)
                break
            number = parent
        else:
            found = self._mapped_to[number]
        for page, chained in reversed(passed):
            if found is not None and found.name is not None and chained:
                found = Owner(found.type, found.name, "overflow")
            self._mapped_to[page] = found
        return found

    def is_free(self, number: int) -> bool:
        """Whether the pointer map says that a page is free."""
        entry = self.pointer(number)
        return entry is not None and entry[0] == _FREE

    def parent(self, number: int) -> int | None:
        """The page above one of a b-tree, if the pointer map says so."""
        entry = self.pointer(number)
        return entry[1] if entry is not None and entry[0] == _CHILD else None

    def _freelist(self) -> None:
        if self.first is None:
            return
        trunk = int.from_bytes(self.first[32:36], "big")
        expected = int.from_bytes(self.first[36:40], "big")
        found = 0
        while trunk and self.own(trunk, Owner("freelist")):
            found += 1
            data = None if trunk in self.unreadable else self.image.page(trunk)
            if data is None:
                return
            count = min(int.from_bytes(data[4:8], "big"), self.layout.usable // 4 - 2)
            for at in range(8, 8 + 4 * count, 4):
                found += self.own(int.from_bytes(data[at : at + 4], "big"), Owner("freelist"))
            trunk = int.from_bytes(data[:4], "big")
        self.freelist_whole = found == expected


def _layout(image: Image, first: bytes | None) -> Layout:
    reserved, encoding = 0, "utf-8"
    if first is not None and len(first) >= HEADER:
        reserved = first[20]
        encoding = ENCODINGS.get(int.from_bytes(first[56:60], "big"), encoding)
    return Layout(image.page_size, image.page_count, image.page_size - reserved, encoding)

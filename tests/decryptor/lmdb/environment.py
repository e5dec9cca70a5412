"""An environment as the next one who opens it would find it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import MalformedError, UnauthenticError, UnsupportedFormatError
from ..header import REGION, Header, Secret, open_header
from .pages import NO_PAGE, PAGE_HEADER, Meta, Pages, Tree

BRANCH, LEAF, LEAF2, SUBPAGE = 0x01, 0x02, 0x20, 0x40
BIG, TREE, DUPLICATES = 0x01, 0x02, 0x04
TREE_LENGTH = 48

Entries = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Database:
    """Keys with their values, one pair for each value, in LMDB's order."""

    flags: int
    entries: Entries


@dataclass(frozen=True, slots=True)
class Environment:
    header: Header
    meta: Meta
    #: By name; None for the one without.
    databases: dict[bytes | None, Database]
    #: Page numbers.
    used: frozenset[int]
    free: frozenset[int]


@dataclass(slots=True)
class _Node:
    key: bytes
    flags: int
    #: Of branches: the page number of the child. Of leaves: the length of the value.
    number: int
    data: bytes


def read_environment(path: Path, secret: Secret) -> Environment:
    """Decrypts all of it. Nothing is written. Raises a DecryptorError for anything that is not authentic."""
    content = path.read_bytes()
    header = open_header(content[:REGION], secret, lmdb=True)
    if header.older is not None:
        raise UnsupportedFormatError("an environment whose data key is being changed")
    return _Reader(Pages(content, header.keys, header.superblock.block_size)).run(header)


@dataclass(slots=True)
class _Reader:
    pages: Pages
    used: set[int] = field(default_factory=set[int])

    def run(self, header: Header) -> Environment:
        meta = self.pages.newest()
        databases: dict[bytes | None, Database] = {}
        main: Entries = []
        for node, txn in self.leaves(meta.main, meta.transaction):
            if node.flags & TREE and not node.flags & DUPLICATES:
                tree = Tree.parse(node.data)
                name = node.key.removesuffix(b"\0")
                databases[name] = Database(tree.flags, self.entries(tree, txn))
            else:
                main += self.values(node, txn)
        databases[None] = Database(meta.main.flags, main)
        free: list[int] = []
        for _, value in self.entries(meta.free, meta.transaction):
            (count,) = struct.unpack_from("<Q", value)
            free += struct.unpack_from(f"<{count}Q", value, 8)
        if len(set(free)) != len(free) or self.used & set(free):
            raise MalformedError("a page is free and in use, or free twice")
        return Environment(header, meta, databases, frozenset(self.used), frozenset(free))

    def entries(self, tree: Tree, txn: int) -> Entries:
        found: Entries = []
        for node, written in self.leaves(tree, txn):
            found += self.values(node, written)
        if len(found) != tree.entries:
            raise MalformedError(f"{len(found)} entries in place of {tree.entries}")
        return found

    def values(self, node: _Node, txn: int) -> Entries:
        """What a leaf has at a key."""
        if node.flags & BIG:
            first, written, pages = struct.unpack("<QQQ", node.data)
            self.take(first, pages)
            return [(node.key, self.pages.value(first, written, pages, node.number))]
        if node.flags & TREE:
            members = self.leaves(Tree.parse(node.data), txn, members=True)
            return [(node.key, member.key) for member, _ in members]
        if node.flags & DUPLICATES:
            return [(node.key, member.key) for member in _nodes(node.data, members=True)]
        return [(node.key, node.data)]

    def leaves(self, tree: Tree, txn: int, *, members: bool = False) -> Iterator[tuple[_Node, int]]:
        """The nodes of all leaves, each with the transaction that wrote it."""
        if tree.root != NO_PAGE:
            yield from self._below(tree.root, tree.depth, txn, members)

    def _below(self, number: int, depth: int, newest: int, members: bool) -> Iterator[tuple[_Node, int]]:
        self.take(number, 1)
        page = self.pages.open(number)
        (txn,) = struct.unpack_from("<Q", page, 8)
        if txn > newest:
            raise UnauthenticError(f"page {number} is newer than what leads to it")
        (flags,) = struct.unpack_from("<H", page, 18)
        if flags & (BRANCH | LEAF) != (BRANCH if depth > 1 else LEAF):
            raise MalformedError(f"page {number} is at another level")
        for node in _nodes(page, members=members):
            if depth > 1:
                yield from self._below(node.number, depth - 1, txn, members)
            else:
                yield node, txn

    def take(self, first: int, pages: int) -> None:
        for number in range(first, first + pages):
            if number < 2 or number in self.used:
                raise MalformedError(f"page {number} is used twice")
            self.used.add(number)


def _nodes(page: bytes, *, members: bool) -> Iterator[_Node]:
    """The entries of a page, or of a page within one."""
    size, flags, lower, _ = struct.unpack_from("<HHHH", page, 16)
    for index in range(lower // 2):
        if flags & LEAF2:
            at = PAGE_HEADER + index * size
            yield _Node(page[at : at + size], 0, 0, b"")
            continue
        (offset,) = struct.unpack_from("<H", page, PAGE_HEADER + 2 * index)
        at = PAGE_HEADER + offset
        number, node_flags, key_size = struct.unpack_from("<IHH", page, at)
        key = page[at + 8 : at + 8 + key_size]
        data = at + 8 + key_size + key_size % 2
        if flags & BRANCH:
            yield _Node(key, 0, number | node_flags << 32, b"")
        elif members:
            yield _Node(key, 0, 0, b"")
        else:
            length = 24 if node_flags & BIG else number
            yield _Node(key, node_flags, number, page[data : data + length])

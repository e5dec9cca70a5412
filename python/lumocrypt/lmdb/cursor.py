"""Cursors: walking through a database in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

from . import engine
from .engine import Bytes, check, ffi, given, lib
from .errors import closed

if TYPE_CHECKING:
    from .database import Database
    from .transaction import Transaction


class Cursor:
    """A cursor on a database, in a transaction, which closes it when it ends."""

    def __init__(self, db: Database, txn: Transaction) -> None:
        """Opens it; it is nowhere yet."""
        self._address: Any = None
        self._db, self._txn = db, txn
        self._there, self._seen = False, txn.writes
        self._key: Any = ffi.new("uint8_t **")
        self._value: Any = ffi.new("uint8_t **")
        self._sizes: Any = ffi.new("uintptr_t[2]")
        self._answer: Any = ffi.new("int *")
        with txn.lock:
            place = ffi.new("void **")
            check("mdb_cursor_open", lib.lumo_lmdb_cursor_open(txn.address(), db.number(txn), place))
            self._address = place[0]
            txn.adopt(self)

    @property
    def database(self) -> Database:
        """What it is on."""
        return self._db

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_address", None) is not None and self._txn.pid == engine.process():
            self.close()

    def close(self) -> None:
        """Closes it. Closing it again does nothing."""
        with self._txn.lock:
            address, self._address = self._address, None
            if address is not None:
                lib.lumo_lmdb_cursor_close(address)

    def address(self) -> Any:
        """The engine's. Raises Error if the cursor was closed."""
        return self._get()

    def _get(self) -> Any:
        if self._address is None:
            raise closed()
        return self._address

    def _go(self, operation: int, key: bytes = b"", value: bytes = b"") -> bool:
        with self._txn.lock:
            one, other = ffi.from_buffer("uint8_t[]", key), ffi.from_buffer("uint8_t[]", value)
            self._key[0], self._value[0], self._sizes[0], self._sizes[1] = one, other, len(key), len(value)
            status = lib.lumo_lmdb_cursor_get(
                self._get(), operation, self._key, self._sizes, self._value, self._sizes + 1, self._answer
            )
            self._there, self._seen = not status and bool(self._answer[0]), self._txn.writes
            if not self._there:
                self._sizes[0] = self._sizes[1] = 0
            check("mdb_cursor_get", status)
            return self._there

    def _look(self) -> None:
        """Looks again if something was written since."""
        self._get()
        if self._seen != self._txn.writes:
            self._go(engine.GET_CURRENT)

    def key(self) -> Any:
        """The key where it is; empty if it is nowhere."""
        with self._txn.lock:
            self._look()
            return self._txn.wrap(self._key[0], self._sizes[0])

    def value(self) -> Any:
        """The value where it is; empty if it is nowhere."""
        with self._txn.lock:
            self._look()
            return self._txn.wrap(self._value[0], self._sizes[1])

    def item(self) -> tuple[Any, Any]:
        """Key and value where it is."""
        with self._txn.lock:
            self._look()
            wrap = self._txn.wrap
            return wrap(self._key[0], self._sizes[0]), wrap(self._value[0], self._sizes[1])

    def first(self) -> bool:
        """To the first entry. As all moves, says whether there is one."""
        return self._go(engine.FIRST)

    def last(self) -> bool:
        """To the last entry."""
        return self._go(engine.LAST)

    def next(self) -> bool:
        """To the next entry."""
        return self._go(engine.NEXT)

    def prev(self) -> bool:
        """To the entry before."""
        return self._go(engine.PREV)

    def first_dup(self) -> bool:
        """To the key's first value."""
        return self._go(engine.FIRST_DUP) and self._go(engine.GET_CURRENT)

    def last_dup(self) -> bool:
        """To the key's last value."""
        return self._go(engine.LAST_DUP) and self._go(engine.GET_CURRENT)

    def next_dup(self) -> bool:
        """To the key's next value."""
        return self._go(engine.NEXT_DUP)

    def prev_dup(self) -> bool:
        """To the key's value before."""
        return self._go(engine.PREV_DUP)

    def next_nodup(self) -> bool:
        """To the next key."""
        return self._go(engine.NEXT_NODUP)

    def prev_nodup(self) -> bool:
        """To the key before."""
        return self._go(engine.PREV_NODUP)

    def set_key(self, key: Bytes) -> bool:
        """To a key."""
        return self._go(engine.SET_KEY, given(key))

    def set_key_dup(self, key: Bytes, value: Bytes) -> bool:
        """To a key and value."""
        return self._go(engine.GET_BOTH, given(key), given(value)) and self._go(engine.GET_CURRENT)

    def set_range(self, key: Bytes) -> bool:
        """To a key or the one behind it."""
        data = given(key)
        return self._go(engine.SET_RANGE, data) if data else self.first()

    def set_range_dup(self, key: Bytes, value: Bytes) -> bool:
        """To a key and value, or the key's value behind that."""
        return self._go(engine.GET_BOTH_RANGE, given(key), given(value)) and self._go(engine.GET_CURRENT)

    def get(self, key: Bytes, default: Any = None) -> Any:
        """Goes to a key and returns its value."""
        with self._txn.lock:
            return self.value() if self.set_key(key) else default

    def getmulti(
        self,
        keys: Iterable[Bytes],
        dupdata: bool = False,
        dupfixed_bytes: int | None = None,
        keyfixed: bool = False,
        values: bool = True,
    ) -> Any:
        """The entries of those keys that are there, as a list; with ``dupdata`` all values of each. Without
        ``values`` a list of the keys. ``dupfixed_bytes``, the size of every value in bytes, reads pages of
        values at once; with ``keyfixed`` the answer is one memoryview of keys and values."""
        if dupfixed_bytes and dupfixed_bytes < 0:
            raise OverflowError("dupfixed_bytes must not be negative")
        if (dupfixed_bytes or keyfixed) and not dupdata:
            raise TypeError("dupfixed_bytes and keyfixed need dupdata=True")
        if keyfixed and not dupfixed_bytes:
            raise TypeError("keyfixed needs dupfixed_bytes")
        if not values and dupdata:
            raise TypeError("values=False does not go with dupdata=True; leave one of them out")
        found: list[Any] = []
        for key in keys:
            with self._txn.lock:
                if not self.set_key(key):
                    continue
                if values:
                    found += self._values(dupdata, dupfixed_bytes or 0)
                else:
                    found.append(self.key())
        if not keyfixed:
            return found
        if len({len(key) for key, _ in found}) > 1:
            raise ValueError("keyfixed=True requires all keys to be the same size")
        return memoryview(bytearray(b"".join(bytes(key) + bytes(value) for key, value in found)))

    def _values(self, dupdata: bool, size: int) -> Iterator[tuple[Any, Any]]:
        """Where it is, and the key's values behind that if all are meant."""
        key = self.key()
        if not dupdata:
            yield key, self.value()
            return
        if not size:
            while self._there:
                yield key, self.value()
                self.next_dup()
            return
        there = self._go(engine.GET_MULTIPLE)
        while there:
            some = self._txn.wrap(self._value[0], self._sizes[1])
            yield from ((key, some[at : at + size]) for at in range(0, len(some), size))
            there = self._go(engine.NEXT_MULTIPLE)

    def put(
        self, key: Bytes, value: Bytes, dupdata: bool = True, overwrite: bool = True, append: bool = False
    ) -> bool:
        """As :meth:`Transaction.put`. ``key``, ``value`` and ``item`` are of the new entry then; an iterator
        begins where the cursor was, as py-lmdb's does."""
        with self._txn.lock:
            flags = engine.put_flags(self._db.kind, dupdata=dupdata, overwrite=overwrite, append=append)
            return self._put(given(key), given(value), flags)

    def _put(self, key: bytes, value: bytes, flags: int) -> bool:
        self._txn.writes += 1
        done = self._answer
        status = lib.lumo_lmdb_cursor_put(self._get(), key, len(key), value, len(value), flags, done)
        check("mdb_cursor_put", status)
        return bool(done[0])

    def putmulti(
        self,
        items: Iterable[tuple[Bytes, Bytes]],
        dupdata: bool = True,
        overwrite: bool = True,
        append: bool = False,
    ) -> tuple[int, int]:
        """Puts entries; returns how many were taken and how many were put."""
        flags = engine.put_flags(self._db.kind, dupdata=dupdata, overwrite=overwrite, append=append)
        taken = put = 0
        for item in items:
            if type(item) is not tuple or len(item) != 2:  # pyright: ignore[reportUnnecessaryComparison]
                raise TypeError("putmulti() elements must be 2-tuples")
            with self._txn.lock:
                taken, put = taken + 1, put + self._put(given(item[0]), given(item[1]), flags)
        return taken, put

    def delete(self, dupdata: bool = False) -> bool:
        """Removes the entry where it is, or with ``dupdata`` all values of its key, and goes to the next
        one."""
        with self._txn.lock:
            self._get()
            if not self._there:
                return False
            self._txn.writes += 1
            check("mdb_cursor_del", lib.lumo_lmdb_cursor_delete(self._get(), int(dupdata)))
            self._go(engine.GET_CURRENT)
            return True

    def pop(self, key: Bytes) -> bytes | None:
        """Goes to a key, removes its first value and returns it."""
        with self._txn.lock:
            if not self.set_key(key):
                return None
            old = bytes(self.value())
            self.delete()
            return old

    def replace(self, key: Bytes, value: Bytes) -> bytes | None:
        """Puts a value in the place of all that the key has, and returns the first of those."""
        with self._txn.lock:
            old = None
            if self.set_key(key):
                old = bytes(self.value())
                if self._db.kind & engine.DUPSORT:
                    self.delete(dupdata=True)
            self.put(key, value)
            return old

    def count(self) -> int:
        """How many values the key has where it is."""
        with self._txn.lock:
            return engine.numbers("mdb_cursor_count", lib.lumo_lmdb_cursor_count, self._get(), count=1)[0]

    def _walk(self, operation: int, keys: bool, values: bool) -> Iterator[Any]:
        get = self.key if not values else self.value if not keys else self.item
        while self._there:
            yield get()
            self._go(operation)

    def iternext(self, keys: bool = True, values: bool = True) -> Iterator[Any]:
        """The entries from here on; from the first, if it is nowhere."""
        if not self._there:
            self.first()
        return self._walk(engine.NEXT, keys, values)

    def __iter__(self) -> Iterator[Any]:
        return self.iternext()

    def iternext_dup(self, keys: bool = False, values: bool = True) -> Iterator[Any]:
        """The key's values from here on."""
        return self._walk(engine.NEXT_DUP, keys, values)

    def iternext_nodup(self, keys: bool = True, values: bool = False) -> Iterator[Any]:
        """The keys from here on."""
        if not self._there:
            self.first()
        return self._walk(engine.NEXT_NODUP, keys, values)

    def iterprev(self, keys: bool = True, values: bool = True) -> Iterator[Any]:
        """The entries from here back; from the last, if it is nowhere."""
        if not self._there:
            self.last()
        return self._walk(engine.PREV, keys, values)

    def iterprev_dup(self, keys: bool = False, values: bool = True) -> Iterator[Any]:
        """The key's values from here back."""
        return self._walk(engine.PREV_DUP, keys, values)

    def iterprev_nodup(self, keys: bool = True, values: bool = False) -> Iterator[Any]:
        """The keys from here back."""
        if not self._there:
            self.last()
        return self._walk(engine.PREV_NODUP, keys, values)

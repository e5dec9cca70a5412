"""Named databases, and the nameless one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import engine
from .engine import check, ffi, lib

if TYPE_CHECKING:
    from .transaction import Transaction


class Database:
    """A database of an environment, from :meth:`Environment.open_db`."""

    __slots__ = ("__weakref__", "_number", "_opening", "kind", "name")

    def __init__(self, txn: Transaction, name: bytes | None, flags: int) -> None:
        """Opens it in a transaction."""
        self.name = name
        #: LMDB's flags.
        self.kind = 0
        self._opening, self._number = 0, 0
        self.open(txn, flags)

    def open(self, txn: Transaction, flags: int = 0) -> None:
        """Gets a number for the transaction's opening of the environment."""
        number, kind = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        name = ffi.NULL if self.name is None else self.name
        size = 0 if self.name is None else len(self.name)
        check("mdb_dbi_open", lib.lumo_lmdb_db_open(txn.address(), name, size, flags, number, kind))
        self._number, self.kind, self._opening = number[0], kind[0], txn.opening

    def number(self, txn: Transaction) -> int:
        """LMDB's. Raises BadDbiError for a database of another environment."""
        if self._opening != txn.opening:
            from .errors import from_code

            raise from_code(-30780, "the database is one of another environment; open it in this one")
        return self._number

    def flags(self, *_: object) -> dict[str, bool]:
        """What kind of database it is."""
        return {
            "reverse_key": bool(self.kind & engine.REVERSEKEY),
            "dupsort": bool(self.kind & engine.DUPSORT),
            "integerkey": bool(self.kind & engine.INTEGERKEY),
            "integerdup": bool(self.kind & engine.INTEGERDUP),
            "dupfixed": bool(self.kind & engine.DUPFIXED),
        }

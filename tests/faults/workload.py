"""What is done to a database, step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto


class Kind(Enum):
    """What a step means for the content."""

    OPEN = auto()
    CLOSE = auto()
    #: One transaction, committed.
    COMMIT = auto()
    #: One transaction, rolled back.
    ROLLBACK = auto()
    #: One statement that is a transaction of its own.
    AUTO = auto()
    #: Statements that change files and not the content.
    NEUTRAL = auto()
    #: Everything is read.
    READ = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that an application does."""

    kind: Kind
    statements: tuple[str, ...] = ()
    connection: int = 0


class Start(Enum):
    """What a workload finds."""

    #: No file.
    NOTHING = auto()
    #: A database that was closed.
    CLOSED = auto()
    #: A database that a killed process left: with a log that has to be recovered.
    KILLED = auto()


@dataclass(frozen=True, slots=True)
class Workload:
    """Steps, and the settings of the connections that do them."""

    name: str
    steps: tuple[Step, ...]
    start: Start = Start.CLOSED
    journal: str = "delete"
    sync: str = "full"
    #: Pages; small makes SQLite spill.
    cache: int = 2000
    page: int = 4096
    autocheckpoint: int = 1000
    #: A second database, attached.
    with_other: bool = False
    io: str = "map"
    #: Locks are kept, and files stay open.
    exclusive: bool = False

    @property
    def label(self) -> str:
        return f"{self.name}/{self.journal}/{self.sync}"

    def under(self, journal: str, sync: str) -> Workload:
        return replace(self, journal=journal, sync=sync)

    def pragmas(self, *, create: bool) -> list[str]:
        """What a connection executes first."""
        schemas = ("main", "other") if self.with_other else ("main",)
        found = ["PRAGMA locking_mode=EXCLUSIVE"] if self.exclusive else []
        found += [f"PRAGMA page_size={self.page}"] if create else []
        for schema in schemas:
            found += [
                f"PRAGMA {schema}.journal_mode={self.journal}",
                f"PRAGMA {schema}.synchronous={self.sync}",
                f"PRAGMA {schema}.cache_size={self.cache}",
            ]
        return [*found, f"PRAGMA wal_autocheckpoint={self.autocheckpoint}", "PRAGMA secure_delete=OFF"]

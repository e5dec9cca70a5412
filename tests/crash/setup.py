"""The setting of a workload."""

from __future__ import annotations

from dataclasses import dataclass, field

from .flavour import Geometry


@dataclass(frozen=True, slots=True)
class Setup:
    """How a workload's connections are made."""

    journal: str = "delete"
    sync: str = "full"
    geometry: Geometry = field(default_factory=Geometry)
    #: Pages; small makes SQLite spill.
    cache: int = 2000
    exclusive: bool = False
    #: A second database, attached.
    with_other: bool = False
    #: The database is made under the recorder, by the first connection.
    new: bool = False
    #: The database starts in clear, and is encrypted and decrypted under its name.
    in_place: bool = False
    #: Keys come and go: which of the numbered ones open the database is a part of its content.
    keys: bool = False

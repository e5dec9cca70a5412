"""What the user can set about a shell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Settings:
    """The settings that ``.show`` lists."""

    #: The name of the output mode (:data:`lumocrypt.shell.modes.MODES`).
    mode: str = "list"
    #: Whether the names of columns come before the rows.
    headers: bool = False
    #: What stands for NULL.
    null: str = ""
    #: Between the columns in list mode.
    separator: str = "|"
    #: The table that ``.mode insert`` writes into.
    insert_table: str = "table"
    #: Whether a script stops at its first error.
    bail: bool = False
    #: Whether the time that each statement took is shown.
    timer: bool = False

    @classmethod
    def for_people(cls) -> Settings:
        """What a shell on a terminal begins with."""
        return cls(mode="table", headers=True, null="NULL")

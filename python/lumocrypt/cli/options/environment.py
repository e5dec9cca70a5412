"""What the keys of one run share: which of a command's two they are, environment variables, descriptors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...errors import KeySourceError, make
from ...keys.key import ENVIRONMENT_VARIABLE
from . import keytext

#: The environment variable that holds the new key of a command with two.
NEW_ENVIRONMENT_VARIABLE = "LUMO_NEW_KEY"


@dataclass(frozen=True, slots=True)
class Role:
    """Which of a command's two keys."""

    #: Before the names of the options: ``--new-key-fd``.
    prefix: str
    #: The name of the command's parameter.
    parameter: str
    variable: str
    #: What help texts and messages call the key.
    noun: str

    def option(self, kind: str) -> str:
        return f"--{self.prefix}{kind}"


EXISTING = Role("", "key_source", ENVIRONMENT_VARIABLE, "key")
NEW = Role("new-", "new_key_source", NEW_ENVIRONMENT_VARIABLE, "new key")
ROLES = (EXISTING, NEW)


@dataclass(slots=True)
class KeyEnvironment:
    """What the keys of one run share: environment variables, and descriptors that name two of them.

    The variables are taken out of the environment so that no child process inherits them.
    """

    texts: Mapping[str, str] = field(repr=False)
    _shared: dict[int, list[Role]] = field(default_factory=dict[int, list[Role]], repr=False)
    _lines: dict[int, list[bytes]] = field(default_factory=dict[int, list[bytes]], repr=False)

    @classmethod
    def take(cls) -> KeyEnvironment:
        """Removes the variables and keeps their texts. An empty one counts as not set."""
        texts = {role.variable: os.environ.pop(role.variable, "") for role in ROLES}
        return cls({name: text for name, text in texts.items() if text})

    def names(self, descriptor: int, role: Role) -> None:
        """Says that a key comes from a descriptor."""
        self._shared.setdefault(descriptor, []).append(role)

    def read(self, descriptor: int, role: Role) -> bytes:
        """What a descriptor holds for a key: everything, or a line if both keys come from it.

        Raises KeySourceError if it cannot be read or has not a line for each.
        """
        if len(self._shared.get(descriptor, ())) < len(ROLES):
            return keytext.read_descriptor(descriptor)
        if descriptor not in self._lines:
            text = keytext.read_descriptor(descriptor, lines=len(ROLES))
            lines = text.split(b"\n")
            if lines[-1] == b"":
                lines.pop()
            if len(lines) != len(ROLES):
                raise make(
                    KeySourceError,
                    f"both keys are to come from {keytext.descriptor_name(descriptor)}: give two lines, the "
                    f"key and then the new key, and not {len(lines)}",
                )
            self._lines[descriptor] = lines
        return self._lines[descriptor][ROLES.index(role)] + b"\n"

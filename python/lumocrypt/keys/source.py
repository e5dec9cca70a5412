"""A database that is there, with what opens it: for everything that works on whole files or on headers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ..errors import KeyRequiredError, make
from ..files.paths import StrPath, existing_file
from .identity import UuidLike, inspect_as, resolve_uuid
from .kdf import KdfLimit, resolve_limit
from .key import Hidden, Key, KeyLike
from .unlocking import Unlocked, environment_key, unlocked


@dataclass(frozen=True, slots=True)
class Source:
    """An existing database. What its header says decides nothing here: the engine refuses a key that it
    takes not."""

    #: With links resolved.
    path: str
    #: None: none was given, from any source, or it was said that none is meant.
    key: Key | None
    #: Which database it has to be.
    uuid: UUID | None
    _limit: KdfLimit | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        path: StrPath,
        key: KeyLike | Hidden | None,
        *,
        kdf_limit: KdfLimit | None = None,
        uuid: UuidLike | None = None,
        key_path: str | None = None,
    ) -> Source:
        """``key`` is what the caller gave; without it the key is that of :func:`lumocrypt.unlock` for
        this name, or of ``LUMO_KEY``. ``key_path`` is where a key that is kept elsewhere finds its
        keyslot, if not in the database.

        Raises what :func:`existing_file` and :meth:`Hidden.key` raise, WrongDatabaseError before a service is
        asked for a key, ValueError for a malformed ``LUMO_KEY`` or UUID.
        """
        hidden = Hidden(key)
        del key
        wanted = resolve_uuid(uuid)
        real = existing_file(path)
        known = unlocked(path)
        wanted = wanted or (known.uuid if known is not None else None)
        if hidden.remote() is not None:
            inspect_as(key_path or real, wanted)
        return cls(real, _key(hidden, key_path or real, known), wanted, kdf_limit)

    @property
    def kdf_limit(self) -> dict[str, int] | None:
        """The limits on key derivation, as the engine takes them."""
        return resolve_limit(self._limit)

    @property
    def number(self) -> int:
        """The engine's number of the key, 0 for none."""
        return 0 if self.key is None else self.key.number

    @property
    def options(self) -> dict[str, Any]:
        """The engine's options."""
        uuid = None if self.uuid is None else self.uuid.hex
        return {"kdf_limit": self.kdf_limit, "uuid": uuid, "no_key": self.key is None or None}

    def required_key(self) -> Key:
        """The key, for what cannot be done without. Raises KeyRequiredError."""
        if self.key is None:
            raise make(
                KeyRequiredError,
                "a key is required; give key=, call lumocrypt.unlock(path, key) first, or set LUMO_KEY",
                path=self.path,
            )
        return self.key


def _key(hidden: Hidden, path: str, known: Unlocked | None) -> Key | None:
    if hidden.none_is_meant:
        return None
    given = hidden.key(path)
    if given is not None:
        return given
    return known.key if known is not None else environment_key()

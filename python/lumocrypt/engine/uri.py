"""Builds the URI under which SQLite opens a database.

SQLite sees ``file:<path>?<the caller's parameters>&vfs=lumocrypt&lumo_handle=<random>``; see
https://sqlite.org/uri.html for the syntax, of which this module follows ``sqlite3ParseUri``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal
from urllib.parse import quote, unquote_to_bytes
from uuid import UUID

Database = str | bytes | os.PathLike[str] | os.PathLike[bytes]


@dataclass(frozen=True, slots=True)
class Target:
    """What a caller asked to open."""

    kind: Literal["file", "memory", "temporary"]
    #: Percent-encoded, as it stands between ``file:`` and ``?``.
    location: str
    #: Percent-encoded name and value of each parameter that SQLite is to see, but ``vfs``.
    parameters: tuple[tuple[str, str], ...] = ()
    #: The VFS that the caller named.
    vfs: str | None = None
    #: That of the database that is meant (``lumo_uuid=``).
    uuid: UUID | None = None
    #: The text of ``lumo_key=``. Never part of the URI that is built, nor of a repr.
    key_text: str | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """The path in the file system."""
        location = self.location
        if location.startswith("//"):
            # file://<authority>/<path>; SQLite refuses authorities other than "" and "localhost".
            location = "/" + location[2:].partition("/")[2]
        return os.fsdecode(unquote_to_bytes(location))

    @property
    def shares_cache(self) -> bool:
        """Whether SQLite may serve the connection from another one's cache, without opening a file."""
        return "shared" in self._values("cache")

    @property
    def creates(self) -> bool:
        """Whether SQLite would create a file that is absent."""
        return set(self._values("mode")) <= {"rwc"} and self.uuid is None

    def _values(self, wanted: str) -> list[str]:
        """The values of a parameter, as SQLite reads them."""
        return [_decoded(value) for name, value in self.parameters if _decoded(name) == wanted]

    def build(self, vfs: str | None, **parameters: str) -> str:
        """The URI, through ``vfs`` (None: SQLite's default), with more parameters.

        Unless it says otherwise, the connection's cache is its own, also where SQLite was told to share all.
        """
        pairs = [*self.parameters, *parameters.items()]
        if self.kind == "file" and "cache" not in parameters and not self._values("cache"):
            pairs.append(("cache", "private"))
        if self.uuid is not None:
            pairs.append(("lumo_uuid", self.uuid.hex))
        if vfs is not None:
            pairs.append(("vfs", _encode_name(vfs)))
        return f"file:{self.location}?" + "&".join(f"{name}={value}" for name, value in pairs)


def parse(database: Database, *, uri: bool) -> Target:
    """Reads what was given as ``database``; ``uri`` says whether ``file:...`` is a URI, as for sqlite3.

    Raises TypeError for another type, ValueError for an embedded NUL or a malformed ``lumo_key``.
    """
    try:
        name = os.fsdecode(database)
    except TypeError:
        raise TypeError(
            f"database must be a str, bytes or os.PathLike object, not {type(database).__name__}"
        ) from None
    if "\0" in name:
        raise ValueError("embedded null character")
    if uri and name.startswith("file:"):
        return _parse_uri(name)
    if name == "":
        return Target("temporary", "")
    if name == ":memory:":
        return Target("memory", name)
    return Target("file", encode_path(name))


@lru_cache(maxsize=64)
def encode_path(path: str) -> str:
    """A path as it stands in a URI: ``?``, ``#`` and ``%`` are escaped, and so are bytes beyond ASCII."""
    encoded = quote(os.fsencode(path), safe="/:")
    # file:/a would do, but file://a would be read as a host name.
    return "//" + encoded if path.startswith("/") else encoded


@lru_cache(maxsize=64)
def _encode_name(vfs: str) -> str:
    return quote(vfs)


#: Parameters of which SQLite would take one where there are two. Of ours the engine takes none.
_ONCE = frozenset({"vfs", "mode", "cache", "immutable"})


def _parse_uri(name: str) -> Target:
    # The fragment ends the URI; everything before "?" is the path.
    location, _, query = name.removeprefix("file:").partition("#")[0].partition("?")
    taken: dict[str, str] = {}
    kept: list[tuple[str, str]] = []
    for part in query.split("&"):
        if not part:
            continue
        raw_name, _, raw_value = part.partition("=")
        decoded = _decoded(raw_name)
        if decoded == "lumo_handle":
            raise ValueError("lumo_handle is set by lumocrypt itself")
        if decoded in _ONCE or decoded.startswith("lumo_"):
            if decoded in taken:
                raise ValueError(f"{decoded} is twice in the URI; give it once")
            taken[decoded] = raw_value
        if decoded not in ("lumo_key", "lumo_uuid", "vfs"):
            kept.append((raw_name, raw_value))
    vfs = _decoded(taken["vfs"]) if "vfs" in taken else None
    uuid = _parse_uuid(_decoded(taken["lumo_uuid"])) if "lumo_uuid" in taken else None
    key_text = _decode_key(taken["lumo_key"]) if "lumo_key" in taken else None
    path = unquote_to_bytes(location)
    kind: Literal["file", "memory", "temporary"] = "file"
    if path == b":memory:" or _decoded(taken.get("mode", "")) == "memory" or vfs == "memdb":
        kind = "memory"
    elif path == b"":
        kind = "temporary"
    return Target(kind, location, tuple(kept), vfs, uuid, key_text)


def _decoded(raw: str) -> str:
    """A name or a value as SQLite reads it: up to a NUL, which it skips with what follows."""
    return os.fsdecode(unquote_to_bytes(raw).partition(b"\0")[0])


def _parse_uuid(text: str) -> UUID:
    try:
        return UUID(hex=text.replace("-", ""))
    except ValueError:
        raise ValueError(
            f"lumo_uuid={text!r} is not a UUID: give its 32 hexadecimal digits, with or without dashes"
        ) from None


def _decode_key(raw: str) -> str:
    try:
        return unquote_to_bytes(raw).partition(b"\0")[0].decode("utf-8")
    except UnicodeDecodeError:
        pass
    # Raised out here because the original exception, which carries the text, would be this one's context.
    raise ValueError("lumo_key is not UTF-8")

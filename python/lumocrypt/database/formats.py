"""What a database can be converted from and to: plaintext, lumocrypt's own format, and gosqlite's."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import Any, Literal

from ..engine import native
from ..engine.registration import stdlib_host
from ..engine.uri import parse
from ..foreign.derivation import key_length
from ..foreign.gosqlite import crypto_vfs
from ..keys.inspection import inspect
from ..keys.key import Hidden, Key
from ..opening.connection import handle_uri
from ..opening.contentcheck import Open
from .quiesce import LOCK_WAIT

#: docs/reference/format.md and docs/reference/gosqlite.md.
Format = Literal["lumocrypt", "gosqlite"]
NATIVE: Literal["lumocrypt"] = "lumocrypt"
GOSQLITE: Literal["gosqlite"] = "gosqlite"
#: What gosqlite uses unless it is told otherwise.
DEFAULT_GOSQLITE_CIPHER = "adiantum"


def plain_connection(uri: str) -> sqlite3.Connection:
    """A connection in autocommit mode that does not wait long for locks."""
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=LOCK_WAIT)


class Side(ABC):
    """How one of the two files of a conversion is stored."""

    #: The engine's options (docs/reference/c-abi.md, ``lumo_convert_file``).
    options: dict[str, Any]
    #: The engine's number of the key, 0 for none.
    number = 0
    #: The bytes of the key where the engine does not keep it.
    secret: native.Secret | None = None
    #: Whether anybody who has the file can read it.
    clear = False

    @contextlib.contextmanager
    def opener(self, path: str) -> Generator[Open, None, None]:
        """Opens connections to ``path`` that take SQLite's locks and recover what a crash left."""
        mode = "rw" if os.access(path, os.W_OK) else "ro"
        with self._uris(path, mode=mode, cache="private") as uri:
            yield lambda: plain_connection(uri())

    @contextlib.contextmanager
    def reader(self, path: str) -> Generator[Open, None, None]:
        """Opens connections to a complete file that nobody else knows of."""
        with self._uris(path, mode="ro", cache="private", immutable="1") as uri:
            yield lambda: plain_connection(uri())

    @abstractmethod
    def cipher_of(self, path: str) -> str:
        """The cipher of a file in this format, empty for none."""

    @abstractmethod
    def _uris(self, path: str, **parameters: str) -> contextlib.AbstractContextManager[Callable[[], str]]:
        """Makes a URI for each connection."""


class Plain(Side):
    """As SQLite writes it."""

    options = {"format": "plain"}  # noqa: RUF012
    clear = True

    def cipher_of(self, path: str) -> str:  # noqa: ARG002
        return ""

    @contextlib.contextmanager
    def _uris(self, path: str, **parameters: str) -> Generator[Callable[[], str], None, None]:
        # By name: lumocrypt.install() may have made ours the default.
        uri = parse(path, uri=False).build(stdlib_host().base_vfs, **parameters)
        yield lambda: uri


class Native(Side):
    """lumocrypt's own format."""

    def __init__(self, key: Key | None, options: dict[str, Any]) -> None:
        self._key = key
        self._open_options = options
        self.options = {"format": NATIVE, **options}
        self.number = 0 if key is None else key.number
        self.clear = key is None

    def cipher_of(self, path: str) -> str:
        return inspect(path).cipher

    @contextlib.contextmanager
    def _uris(self, path: str, **parameters: str) -> Generator[Callable[[], str], None, None]:
        wanted = {name: self._open_options.get(name) for name in ("kdf_limit", "uuid")}
        # What the process knows was looked for already, and a result takes what it was given.
        wanted["no_key"] = self._key is None or None
        yield lambda: handle_uri(path, self._key, wanted, **parameters)


class Gosqlite(Side):
    """What gosqlite's ``vfs/crypto`` writes."""

    def __init__(self, hidden: Hidden, cipher: str | None, page_size: int | None) -> None:
        """Raises TypeError for a key that is not bytes, ValueError for one that is not the cipher's."""
        self._cipher = cipher or DEFAULT_GOSQLITE_CIPHER
        length = key_length(self._cipher)
        self.secret = native.Secret(hidden.sized(length, f"a key for {self._cipher}"))
        self.options = {"format": GOSQLITE, "cipher": self._cipher, "page_size": page_size}

    def cipher_of(self, path: str) -> str:  # noqa: ARG002
        return self._cipher

    @contextlib.contextmanager
    def _uris(self, path: str, **parameters: str) -> Generator[Callable[[], str], None, None]:
        assert self.secret is not None
        page_size = native.gosqlite_page_size(stdlib_host().number, path, self.options, self.secret)
        with crypto_vfs(self.secret.view(), self._cipher, page_size) as vfs:
            uri = parse(path, uri=False).build(vfs.name, **parameters)
            yield lambda: uri

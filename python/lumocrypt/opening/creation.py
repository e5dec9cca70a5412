"""New databases whose key is kept elsewhere.

Such a key is wrapped for one database, by its UUID and key id. The engine, which draws both when it makes a
database, is given them here; and the database gets its header at once and under its own name only when it is
complete, so that of several processes that make it at the same time one wins, and all use the winner's key.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import Any

from ..engine import native
from ..files.newfile import NewFile
from ..files.paths import absolute, refuse_existing
from ..keys.key import Hidden, Key

#: Bytes of a UUID and of a key id.
_ID_BYTES = 16


def new_key(hidden: Hidden) -> tuple[Key | None, dict[str, Any]]:
    """The key of a database that is about to be made, and the engine's options that go with it.

    Raises what :meth:`Hidden.key` and :meth:`RemoteKey.wrap` raise.
    """
    remote = hidden.remote()
    if remote is None:
        return hidden.key(), {}
    uuid, key_id = secrets.token_bytes(_ID_BYTES), secrets.token_bytes(_ID_BYTES)
    wrapped = remote.wrap(uuid, key_id)
    identity = {"uuid": uuid.hex(), "key_id": key_id.hex(), "provider": wrapped.provider.hex()}
    return wrapped.key, {"kms": identity}


def opening_key(hidden: Hidden, path: str, options: dict[str, Any], *, create: bool = True) -> Key | None:
    """The key for opening ``path``.

    If it is kept elsewhere, a database that does not exist is made, readable by its owner only; unless
    ``create``: there is no key then. ``options`` are the engine's. Raises what :meth:`Hidden.key` raises,
    FileExistsError for a log without its database.
    """
    if hidden.remote() is None:
        return hidden.key()
    path = absolute(path)
    if not os.path.lexists(path):
        if not create:
            return None
        refuse_existing(path)
        _make(hidden, path, options)
    return hidden.key(path)


def _make(hidden: Hidden, path: str, options: dict[str, Any]) -> None:
    with NewFile(path) as new:
        key, identity = new_key(hidden)
        native.create_file(new.descriptor, 0 if key is None else key.number, {**options, **identity})
        with contextlib.suppress(FileExistsError):
            new.get_name()

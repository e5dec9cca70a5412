"""Keys in the system's keyring, through the package ``keyring``."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import CryptError, KeySourceError, make

_EXTRA = "lumocrypt[keyring]"


def get(service: str, user: str) -> str:
    """The text that the keyring holds for a service and a user.

    Raises KeySourceError if there is none, no keyring, or no package to reach it with.
    """
    try:
        store: Any = importlib.import_module("keyring")
    except ImportError as error:
        raise make(
            KeySourceError, f"keys in a keyring need the package keyring: pip install '{_EXTRA}'"
        ) from error
    try:
        text = store.get_password(service, user)
    except Exception as error:
        # Backends raise what the libraries below them raise, D-Bus's for one.
        raise unusable(service, user, str(error) or type(error).__name__) from error
    if text is None:
        raise make(
            KeySourceError,
            f"the keyring has no key for service {service!r} and user {user!r}; "
            f"`keyring set {service} {user}` stores one",
        )
    return text


def unusable(service: str, user: str, reason: str) -> CryptError:
    """A KeySourceError that names the entry."""
    message = f"the key of service {service!r} and user {user!r} in the keyring cannot be used: {reason}"
    return make(KeySourceError, message)

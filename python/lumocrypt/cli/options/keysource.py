"""Where the command line takes its keys from. Never from an argument: arguments are public in ``ps``.

A command has a key that opens the database and may have another one that is to open it from now on. Both come
from the same kinds of source (:mod:`lumocrypt.cli.options.keys`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from ...errors import CryptError, HeaderDamagedError, KeySourceError, NotEncryptedError, make
from ...files.paths import existing_file
from ...keys import kdf, keyring
from ...keys.identity import inspect_as, resolve_uuid
from ...keys.key import KEYRING_USER, NO_KEY, Hidden, Key, NoKey, RemoteKey
from ...keys.kms import KmsKey
from ...keys.textsource import bare
from ...opening.connection import CHECKSUM
from . import keytext
from .environment import KeyEnvironment, Role


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the command line said that one of the keys is."""

    role: Role
    environment: KeyEnvironment
    descriptor: int | None = None
    file: str | None = None
    keyring: str | None = None
    kms: str | None = None
    #: The command line said that no key is meant.
    no_key: bool = False
    #: Which database is meant, by its UUID.
    uuid: str | None = None
    #: Limits on what keyslots' Argon2id may cost; None are those of LUMO_KDF_LIMIT, or the engine's.
    kdf_limit: kdf.KdfLimit | None = None

    @property
    def named(self) -> bool:
        """Whether an option names a source."""
        return any(place is not None for place in (self.descriptor, self.file, self.keyring, self.kms))

    @property
    def given(self) -> bool:
        """Whether there is a key without asking a person."""
        return self.named or self.environment.texts.get(self.role.variable) is not None

    def obtain(self, *, new: bool = False) -> Key | RemoteKey:
        """The key from the source that was named, else from the environment, else from a prompt.

        ``new`` says that the key is to open the database from now on, and asks twice at the prompt. Raises
        KeySourceError if the source has no usable key.
        """
        if self.no_key:
            raise make(KeySourceError, "--no-key was given, and this needs a key")
        if self.keyring is not None:
            service, user = split_keyring(self.keyring)
            return Key.from_keyring(service, user)
        if self.kms is not None:
            return KmsKey(self.kms)
        return keytext.parse(*self._read(new))

    def opening(self, file: str, *, header: str | None = None) -> dict[str, Any]:
        """The arguments of a function that takes a database and opens it. Raises as :meth:`existing`."""
        key = self.existing(file, header=header)
        return {"key": key, "kdf_limit": self.kdf_limit, "uuid": self.uuid}

    def existing(self, file: str, *, header: str | None = None) -> Key | RemoteKey | NoKey:
        """The key that opens the database ``file``, if that is the one that is meant.

        The file has to be a database before anybody is asked for a key. But whether one is wanted it does
        not decide, since nothing that it says is authenticated: one that takes none is refused unless the
        command line says so, or nobody has given a key or could be asked for one. ``header``: the file
        whose header is meant.

        Raises NotEncryptedError, WrongDatabaseError, KeySourceError, and what :func:`lumocrypt.info` raises.
        """
        path = existing_file(header or file)
        try:
            cipher = inspect_as(path, resolve_uuid(self.uuid)).cipher
        except HeaderDamagedError:
            # Of a backup there are better words for it, and so is with one sound copy to come back to.
            if header is None:
                raise
            cipher = ""
        if self.no_key:
            return NO_KEY
        if cipher == CHECKSUM:
            if not self.given and not keytext.has_terminal():
                return NO_KEY
            raise self.not_taken(path)
        return self.obtain()

    def of_new(self, path: str, cipher: str | None) -> Key | RemoteKey | NoKey:
        """The key of a database that is to be made with ``cipher``, of the one at ``path``.

        Raises KeySourceError; for the checksum cipher NotEncryptedError if there is a key, UsageError if an
        option names one.
        """
        if cipher != CHECKSUM:
            return self.obtain(new=True)
        if self.named:
            raise click.UsageError("the checksum cipher takes no key; leave its option out")
        if self.given and not self.no_key:
            raise self.not_taken(path)
        return NO_KEY

    def not_taken(self, path: str) -> CryptError:
        """The error for a key, given or about to be, and a file that takes none."""
        return make(
            NotEncryptedError,
            "a key is meant for this file, but it is only checksummed and takes none; if that is expected, "
            "say so with --no-key",
            path=path,
        )

    def text(self, *, new: bool = False) -> Hidden:
        """The text of a key that is for another program's format, from the same sources.

        Raises KeySourceError, for a key-management service too, which gives out none.
        """
        if self.no_key:
            raise make(KeySourceError, "--no-key was given, and this needs a key")
        if self.kms is not None:
            raise make(
                KeySourceError,
                f"{self.role.option('kms')} unwraps keys of lumocrypt's own format only; name another source",
            )
        if self.keyring is not None:
            return Hidden(keyring.get(*split_keyring(self.keyring)))
        return Hidden(self._read(new)[0])

    def _read(self, new: bool) -> tuple[str, str]:
        """The text, and what messages call the place that it came from."""
        if self.descriptor is not None:
            name = keytext.descriptor_name(self.descriptor)
            return keytext.decode(self.environment.read(self.descriptor, self.role), name), name
        if self.file is not None:
            return keytext.decode(keytext.read_file(self.file), self.file), self.file
        text = self.environment.texts.get(self.role.variable)
        if text is not None:
            return bare(text), self.role.variable
        if not keytext.has_terminal():
            role = self.role
            raise make(
                KeySourceError,
                f"no {role.noun} was given and there is no terminal to ask on; "
                f"use {role.option('key-file')}, {role.option('key-fd')} or {role.option('key-stdin')}, "
                f"or set {role.variable}",
            )
        return keytext.ask_text(new=new), "the terminal"


def split_keyring(name: str) -> tuple[str, str]:
    """``SERVICE[/USER]`` as service and user; what stands behind the last slash is the user."""
    service, slash, user = name.rpartition("/")
    return (service, user) if slash else (name, KEYRING_USER)

"""Where the command line takes its keys from. Never from an argument: arguments are public in ``ps``.

A command has a key that opens the database (:func:`key_options`) and may have another one that is to open it
from now on (:func:`new_key_options`). Both come from the same kinds of source.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from ..errors import CryptError, HeaderDamagedError, KeySourceError, NotEncryptedError, make
from ..files.paths import existing_file
from ..keys import kdf, keyring
from ..keys.identity import inspect_as, resolve_uuid
from ..keys.key import ENVIRONMENT_VARIABLE, KEYRING_USER, NO_KEY, Hidden, Key, NoKey, RemoteKey
from ..keys.kms import KmsKey
from ..keys.textsource import bare
from ..opening.connection import CHECKSUM
from . import keytext

#: The environment variable that holds the new key of a command with two.
NEW_ENVIRONMENT_VARIABLE = "LUMO_NEW_KEY"


@dataclass(frozen=True, slots=True)
class _Role:
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


_EXISTING = _Role("", "key_source", ENVIRONMENT_VARIABLE, "key")
_NEW = _Role("new-", "new_key_source", NEW_ENVIRONMENT_VARIABLE, "new key")
_ROLES = (_EXISTING, _NEW)
_KINDS = ("key-fd", "key-stdin", "key-file", "keyring", "kms")


@dataclass(slots=True)
class KeyEnvironment:
    """What the keys of one run share: environment variables, and descriptors that name two of them.

    The variables are taken out of the environment so that no child process inherits them.
    """

    texts: Mapping[str, str] = field(repr=False)
    _shared: dict[int, list[_Role]] = field(default_factory=dict[int, list[_Role]], repr=False)
    _lines: dict[int, list[bytes]] = field(default_factory=dict[int, list[bytes]], repr=False)

    @classmethod
    def take(cls) -> KeyEnvironment:
        """Removes the variables and keeps their texts. An empty one counts as not set."""
        texts = {role.variable: os.environ.pop(role.variable, "") for role in _ROLES}
        return cls({name: text for name, text in texts.items() if text})

    def names(self, descriptor: int, role: _Role) -> None:
        """Says that a key comes from a descriptor."""
        self._shared.setdefault(descriptor, []).append(role)

    def read(self, descriptor: int, role: _Role) -> bytes:
        """What a descriptor holds for a key: everything, or a line if both keys come from it.

        Raises KeySourceError if it cannot be read or has not a line for each.
        """
        if len(self._shared.get(descriptor, ())) < len(_ROLES):
            return keytext.read_descriptor(descriptor)
        if descriptor not in self._lines:
            text = keytext.read_descriptor(descriptor, lines=len(_ROLES))
            lines = text.split(b"\n")
            if lines[-1] == b"":
                lines.pop()
            if len(lines) != len(_ROLES):
                raise make(
                    KeySourceError,
                    f"both keys are to come from {keytext.descriptor_name(descriptor)}: give two lines, the "
                    f"key and then the new key, and not {len(lines)}",
                )
            self._lines[descriptor] = lines
        return self._lines[descriptor][_ROLES.index(role)] + b"\n"


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the command line said that one of the keys is."""

    role: _Role
    environment: KeyEnvironment
    descriptor: int | None = None
    file: str | None = None
    keyring: str | None = None
    kms: str | None = None
    #: The command line said that no key is meant.
    no_key: bool = False
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

    def existing(
        self, file: str, uuid: str | None = None, *, header: str | None = None
    ) -> Key | RemoteKey | NoKey:
        """The key that opens the database ``file``, which has the UUID ``uuid`` if one is given.

        The file has to be a database before anybody is asked for a key. But whether one is wanted it does
        not decide, since nothing that it says is authenticated: one that takes none is refused unless the
        command line says so, or nobody has given a key or could be asked for one. ``header``: the file
        whose header is meant.

        Raises NotEncryptedError, WrongDatabaseError, KeySourceError, and what :func:`lumocrypt.info` raises.
        """
        path = existing_file(header or file)
        try:
            cipher = inspect_as(path, resolve_uuid(uuid)).cipher
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

    def of_checksum(self, path: str) -> NoKey:
        """The key of a database that is to be made with the checksum cipher. Raises NotEncryptedError if
        there is one, UsageError if an option names one."""
        if self.named:
            raise click.UsageError("the checksum suite takes no key")
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


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options for the key that opens the database, as ``key_source``; and ``--kdf-limit``."""
    limit = click.option(
        "--kdf-limit",
        metavar="t=N,m=KIB,p=N,work=KIB",
        help="What a header may ask for to try a passphrase; more is for files that you trust. Default: "
        "LUMO_KDF_LIMIT, else t=64,m=1048576,p=64,work=8388608.",
    )
    no_key = click.option("--no-key", is_flag=True, help="No key is meant: the database is only checksummed.")
    return limit(no_key(_options(command, _EXISTING)))


#: The option that says which database is meant.
uuid_option = click.option(
    "--uuid",
    metavar="UUID",
    help="Accept only the database with this UUID, which `lumocrypt info` shows.",
)


def new_key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options for the key that is to open the database from now on, as ``new_key_source``."""
    return _options(command, _NEW)


def _options(command: Callable[..., Any], role: _Role) -> Callable[..., Any]:
    @click.pass_obj
    @functools.wraps(command)
    def gather(environment: KeyEnvironment, *arguments: Any, **options: Any) -> Any:
        given = {kind: options.pop((role.prefix + kind).replace("-", "_")) for kind in _KINDS}
        limit = options.pop("kdf_limit", None) if role is _EXISTING else None
        no_key = options.pop("no_key", False) if role is _EXISTING else False
        source = _source(role, environment, given, limit, no_key=no_key)
        return command(*arguments, **{role.parameter: source}, **options)

    decorated: Callable[..., Any] = gather
    for option in reversed(_click_options(role)):
        decorated = option(decorated)
    return decorated


def _click_options(role: _Role) -> list[Callable[..., Any]]:
    noun = role.noun
    return [
        click.option(
            role.option("key-fd"),
            type=click.IntRange(min=0),
            metavar="N",
            help=f"Read the {noun} from descriptor N.",
        ),
        click.option(role.option("key-stdin"), is_flag=True, help=f"Read the {noun} from standard input."),
        click.option(
            role.option("key-file"),
            metavar="PATH",
            help=f"Read the {noun} from a file ('-': standard input).",
        ),
        click.option(
            role.option("keyring"),
            metavar="SERVICE[/USER]",
            help=f"Take the {noun} from the system's keyring; the user is {KEYRING_USER!r} by default.",
        ),
        click.option(role.option("kms"), metavar="ARN", help=f"Let the AWS KMS key ARN unwrap the {noun}."),
    ]


def _source(
    role: _Role, environment: KeyEnvironment, given: dict[str, Any], limit: str | None, *, no_key: bool
) -> KeySource:
    # Descriptor 0 is a source, too.
    named = [kind for kind in _KINDS if given[kind] is not None and given[kind] is not False]
    if len(named) > 1:
        *most, last = (role.option(kind) for kind in _KINDS)
        raise click.UsageError(f"give one of {', '.join(most)} and {last}")
    if no_key and named:
        raise click.UsageError("--no-key and the source of a key exclude each other")
    descriptor, file = given["key-fd"], given["key-file"]
    if given["key-stdin"] or file == "-":
        descriptor, file = keytext.STDIN, None
    if descriptor is not None:
        environment.names(descriptor, role)
    try:
        caps = None if limit is None else kdf.parse_limit(limit)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return KeySource(role, environment, descriptor, file, given["keyring"], given["kms"], no_key, caps)

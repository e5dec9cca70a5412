"""The options that say where keys come from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from ...keys import kdf
from ...keys.key import KEYRING_USER
from . import keytext
from .common import uuid_option
from .environment import EXISTING, NEW, KeyEnvironment, Role
from .keysource import KeySource

_KINDS = ("key-fd", "key-stdin", "key-file", "keyring", "kms")


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options for the key of a file that is no database yet, as ``key_source``."""
    limit = click.option(
        "--kdf-limit",
        metavar="t=N,m=KIB,p=N,work=KIB",
        help="what a header may ask for to try a passphrase; more is for files that you trust; default: "
        "LUMO_KDF_LIMIT, else t=64,m=1048576,p=64,work=8388608",
    )
    no_key = click.option("--no-key", is_flag=True, help="no key is meant: the database is only checksummed")
    return limit(no_key(_options(command, EXISTING)))


def database_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what says which database is meant and what opens it, as ``key_source``."""
    return uuid_option(key_options(command))


def new_key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options for the key that is to open the database from now on, as ``new_key_source``."""
    return _options(command, NEW)


def _options(command: Callable[..., Any], role: Role) -> Callable[..., Any]:
    @click.pass_obj
    @functools.wraps(command)
    def gather(environment: KeyEnvironment, *arguments: Any, **options: Any) -> Any:
        given = {kind: options.pop((role.prefix + kind).replace("-", "_")) for kind in _KINDS}
        limit = options.pop("kdf_limit", None) if role is EXISTING else None
        no_key = options.pop("no_key", False) if role is EXISTING else False
        uuid = options.pop("uuid", None) if role is EXISTING else None
        source = _source(role, environment, given, limit, no_key=no_key, uuid=uuid)
        return command(*arguments, **{role.parameter: source}, **options)

    decorated: Callable[..., Any] = gather
    for option in reversed(_click_options(role)):
        decorated = option(decorated)
    return decorated


def _click_options(role: Role) -> list[Callable[..., Any]]:
    noun = role.noun
    return [
        click.option(
            role.option("key-fd"),
            type=click.IntRange(min=0),
            metavar="N",
            help=f"read the {noun} from descriptor N",
        ),
        click.option(role.option("key-stdin"), is_flag=True, help=f"read the {noun} from standard input"),
        click.option(
            role.option("key-file"),
            metavar="PATH",
            help=f"read the {noun} from a file ('-': standard input)",
        ),
        click.option(
            role.option("keyring"),
            metavar="SERVICE[/USER]",
            help=f"take the {noun} from the system's keyring; the user is {KEYRING_USER!r} by default",
        ),
        click.option(role.option("kms"), metavar="ARN", help=f"let the AWS KMS key ARN unwrap the {noun}"),
    ]


def _source(
    role: Role,
    environment: KeyEnvironment,
    given: dict[str, Any],
    limit: str | None,
    *,
    no_key: bool,
    uuid: str | None,
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
    return KeySource(role, environment, descriptor, file, given["keyring"], given["kms"], no_key, uuid, caps)

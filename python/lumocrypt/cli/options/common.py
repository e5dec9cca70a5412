"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ...keys.kdf import DEFAULT, Kdf
from ...keys.kdf import parse as parse_kdf


class _Costs(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]
    """What a passphrase costs, as :mod:`lumocrypt.keys.kdf` has it."""

    name = "costs"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Kdf:
        if not isinstance(value, str):
            return value
        try:
            return parse_kdf(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_COSTS = _Costs()
_KDF_FORMS = "interactive, moderate, sensitive, or t=PASSES,m=KIB,p=LANES"


def kdf_option(what: str, default: str | None = DEFAULT) -> Callable[[Any], Any]:
    """``--kdf``: what a new passphrase costs, as ``kdf``. ``what`` begins its help."""
    return click.option(
        "--kdf",
        type=_COSTS,
        metavar="PROFILE",
        default=default,
        show_default=default is not None,
        help=f"{what}: {_KDF_FORMS}",
    )


def kdfs_option(what: str) -> Callable[[Any], Any]:
    """``--kdf``, repeatable, as ``kdfs``."""
    return click.option(
        "--kdf",
        "kdfs",
        type=_COSTS,
        multiple=True,
        metavar="PROFILE",
        help=f"{what}: {_KDF_FORMS}; repeatable",
    )


def cipher_option(what: str, name: str = "--cipher") -> Callable[[Any], Any]:
    """``--cipher``, or another one that names a cipher."""
    return click.option(name, metavar="NAME", help=what)


def block_size_option(what: str, **settings: Any) -> Callable[[Any], Any]:
    """``--block-size``."""
    return click.option("--block-size", type=int, metavar="BYTES", help=what, **settings)


#: ``--json``, as ``as_json``.
json_option = click.option("--json", "as_json", is_flag=True, help="print the result as JSON")

#: ``--uuid``: which database is meant.
uuid_option = click.option(
    "--uuid",
    metavar="UUID",
    help="accept only the database with this UUID, which `lumocrypt info` shows",
)

#: The two files of a command that reads one and writes another.
source_argument = click.argument("source", type=click.Path())
file_argument = click.argument("file", type=click.Path())


def destination_argument(*, required: bool = False) -> Callable[[Any], Any]:
    """Where the result goes."""
    return click.argument("destination", type=click.Path(), required=required)

"""``lumocrypt encrypt`` and ``lumocrypt decrypt``."""

from __future__ import annotations

import click

from .. import convert
from ..connection import CHECKSUM
from ..info import inspect
from ..kdf import parse as parse_kdf
from ..paths import existing_file
from .keysource import KeySource, key_options
from .output import print_json, progress_bar


def _report(verb: str, done: convert.Conversion) -> None:
    where = "in place" if done.source == done.destination else f"to {done.destination}"
    suite = f" with {done.cipher}" if done.cipher else ""
    sizes = f"{done.source_size:,} -> {done.destination_size:,} bytes"
    click.echo(f"{verb} {done.source} {where}{suite}: {sizes}")


@click.command()
@click.argument("source", type=click.Path())
@click.argument("destination", type=click.Path(), required=False)
@click.option("--cipher", metavar="NAME", help="The suite; `checksum` needs no key and only detects damage.")
@click.option(
    "--kdf",
    metavar="PROFILE",
    default="interactive",
    show_default=True,
    help="Cost of the passphrase: interactive, moderate, sensitive, or t=PASSES,m=KIB,p=LANES.",
)
@click.option("--block-size", type=int, metavar="BYTES", help="512 to 65536; default: the page size.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@key_options
def encrypt(
    source: str,
    destination: str | None,
    cipher: str | None,
    kdf: str,
    block_size: int | None,
    as_json: bool,
    key_source: KeySource,
) -> None:
    """Encrypt the plaintext database SOURCE, in place or to DESTINATION."""
    costs = parse_kdf(kdf)
    # Before the passphrase is asked for: a missing file should not cost anybody two prompts.
    existing_file(source)
    key = None
    if cipher != CHECKSUM:
        key = key_source.obtain(new=True)
    elif key_source.named:
        raise click.UsageError("the checksum suite takes no key")
    with progress_bar("encrypting", quiet=as_json) as progress:
        done = convert.encrypt(
            source,
            destination,
            key=key,
            cipher=cipher,
            kdf=costs,
            kdf_limit=key_source.kdf_limit,
            block_size=block_size,
            progress=progress,
        )
    if as_json:
        print_json(done, ok=True, operation="encrypt")
    else:
        _report("encrypted", done)


@click.command()
@click.argument("source", type=click.Path())
@click.argument("destination", type=click.Path(), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@key_options
def decrypt(
    source: str,
    destination: str | None,
    as_json: bool,
    key_source: KeySource,
) -> None:
    """Decrypt the database SOURCE, in place or to DESTINATION."""
    key = None
    if inspect(existing_file(source)).cipher != CHECKSUM:
        key = key_source.obtain()
    with progress_bar("decrypting", quiet=as_json) as progress:
        done = convert.decrypt(
            source, destination, key=key, kdf_limit=key_source.kdf_limit, progress=progress
        )
    if as_json:
        print_json(done, ok=True, operation="decrypt")
    else:
        _report("decrypted", done)

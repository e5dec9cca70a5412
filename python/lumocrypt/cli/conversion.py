"""``lumocrypt encrypt``, ``lumocrypt decrypt`` and ``lumocrypt convert``."""

from __future__ import annotations

import click

from ..database.convert import AnyKey, Conversion
from ..database.convert import convert as run_convert
from ..database.convert import decrypt as run_decrypt
from ..database.convert import encrypt as run_encrypt
from ..database.formats import GOSQLITE, NATIVE, Format
from ..files.paths import existing_file
from ..keys.kdf import DEFAULT
from ..keys.kdf import parse as parse_kdf
from ..opening.connection import CHECKSUM
from .gosqlitekey import format_option, gosqlite_key, salt_option
from .keysource import KeySource, key_options, new_key_options, uuid_option
from .output import print_json, progress_bar, say


def _report(verb: str, done: Conversion) -> None:
    where = "in place" if done.source == done.destination else f"to {done.destination}"
    suite = f" with {done.cipher}" if done.cipher else ""
    sizes = f"{done.source_size:,} -> {done.destination_size:,} bytes"
    say(f"{verb} {done.source} {where}{suite}: {sizes}")


@click.command()
@click.argument("source", type=click.Path())
@click.argument("destination", type=click.Path(), required=False)
@click.option("--cipher", metavar="NAME", help="The suite; `checksum` needs no key and only detects damage.")
@click.option(
    "--kdf",
    metavar="PROFILE",
    default=DEFAULT,
    show_default=True,
    help="Cost of the passphrase: interactive, moderate, sensitive, or t=PASSES,m=KIB,p=LANES.",
)
@click.option("--block-size", type=int, metavar="BYTES", help="512 to 65536; default: the page size.")
@format_option("--format", "file_format", default=NATIVE, show_default=True, help="The result's format.")
@click.option("--page-size", type=int, metavar="BYTES", help="For gosqlite; checked to be the database's.")
@salt_option("--salt")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@key_options
def encrypt(
    source: str,
    destination: str | None,
    cipher: str | None,
    kdf: str,
    block_size: int | None,
    file_format: Format,
    page_size: int | None,
    salt: str | None,
    as_json: bool,
    key_source: KeySource,
) -> None:
    """Encrypt the plaintext database SOURCE, in place or to DESTINATION."""
    costs = parse_kdf(kdf)
    # Before the passphrase is asked for: a missing file should not cost anybody two prompts.
    existing_file(source)
    key: AnyKey | None = None
    if file_format == GOSQLITE:
        key = gosqlite_key(key_source, cipher, salt, new=True)
    elif salt is not None:
        raise click.UsageError("--salt is for the gosqlite format; here the header holds one")
    else:
        key = key_source.of_checksum(source) if cipher == CHECKSUM else key_source.obtain(new=True)
    with progress_bar("encrypting", quiet=as_json) as progress:
        done = run_encrypt(
            source,
            destination,
            key=key,
            cipher=cipher,
            kdf=costs,
            kdf_limit=key_source.kdf_limit,
            block_size=block_size,
            format=file_format,
            page_size=page_size,
            progress=progress,
        )
    if as_json:
        print_json(done, ok=True, operation="encrypt")
    else:
        _report("encrypted", done)


@click.command()
@click.argument("source", type=click.Path())
@click.argument("destination", type=click.Path(), required=False)
@format_option("--format", "file_format", default=NATIVE, show_default=True, help="The format of SOURCE.")
@click.option("--cipher", metavar="NAME", help="The cipher of SOURCE, for gosqlite; default: adiantum.")
@click.option(
    "--page-size", type=int, metavar="BYTES", help="That of SOURCE, for gosqlite; default: found out."
)
@salt_option("--salt")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@uuid_option
@key_options
def decrypt(
    source: str,
    destination: str | None,
    file_format: Format,
    cipher: str | None,
    page_size: int | None,
    salt: str | None,
    as_json: bool,
    uuid: str | None,
    key_source: KeySource,
) -> None:
    """Decrypt the database SOURCE, in place or to DESTINATION."""
    key = _key_of(source, file_format, key_source, cipher, salt, uuid)
    with progress_bar("decrypting", quiet=as_json) as progress:
        done = run_decrypt(
            source,
            destination,
            key=key,
            kdf_limit=key_source.kdf_limit,
            uuid=uuid,
            format=file_format,
            cipher=cipher,
            page_size=page_size,
            progress=progress,
        )
    if as_json:
        print_json(done, ok=True, operation="decrypt")
    else:
        _report("decrypted", done)


@click.command()
@click.argument("source", type=click.Path())
@click.argument("destination", type=click.Path(), required=False)
@format_option("--from", "old_format", required=True, help="The format of SOURCE.")
@format_option("--to", "new_format", required=True, help="The format of the result.")
@click.option("--cipher", metavar="NAME", help="The cipher of SOURCE, for gosqlite; default: adiantum.")
@click.option(
    "--page-size", type=int, metavar="BYTES", help="That of SOURCE, for gosqlite; default: found out."
)
@salt_option("--salt")
@click.option("--new-cipher", metavar="NAME", help="The cipher of the result.")
@salt_option("--new-salt")
@click.option(
    "--kdf",
    metavar="PROFILE",
    default=DEFAULT,
    show_default=True,
    help="Cost of the result's passphrase, for lumocrypt's format, as for encrypt.",
)
@click.option("--block-size", type=int, metavar="BYTES", help="Of the result, for lumocrypt's format.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@uuid_option
@key_options
@new_key_options
def convert(
    source: str,
    destination: str | None,
    old_format: Format,
    new_format: Format,
    cipher: str | None,
    page_size: int | None,
    salt: str | None,
    new_cipher: str | None,
    new_salt: str | None,
    kdf: str,
    block_size: int | None,
    as_json: bool,
    uuid: str | None,
    key_source: KeySource,
    new_key_source: KeySource,
) -> None:
    """Move the encrypted database SOURCE to another format or key, in place or to DESTINATION.

    The key is that of SOURCE, the new key that of the result. Nothing is on disk in clear. To and from
    plaintext there are encrypt and decrypt, with --format gosqlite.
    """
    costs = parse_kdf(kdf)
    key = _key_of(source, old_format, key_source, cipher, salt, uuid)
    new_key: AnyKey | None = None
    if new_format == GOSQLITE:
        new_key = gosqlite_key(new_key_source, new_cipher, new_salt, new=True)
    elif new_salt is not None:
        raise click.UsageError("--new-salt is for the gosqlite format; here the header holds one")
    else:
        none = new_cipher == CHECKSUM
        new_key = new_key_source.of_checksum(source) if none else new_key_source.obtain(new=True)
    with progress_bar("converting", quiet=as_json) as progress:
        done = run_convert(
            source,
            destination,
            format=old_format,
            key=key,
            new_format=new_format,
            new_key=new_key,
            cipher=cipher,
            page_size=page_size,
            new_cipher=new_cipher,
            uuid=uuid,
            kdf=costs,
            kdf_limit=key_source.kdf_limit,
            block_size=block_size,
            progress=progress,
        )
    if as_json:
        print_json(done, ok=True, operation="convert")
    else:
        _report("converted", done)


def _key_of(
    source: str,
    file_format: Format,
    key_source: KeySource,
    cipher: str | None,
    salt: str | None,
    uuid: str | None,
) -> AnyKey | None:
    """The key that opens a source of a format."""
    existing_file(source)
    if file_format == GOSQLITE:
        return gosqlite_key(key_source, cipher, salt)
    if salt is not None:
        raise click.UsageError("--salt is for the gosqlite format; here the header holds one")
    return key_source.existing(source, uuid)

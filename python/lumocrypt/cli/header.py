"""``lumocrypt header backup`` and ``lumocrypt header restore``."""

from __future__ import annotations

import click

from ..database.header import backup_header, restore_header
from ..files.paths import existing_file
from .base import Group
from .options.common import file_argument, json_option, uuid_option
from .options.keys import database_options
from .options.keysource import KeySource
from .output import print_fields, print_json, say


@click.group(cls=Group)
def header() -> None:
    """Copy the header of a database, without which no key opens it, and put it back."""


@header.command()
@file_argument
@click.argument("path", type=click.Path())
@json_option
@uuid_option
def backup(file: str, path: str, as_json: bool, uuid: str | None) -> None:
    """Copy the header of FILE to the new file PATH. Needs no key.

    The keys that open FILE now open the copy, also after they have been removed: keep it safe.
    """
    target = backup_header(file, path, uuid=uuid)
    if as_json:
        print_fields(ok=True, path=existing_file(file), backup=target)
    else:
        say(f"{file}: header copied to {target}")


@header.command()
@file_argument
@click.argument("path", type=click.Path())
@json_option
@database_options
def restore(file: str, path: str, as_json: bool, key_source: KeySource) -> None:
    """Put the header in PATH, a backup, back into FILE. The key is one that opens the backup.

    A header of another database, or from before a change of the data key, is refused. The header that is
    there is kept next to FILE.
    """
    existing_file(file)
    done = restore_header(file, path, **key_source.opening(file, header=path))
    if as_json:
        print_json(done, ok=True)
        return
    say(f"{file}: header restored; {done.opened} of {done.tried} blocks that were tried open under it")
    say(f"what was there before is in {done.saved}")
    if done.new_cells:
        say("warning: the database no longer knows which WAL belonged to it; if there was one, it is lost")

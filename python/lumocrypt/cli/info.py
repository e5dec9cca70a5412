"""``lumocrypt info``."""

from __future__ import annotations

import click

from ..database.info import info as read_info
from .base import Command
from .options.common import file_argument, json_option, uuid_option
from .output import describe_keyslot, print_json, say


@click.command(cls=Command)
@file_argument
@json_option
@uuid_option
def info(file: str, as_json: bool, uuid: str | None) -> None:
    """Show what the header of FILE says. Needs no key."""
    found = read_info(file, uuid=uuid)
    if as_json:
        print_json(found, ok=True)
        return
    is_lmdb = found.contents == "lmdb"
    seen = "of them in pages" if is_lmdb else "of them as SQLite sees it"
    rows = {
        "file": found.path,
        "format": f"lumocrypt {found.version}" + (", an LMDB environment" if is_lmdb else ""),
        "uuid": str(found.uuid),
        "key id": found.key_id,
        "cipher": found.cipher,
        "page size" if is_lmdb else "block size": f"{found.block_size:,} bytes"
        + (f", {found.overhead} of them to protect it" if is_lmdb else f" + {found.overhead}"),
        "pages" if is_lmdb else "blocks": f"{found.blocks:,}",
        "size": f"{found.size:,} bytes, {found.logical_size:,} {seen}",
        "header": f"generation {found.generation}; "
        + ", ".join(f"copy {name.upper()} {state}" for name, state in found.copies.items()),
    }
    for name, value in rows.items():
        say(f"{name:<11} {value}")
    for slot in found.keyslots:
        say(f"{'keyslot ' + str(slot.index):<11} {describe_keyslot(slot)}")

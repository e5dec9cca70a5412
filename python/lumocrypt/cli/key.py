"""``lumocrypt key list``, ``add``, ``remove``, ``change`` and ``label``."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..database.keyslots import add_key, change_key, keyslots, label_key, remove_key
from ..files.paths import existing_file
from ..keys.inspection import Keyslot
from ..keys.kdf import Kdf
from .base import Group
from .options.common import file_argument, json_option, kdf_option, uuid_option
from .options.keys import database_options, new_key_options
from .options.keysource import KeySource
from .output import describe_keyslot, print_fields, print_json, say

_kdf_option = kdf_option("cost of a new passphrase")
_label_option = click.option("--label", metavar="TEXT", help="a name for people; readable without a key")
_slot_option = click.option(
    "--slot", type=int, metavar="N", help="the keyslot's number; default: the one that the key opens"
)


@click.group(cls=Group)
def key() -> None:
    """List and change the keys that open a database. Its data key stays the same.

    A copy of the database or of its header from before still opens with the keys of then.
    """


@key.command("list")
@file_argument
@json_option
@uuid_option
def list_(file: str, as_json: bool, uuid: str | None) -> None:
    """List the keyslots of FILE. Needs no key."""
    slots = keyslots(file, uuid=uuid)
    if as_json:
        print_fields(ok=True, path=existing_file(file), keyslots=[asdict(slot) for slot in slots])
        return
    for slot in slots:
        say(f"{slot.index:>2} {describe_keyslot(slot)}")


@key.command()
@file_argument
@_kdf_option
@_label_option
@json_option
@database_options
@new_key_options
def add(
    file: str,
    kdf: Kdf,
    label: str | None,
    as_json: bool,
    key_source: KeySource,
    new_key_source: KeySource,
) -> None:
    """Let one more key open FILE."""
    opening = key_source.opening(file)
    new = new_key_source.obtain(new=True)
    slot = add_key(file, **opening, new_key=new, kdf=kdf, label=label)
    _report("added", file, slot, as_json)


@key.command()
@file_argument
@_slot_option
@json_option
@database_options
def remove(file: str, slot: int | None, as_json: bool, key_source: KeySource) -> None:
    """Remove a keyslot of FILE; the last one stays."""
    removed = remove_key(file, slot=slot, **key_source.opening(file))
    if as_json:
        print_fields(ok=True, path=existing_file(file), removed=removed)
    else:
        say(f"{file}: removed keyslot {removed}; copies made before still open with its key")


@key.command()
@file_argument
@_kdf_option
@_label_option
@json_option
@database_options
@new_key_options
def change(
    file: str,
    kdf: Kdf,
    label: str | None,
    as_json: bool,
    key_source: KeySource,
    new_key_source: KeySource,
) -> None:
    """Replace a key of FILE by another one, in the same keyslot."""
    opening = key_source.opening(file)
    new = new_key_source.obtain(new=True)
    slot = change_key(file, **opening, new_key=new, kdf=kdf, label=label)
    _report("changed", file, slot, as_json)


@key.command()
@file_argument
@click.argument("text")
@_slot_option
@json_option
@database_options
def label(file: str, text: str, slot: int | None, as_json: bool, key_source: KeySource) -> None:
    """Label a keyslot of FILE with TEXT."""
    named = label_key(file, text, slot=slot, **key_source.opening(file))
    _report("labelled", file, named, as_json)


def _report(done: str, file: str, slot: Keyslot, as_json: bool) -> None:
    if as_json:
        print_json(slot, ok=True, path=existing_file(file))
    else:
        say(f"{file}: {done} keyslot {slot.index}: {describe_keyslot(slot)}")

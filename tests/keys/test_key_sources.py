"""Every source of a key, in every command and in both roles.

The table is made from the command line's own commands: one that is not in ``COMMANDS`` fails.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import keyring
import pytest
from sqlcipher3 import dbapi2 as sqlcipher

import lumocrypt
from lumocrypt import Key, KeySourceError, KmsKey, WrongKeyError
from lumocrypt.cli import cli, main
from support.keystores import Kms, MemoryKeyring, kms, memory_keyring
from support.known_keys import FAST
from support.operations import digest
from support.plaintext import make_plain
from support.terminal import on_terminal

__all__ = ["kms", "memory_keyring"]

# Raw keys: no derivation, so the whole table takes seconds.
OLD = f"x'{'1f' * 32}'"
NEW = f"x'{'2e' * 32}'"
WRONG = f"x'{'3d' * 32}'"
SPARE = f"x'{'4c' * 32}'"

EXISTING_ROLE, NEW_ROLE = "", "new-"
OPTIONS = ("key-fd", "key-stdin", "key-file", "keyring", "kms")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a test's files are."""

    folder: Path

    @property
    def database(self) -> Path:
        """What ``OLD`` opens, or what is to be encrypted."""
        return self.folder / "app.db"

    @property
    def other(self) -> Path:
        return self.folder / "other.db"

    @property
    def header(self) -> Path:
        return self.folder / "app.header"


Opens = Callable[[Any], bool]


@dataclasses.dataclass(frozen=True)
class Command:
    """A row: how a command is run on a database, and what it must have done."""

    arguments: Callable[[Place], list[object]]
    #: After it; ``new`` is the key of the command's last role.
    holds: Callable[[Place, Any], bool] = lambda place, new: True
    #: Whether the key opens a database. Otherwise it is that of a new one.
    existing: bool = True
    roles: tuple[str, ...] = (EXISTING_ROLE,)
    #: Encrypts the plaintext database, for what opens one.
    make: Callable[[Path, Any], object] = lambda path, key: lumocrypt.encrypt(path, key=key)
    #: Before the command, with the database and a key that opens it.
    prepare: Callable[[Place, Any], None] = lambda place, key: None


def opens(path: Path, key: Any) -> bool:
    """Whether a key opens a database."""
    try:
        return lumocrypt.verify(path, key=key).ok
    except WrongKeyError:
        return False


def is_plain(path: Path) -> bool:
    return path.read_bytes()[:6] == b"SQLite"


def backup_header(place: Place, key: Any) -> None:
    lumocrypt.backup_header(place.database, place.header)


def add_spare_key(place: Place, key: Any) -> None:
    lumocrypt.add_key(place.database, key=key, new_key=SPARE)


def encrypt_with_sqlcipher(path: Path, key: str) -> None:
    path.unlink()
    connection = sqlcipher.connect(str(path))
    connection.execute(f'PRAGMA key = "{key}"')
    connection.execute("CREATE TABLE t (a)")
    connection.close()


BOTH = (EXISTING_ROLE, NEW_ROLE)

#: Commands with a key. The others are in ``KEYLESS``.
COMMANDS: dict[str, Command] = {
    "encrypt": Command(
        lambda at: ["encrypt", at.database], lambda at, new: opens(at.database, new), existing=False
    ),
    "decrypt": Command(lambda at: ["decrypt", at.database, at.other], lambda at, new: is_plain(at.other)),
    "convert": Command(
        lambda at: ["convert", at.database, "--from", "lumocrypt", "--to", "lumocrypt"],
        lambda at, new: opens(at.database, new) and not opens(at.database, OLD),
        roles=BOTH,
    ),
    "verify": Command(lambda at: ["verify", at.database]),
    "salvage": Command(lambda at: ["salvage", at.database, at.other], lambda at, new: opens(at.other, new)),
    "key add": Command(
        lambda at: ["key", "add", at.database], lambda at, new: opens(at.database, new), roles=BOTH
    ),
    "key change": Command(
        lambda at: ["key", "change", at.database],
        lambda at, new: opens(at.database, new) and not opens(at.database, OLD),
        roles=BOTH,
    ),
    "rekey": Command(
        lambda at: ["rekey", at.database, "--change-key"],
        lambda at, new: opens(at.database, new) and not opens(at.database, OLD),
        roles=BOTH,
    ),
    "key remove": Command(
        lambda at: ["key", "remove", at.database],
        lambda at, new: not opens(at.database, new) and opens(at.database, SPARE),
        prepare=add_spare_key,
    ),
    "key label": Command(
        lambda at: ["key", "label", at.database, "safe 3"],
        lambda at, new: lumocrypt.keyslots(at.database)[0].label == "safe 3",
    ),
    "header restore": Command(
        lambda at: ["header", "restore", at.database, at.header],
        lambda at, new: opens(at.database, new),
        prepare=backup_header,
    ),
    "shell": Command(
        lambda at: ["shell", at.database, "CREATE TABLE made (a)"],
        lambda at, new: opens(at.database, new) and at.database.stat().st_size > 0,
    ),
    "import-sqlcipher": Command(
        lambda at: ["import-sqlcipher", at.database, at.other],
        lambda at, new: opens(at.other, new),
        roles=BOTH,
        make=encrypt_with_sqlcipher,
    ),
}
#: Those that open a database of another format, whose key no keyslot holds.
FOREIGN = {"import-sqlcipher"}
KEYLESS = {"info", "bench", "key list", "header backup"}


def leaves(group: click.Group = cli, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands that are no groups, by their whole names."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


ALL = dict(leaves())


OPENERS = [name for name, row in COMMANDS.items() if row.existing]
TWO_KEYS = [name for name, row in COMMANDS.items() if NEW_ROLE in row.roles]


def options_of(command: click.Command) -> set[str]:
    return {option.removeprefix("--") for parameter in command.params for option in parameter.opts}


def test_every_command_is_in_the_table() -> None:
    assert set(ALL) == set(COMMANDS) | KEYLESS


@pytest.mark.parametrize("name", ALL)
def test_a_command_has_all_sources_or_none(name: str) -> None:
    has = options_of(ALL[name])
    for role in BOTH:
        wanted = name in COMMANDS and role in COMMANDS[name].roles
        assert {option for option in OPTIONS if role + option in has} == set(OPTIONS if wanted else ()), role
    assert ("kdf-limit" in has) == (name in COMMANDS)


# A source is given a key's text, or for kms a KMS key, and says what is added to the command line.


class Sources:
    """The sources, and what has to be undone after their use."""

    def __init__(self, folder: Path, ring: MemoryKeyring, service: Kms, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self.ring = ring
        self.service = service
        self.stack = stack
        self.stdin = b""

    def give(self, source: str, role: str, text: str) -> list[object]:
        """The options with which a command finds a key at a source."""
        return getattr(self, source.replace("-", "_"))(role, text)

    def key_fd(self, role: str, text: str) -> list[object]:
        reading, writing = os.pipe()
        os.write(writing, text.encode())
        os.close(writing)
        self.stack.callback(os.close, reading)
        return [f"--{role}key-fd", reading]

    def key_stdin(self, role: str, text: str) -> list[object]:
        self.stdin += text.encode() + b"\n"
        return [f"--{role}key-stdin"]

    def key_file(self, role: str, text: str) -> list[object]:
        path = self.folder / f"{role}key"
        path.write_text(text + "\n")
        return [f"--{role}key-file", path]

    def key_file_dash(self, role: str, text: str) -> list[object]:
        self.stdin += text.encode() + b"\n"
        return [f"--{role}key-file", "-"]

    def keyring(self, role: str, text: str) -> list[object]:
        self.ring.set_password("app", f"{role}me", text)
        return [f"--{role}keyring", f"app/{role}me"]

    def environment(self, role: str, text: str) -> list[object]:
        name = "LUMO_NEW_KEY" if role else "LUMO_KEY"
        os.environ[name] = text
        self.stack.callback(os.environ.pop, name, None)
        return []

    def run(self, arguments: list[object]) -> tuple[int, str]:
        """Exit code, and what was written to standard error."""
        reading, writing = os.pipe()
        os.write(writing, self.stdin)
        os.close(writing)
        kept = os.dup(0)
        os.dup2(reading, 0)
        os.close(reading)
        errors = io.StringIO()
        try:
            with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
                return main([str(each) for each in arguments]), errors.getvalue()
        finally:
            os.dup2(kept, 0)
            os.close(kept)


TEXT_SOURCES = ("key-fd", "key-stdin", "key-file", "key-file-dash", "keyring", "environment")


@pytest.fixture
def sources(
    tmp_path: Path, memory_keyring: MemoryKeyring, kms: Kms, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sources]:
    monkeypatch.delenv("LUMO_NEW_KEY", raising=False)
    folder = tmp_path / "keys"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        yield Sources(folder, memory_keyring, kms, stack)


def place_for(name: str, folder: Path, key: Any = OLD) -> Place:
    """A database as the row wants it."""
    row = COMMANDS[name]
    place = Place(folder)
    make_plain(place.database, rows=5)
    if row.existing:
        row.make(place.database, key)
    row.prepare(place, key)
    return place


def rows_and_roles() -> list[tuple[str, str]]:
    return [(name, role) for name, row in COMMANDS.items() for role in row.roles]


@pytest.mark.parametrize("source", TEXT_SOURCES)
@pytest.mark.parametrize(("name", "role"), rows_and_roles())
def test_a_source(sources: Sources, tmp_path: Path, name: str, role: str, source: str) -> None:
    """The key is found; a wrong one at the same place is not good enough."""
    row = COMMANDS[name]
    place = place_for(name, tmp_path)
    texts = {EXISTING_ROLE: OLD, NEW_ROLE: NEW}
    given = sources.give(source, role, texts[role])
    for other in set(row.roles) - {role}:
        given += sources.give("key-file", other, texts[other])
    code, errors = sources.run([*row.arguments(place), *given])
    assert code == 0, errors
    assert row.holds(place, texts[row.roles[-1]])
    assert not {"LUMO_KEY", "LUMO_NEW_KEY"} & set(os.environ)


@pytest.mark.parametrize("source", TEXT_SOURCES)
@pytest.mark.parametrize("name", OPENERS)
def test_a_wrong_key_at_a_source(sources: Sources, tmp_path: Path, name: str, source: str) -> None:
    row = COMMANDS[name]
    place = place_for(name, tmp_path)
    before = place.database.read_bytes()
    given = sources.give(source, EXISTING_ROLE, WRONG)
    if NEW_ROLE in row.roles:
        given += sources.give("key-file", NEW_ROLE, NEW)
    code, errors = sources.run([*row.arguments(place), *given])
    assert code == 3, errors
    assert place.database.read_bytes() == before


def make_checksum(path: Path) -> None:
    path.unlink(missing_ok=True)
    make_plain(path, rows=5)
    lumocrypt.encrypt(path, key=None, cipher="checksum")


def swapped(name: str, folder: Path, kind: str) -> Place:
    """A database as the row wants it, in whose place somebody put one that takes no key."""
    place = place_for(name, folder)
    for path in [place.database, *([place.header] if place.header.exists() else [])]:
        path.unlink()
        if kind == "checksum":
            make_checksum(path)
        else:
            make_plain(path, rows=5)
    return place


@pytest.mark.parametrize(
    ("kind", "source"),
    [("checksum", source) for source in (*TEXT_SOURCES, "kms")]
    + [("plaintext", source) for source in ("key-file", "environment")],
)
@pytest.mark.parametrize("name", [name for name in OPENERS if name not in FOREIGN])
def test_a_key_for_a_file_that_takes_none(
    sources: Sources, tmp_path: Path, name: str, source: str, kind: str
) -> None:
    """From every source, in every command: an error, and nothing is read or written."""
    row = COMMANDS[name]
    place = swapped(name, tmp_path, kind)
    before = digest(tmp_path)
    if source == "kms":
        given: list[object] = ["--kms", sources.service.arn]
    else:
        given = sources.give(source, EXISTING_ROLE, OLD)
    if NEW_ROLE in row.roles:
        given += sources.give("key-file", NEW_ROLE, NEW)
    code, errors = sources.run([*row.arguments(place), *given])
    assert code == 1, errors
    assert "encrypt" in errors or "takes none" in errors or "checksum" in errors
    assert digest(tmp_path) == before


@pytest.mark.parametrize("name", [name for name in OPENERS if name not in FOREIGN])
def test_nobody_is_asked_for_the_key_of_a_file_that_takes_none(tmp_path: Path, name: str) -> None:
    """On a terminal somebody would type it. ``--no-key`` says that none is meant."""
    place = swapped(name, tmp_path, "checksum")
    before = digest(tmp_path)
    code, seen = on_terminal(COMMANDS[name].arguments(place), [], stdin=b"")
    assert code == 1, seen
    assert "--no-key" in seen
    assert digest(tmp_path) == before
    if name in ("verify", "salvage", "decrypt", "shell"):
        code, seen = on_terminal([*COMMANDS[name].arguments(place), "--no-key"], [], stdin=b"")
        assert code == 0, seen


@pytest.mark.parametrize("source", [*TEXT_SOURCES, "kms"])
@pytest.mark.parametrize("name", ["encrypt", "shell", "convert"])
def test_a_key_for_a_new_file_that_takes_none(
    sources: Sources, tmp_path: Path, name: str, source: str
) -> None:
    place = place_for(name, tmp_path)
    if name == "shell":
        place.database.unlink()
    before = digest(tmp_path)
    role = NEW_ROLE if name == "convert" else EXISTING_ROLE
    if source == "kms":
        given: list[object] = [f"--{role}kms", sources.service.arn]
    else:
        given = sources.give(source, role, NEW)
    if name == "convert":
        given += [*sources.give("key-file", EXISTING_ROLE, OLD), "--new-cipher", "checksum"]
    else:
        given += ["--cipher", "checksum"]
    code, errors = sources.run([*COMMANDS[name].arguments(place), *given])
    assert code == (1 if source == "environment" else 2), errors
    left = digest(tmp_path)
    left.pop("keys"), before.pop("keys")
    assert left == before
    if source == "environment" and name != "convert":
        os.environ["LUMO_KEY"] = OLD
        code, errors = sources.run([*COMMANDS[name].arguments(place), "--cipher", "checksum", "--no-key"])
        assert code == 0, errors
        assert lumocrypt.info(place.database).cipher == "checksum"


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_kms_for_the_key_of_another_format(sources: Sources, tmp_path: Path, name: str) -> None:
    place = place_for(name, tmp_path)
    given = ["--kms", sources.service.arn, *sources.give("key-file", NEW_ROLE, NEW)]
    code, errors = sources.run([*COMMANDS[name].arguments(place), *given])
    assert code == 3
    assert "name another source" in errors


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in FOREIGN])
def test_kms_for_the_existing_key(sources: Sources, tmp_path: Path, name: str) -> None:
    row = COMMANDS[name]
    mine = KmsKey(sources.service.arn)
    place = place_for(name, tmp_path, mine)
    given = ["--kms", sources.service.arn]
    if NEW_ROLE in row.roles:
        given += sources.give("key-file", NEW_ROLE, NEW)
    code, errors = sources.run([*row.arguments(place), *given])
    assert code == 0, errors
    assert row.holds(place, NEW if NEW_ROLE in row.roles else KmsKey(sources.service.arn))
    if row.existing:
        place = place_for(name, fresh(tmp_path), mine)
        given[1] = sources.service.new_key()
        code, errors = sources.run([*row.arguments(place), *given])
        assert code == 3, errors


@pytest.mark.parametrize("name", TWO_KEYS)
def test_kms_for_the_new_key(sources: Sources, tmp_path: Path, name: str) -> None:
    row = COMMANDS[name]
    place = place_for(name, tmp_path)
    given = [*sources.give("key-file", EXISTING_ROLE, OLD), "--new-kms", sources.service.arn]
    code, errors = sources.run([*row.arguments(place), *given])
    assert code == 0, errors
    assert row.holds(place, KmsKey(sources.service.arn))


def fresh(folder: Path) -> Path:
    new = folder / "fresh"
    new.mkdir()
    return new


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_prompt(tmp_path: Path, name: str) -> None:
    """Once for a key that opens, twice for one that is to open, whatever standard input is."""
    row = COMMANDS[name]
    place = place_for(name, tmp_path)
    script: list[tuple[str, str]] = []
    for role in row.roles:
        if role == EXISTING_ROLE and row.existing:
            script.append(("Passphrase: ", OLD + "\n"))
        else:
            text = NEW if role else OLD
            script += [("New passphrase: ", text + "\n"), ("Repeat the passphrase: ", text + "\n")]
    code, seen = on_terminal(row.arguments(place), script, stdin=b"")
    assert code == 0, seen
    assert not any(key in seen for key in (OLD, NEW))
    assert row.holds(place, NEW if NEW_ROLE in row.roles else OLD)


@pytest.mark.parametrize("name", TWO_KEYS)
def test_both_keys_from_standard_input_are_a_line_each(sources: Sources, tmp_path: Path, name: str) -> None:
    row = COMMANDS[name]
    place = place_for(name, tmp_path)
    both = ["--new-key-stdin", "--key-file", "-"]
    for text in (b"", OLD.encode(), f"{OLD}\n{NEW}\nmore".encode()):
        sources.stdin = text
        code, errors = sources.run([*row.arguments(place), *both])
        assert code == 3, errors
        assert "two lines" in errors
        assert OLD not in errors
    sources.stdin = f"{OLD}\n{NEW}".encode()
    code, errors = sources.run([*row.arguments(place), *both])
    assert code == 0, errors
    assert row.holds(place, NEW)


# Mistakes


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "option", ["--key", "--password", "--key-fil", "--new-key", "--kms-arn", "--keyring-x"]
)
def test_unknown_and_misspelt_options_are_refused(sources: Sources, name: str, option: str) -> None:
    """Nor are they taken for the beginning of another one."""
    code, errors = sources.run([*name.split(), option, OLD])
    assert code == 2, errors
    assert OLD not in errors


@pytest.mark.parametrize(("name", "role"), rows_and_roles())
def test_two_sources_for_one_key_are_refused(sources: Sources, tmp_path: Path, name: str, role: str) -> None:
    row = COMMANDS[name]
    place = place_for(name, tmp_path)
    given = [*sources.give("key-file", role, OLD), *sources.give("key-stdin", role, OLD)]
    code, errors = sources.run([*row.arguments(place), *given])
    assert code == 2
    assert f"give one of --{role}key-fd" in errors


def test_the_caps_can_be_raised_and_lowered(sources: Sources, tmp_path: Path) -> None:
    place = Place(tmp_path)
    make_plain(place.database, rows=5)
    lumocrypt.encrypt(place.database, key="word", kdf=FAST)
    given = sources.give("key-file", EXISTING_ROLE, "word")
    new = sources.give("key-file", NEW_ROLE, NEW)
    for name, row in COMMANDS.items():
        if not row.existing or name in FOREIGN:
            continue
        row.prepare(place, "word")
        arguments = [*row.arguments(place), *given, *(new if NEW_ROLE in row.roles else [])]
        before = place.database.read_bytes()
        code, errors = sources.run([*arguments, "--kdf-limit", "m=1024"])
        assert code == 1, (name, errors)
        assert "kdf_limit" in errors
        assert place.database.read_bytes() == before
        code, errors = sources.run([*arguments, "--kdf-limit", "x=1"])
        assert code == 2, (name, errors)
    code, errors = sources.run(["verify", place.database, *given, "--kdf-limit", "t=2,m=19456"])
    assert code == 0, errors


# The keyring


def test_the_keyring(memory_keyring: MemoryKeyring, tmp_path: Path) -> None:
    path = make_plain(tmp_path / "app.db", rows=5)
    memory_keyring.set_password("app", "lumocrypt", OLD)
    memory_keyring.set_password("https://example.com/x", "me", OLD)
    memory_keyring.set_password("bad", "lumocrypt", "x'00'")
    lumocrypt.encrypt(path, key=Key.from_keyring("app"))
    assert lumocrypt.verify(path, key=Key.from_keyring("https://example.com/x", "me")).ok
    with pytest.raises(KeySourceError, match="has no key for service 'app' and user 'me'"):
        Key.from_keyring("app", "me")
    with pytest.raises(KeySourceError, match="64 hexadecimal digits"):
        Key.from_keyring("bad")
    assert main(["verify", str(path), "--keyring", "app"]) == 0
    assert main(["verify", str(path), "--keyring", "https://example.com/x/me"]) == 0
    assert main(["verify", str(path), "--keyring", "none"]) == 3


def test_a_keyring_that_fails(memory_keyring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = keyring.errors.KeyringLocked("locked")

    def refuse(service: str, username: str) -> str:
        raise locked

    monkeypatch.setattr(memory_keyring, "get_password", refuse)
    with pytest.raises(KeySourceError, match="cannot be used: locked") as caught:
        Key.from_keyring("app")
    assert caught.value.__cause__ is locked


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(KeySourceError, match=r"pip install 'lumocrypt\[keyring\]'"):
        Key.from_keyring("app")


def test_a_keyring_of_files(tmp_path: Path) -> None:
    """Another program stores the key; ours finds it."""
    path = make_plain(tmp_path / "app.db", rows=5)
    lumocrypt.encrypt(path, key=OLD)
    environment = os.environ | {
        "PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring",
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "HOME": str(tmp_path),
    }
    store = [sys.executable, "-m", "keyring", "set", "app", "lumocrypt"]
    subprocess.run(store, input=OLD.encode(), env=environment, check=True, capture_output=True)
    ours = [sys.executable, "-m", "lumocrypt", "verify", str(path), "--json", "--keyring", "app"]
    done = subprocess.run(ours, env=environment, check=True, capture_output=True)
    assert json.loads(done.stdout)["ok"]


# The environment


def test_neither_variable_is_handed_on(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMO_KEY", OLD)
    monkeypatch.setenv("LUMO_NEW_KEY", NEW)
    assert main(["info", "/nowhere"]) == 1
    child = [sys.executable, "-c", "import os; print('LUMO_KEY' in os.environ, 'LUMO_NEW_KEY' in os.environ)"]
    assert subprocess.run(child, capture_output=True, check=True).stdout.split() == [b"False", b"False"]

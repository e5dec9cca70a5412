"""How the Python package is built: which room may know which, and what is loaded when."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lumocrypt
from house.imports import ROOMS
from house.python import APART

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "lumocrypt"

#: Loaded by `import lumocrypt`, and by `lumocrypt --help` on top of that.
AT_IMPORT = {
    "lumocrypt",
    "lumocrypt._lumocrypt",
    "lumocrypt._lumocrypt.ffi",
    "lumocrypt.engine",
    "lumocrypt.engine.native",
    "lumocrypt.engine.registration",
    "lumocrypt.engine.translation",
    "lumocrypt.errors",
    "lumocrypt.errors.names",
}
FOR_HELP = AT_IMPORT | {"lumocrypt.cli", "lumocrypt.cli.base", "lumocrypt.cli.exitcodes"}
#: Each takes longer to load than the engine.
SLOW = {
    "asyncio",
    "click",
    "dataclasses",
    "email",
    "inspect",
    "json",
    "pathlib",
    "re",
    "typing",
    "urllib.parse",
}


def modules() -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The package's files, and the packages that each is in, from the outermost."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts[:-1]
        if parts[:1] not in ((APART,), ("_lumocrypt",)):
            yield path, parts


def imported(path: Path, parts: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """The lines of all imports from this package, wherever they stand, and the room that each is from."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "lumocrypt":
                    yield node.lineno, room_of(tuple(alias.name.split(".")[1:]))
        elif isinstance(node, ast.ImportFrom):
            module = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                module = parts[: len(parts) - (node.level - 1)] + module
            elif module[:1] == ("lumocrypt",):
                module = module[1:]
            else:
                continue
            for alias in node.names:
                yield node.lineno, room_of((*module, alias.name))


def room_of(name: tuple[str, ...]) -> str:
    """The room of a dotted name below the package: the package's own, if it names none."""
    return name[0] if name and name[0] in ROOMS else ""


def test_every_module_is_in_a_room() -> None:
    found = {parts[0] if parts else "" for _, parts in modules()}
    assert found <= set(ROOMS)
    assert len(found) == len(ROOMS) - 1  # the shared object is built


def test_no_room_imports_one_above_it() -> None:
    """Also not inside a function, where it would be no circle for Python, or for type checkers only."""
    checked, upwards = 0, []
    for path, parts in modules():
        own = ROOMS.index(parts[0] if parts else "")
        for line, room in imported(path, parts):
            checked += 1
            if ROOMS.index(room) > own:
                upwards.append(f"{path.relative_to(PACKAGE)}:{line} imports {room or 'the package'}")
    assert upwards == []
    assert checked > 300


def test_no_room_is_named_as_a_public_name() -> None:
    """Python would put the room in the place of the name as soon as it is imported."""
    assert {path.stem for path in PACKAGE.iterdir()} & set(lumocrypt.__all__) == set()


def test_the_statements_and_the_table_of_public_names_agree() -> None:
    """The statements are what type checkers see, the table what is executed."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    guarded = [
        node for node in tree.body if isinstance(node, ast.If) and "EAGER_IMPORT" in ast.dump(node.test)
    ]
    assert len(guarded) == 1
    stated = {
        alias.name: node.module
        for node in guarded[0].body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert stated == lumocrypt._MODULES  # pyright: ignore[reportPrivateUsage]
    assert stated.keys() <= set(lumocrypt.__all__)


def test_every_public_name_is_there() -> None:
    for name in lumocrypt.__all__:
        assert getattr(lumocrypt, name) is not None
        assert name in dir(lumocrypt)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lumocrypt.nothing  # noqa: B018
    eager = "import sys, lumocrypt; assert set(lumocrypt.__all__) - {'__version__'} <= set(vars(lumocrypt))"
    subprocess.run([sys.executable, "-c", eager], check=True, env={**os.environ, "EAGER_IMPORT": "1"})


def test_errors_are_named_after_the_package() -> None:
    for name in lumocrypt.__all__:
        value = getattr(lumocrypt, name)
        if isinstance(value, type) and issubclass(value, lumocrypt.CryptError):
            assert value.__module__ == "lumocrypt"


def loaded(statements: str) -> set[str]:
    """The modules that ``statements`` load, beyond those of `import sqlite3`."""
    script = (
        f"import sqlite3, sys\nbefore = set(sys.modules)\n{statements}\nprint(*set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return set(done.stdout.splitlines()[-1].split())


def test_what_import_lumocrypt_loads() -> None:
    """Beyond sqlite3: the engine and the hook of its exceptions. `benchmarks imports` says what it takes."""
    found = loaded("import lumocrypt")
    assert {name for name in found if name.split(".")[0] == "lumocrypt"} == AT_IMPORT
    assert found & SLOW == set()
    assert len(found) <= 30


def test_what_help_loads() -> None:
    """Beyond that: click and the table of commands, and none of the commands."""
    found = loaded("from lumocrypt.cli import main\nassert main(['--help']) == 0")
    assert {name for name in found if name.split(".")[0] == "lumocrypt"} == FOR_HELP
    assert found & {"asyncio", "email", "importlib.metadata", "pathlib", "rich", "boto3", "keyring"} == set()
    assert len(found) <= 150


def test_the_list_of_commands_says_what_their_own_help_says() -> None:
    from lumocrypt.cli import COMMANDS, cli

    files = {path.stem.replace("_", "-") for path in (PACKAGE / "cli").glob("*.py")}
    assert set(COMMANDS) <= files
    assert list(COMMANDS) == sorted(COMMANDS)
    for name, text in COMMANDS.items():
        command = cli.get_command(None, name)  # pyright: ignore[reportArgumentType]
        assert command is not None
        assert command.name == name
        first = " ".join((command.help or "").split()).partition(". ")[0].rstrip(".")
        assert text == first[:1].lower() + first[1:]

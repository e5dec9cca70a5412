"""How messages and help texts are written: lower case, no full stop at the end.

Names keep their capitals. What a message says to do is behind its first semicolon, and
test_errors_say_what_to_do.py has those that people meet.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from lumocrypt.cli import COMMANDS, cli

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "lumocrypt"
ENGINE = ROOT / "engine"

#: What begins with a capital wherever it stands: a word with a second capital or a digit, names of products.
NAME = re.compile(r"[A-Z][a-z]*[A-Z0-9]|[A-Z]+\b(?<!\bA)|Adiantum\b")
#: Functions that make an error, and where among their arguments its message is.
MAKERS = {"make": 1, "fail": 0}

# A fault, or one of the helpers that make one, and the text that follows.
FAULT = re.compile(
    r"""(?:Fault::new\(\s*FaultClass::\w+,|\binvalid\(|\.fault\(|\brefused\(|\bdamaged\()\s*
        (?:&?format!\(\s*)?"((?:[^"\\]|\\.|\\\n)*)\"""",
    re.VERBOSE,
)


def is_well_written(text: str) -> bool:
    """Whether it begins in lower case, or with a name, and ends without a full stop."""
    text = text.strip()
    begins = not text[:1].isupper() or NAME.match(text) is not None
    return begins and not text.endswith((".", "!", ".)"))


def text_of(node: ast.expr) -> str | None:
    """A string literal, with ``{}`` for what is put in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.BinOp):
        left, right = text_of(node.left), text_of(node.right)
        return None if left is None or right is None else left + right
    if isinstance(node, ast.IfExp):
        return text_of(node.body)
    return None


def of_package() -> Iterator[tuple[str, str]]:
    """Messages of exceptions, and where they are."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            at = MAKERS.get(name, 0 if name.endswith("Error") else None)
            if at is not None and len(node.args) > at:
                text = text_of(node.args[at])
                if text is not None:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def of_engine() -> Iterator[tuple[str, str]]:
    """Messages of faults, and where they are; of tests, nothing."""
    for path in sorted(ENGINE.rglob("*.rs")):
        if path.name == "tests.rs" or not {"src"} & set(path.parts) or "target" in path.parts:
            continue
        source = path.read_text().partition("#[cfg(test)]\nmod tests")[0]
        for found in FAULT.finditer(source):
            line = source.count("\n", 0, found.start()) + 1
            yield f"{path.relative_to(ROOT)}:{line}", re.sub(r"\\\n\s*", "", found[1])


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield prefix + name, command
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")


def of_help() -> Iterator[tuple[str, str]]:
    """The help of all options, click's own included, and the list of commands."""
    for name, command in [("", cli), *commands(cli)]:
        for parameter in command.get_params(click.Context(command)):
            if isinstance(parameter, click.Option):
                yield f"{name} {parameter.opts[-1]}", parameter.help or ""
    yield from COMMANDS.items()


@pytest.mark.parametrize(
    ("texts", "enough"),
    [(of_package, 120), (of_engine, 200), (of_help, 150)],
    ids=["package", "engine", "help"],
)
def test_they_are_lower_case_without_a_full_stop(texts: object, enough: int) -> None:
    assert callable(texts)
    found: list[tuple[str, str]] = list(texts())
    assert len(found) > enough
    assert [f"{place}: {text}" for place, text in found if not is_well_written(text)] == []


def test_every_option_has_a_help_text() -> None:
    assert [name for name, text in of_help() if not text] == []


@pytest.mark.parametrize(
    ("text", "well"),
    [
        ("the key is empty; give one", True),
        ("SQLite answered", True),
        ("AWS KMS does not answer", True),
        ("Argon2id cannot be run", True),
        ("The key is empty; give one", False),
        ("A key is empty", False),
        ("the key is empty.", False),
        ("the key is empty (it has no bytes.)", False),
    ],
)
def test_what_is_well_written(text: str, well: bool) -> None:
    assert is_well_written(text) == well

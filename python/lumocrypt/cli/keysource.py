"""Where the command line takes a key from. Never from an argument: arguments are public in ``ps``."""

from __future__ import annotations

import functools
import getpass
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ..keys import ENVIRONMENT_VARIABLE, Key
from .exitcodes import KeySourceError

_TERMINAL = "/dev/tty"
_STDIN = 0
# A key's text is short. The limit keeps `--key-file /dev/zero` from filling the memory.
_MAX_TEXT_BYTES = 1 << 20


@dataclass(slots=True)
class KeyEnvironment:
    """The key in ``LUMO_KEY``, which is taken out of the environment so that no child process inherits it."""

    text: str | None = field(repr=False)

    @classmethod
    def take(cls) -> KeyEnvironment:
        """Removes the variable and keeps its text. An empty one counts as not set."""
        return cls(os.environ.pop(ENVIRONMENT_VARIABLE, None) or None)


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the command line said that the key is."""

    descriptor: int | None
    file: str | None
    environment: KeyEnvironment

    @property
    def named(self) -> bool:
        """Whether an option names a source."""
        return self.descriptor is not None or self.file is not None

    def obtain(self, *, new: bool = False) -> Key:
        """The key from the source that was named, else from ``LUMO_KEY``, else from a prompt.

        ``new`` asks twice at the prompt. Raises KeySourceError if the source has no usable key.
        """
        if self.descriptor is not None:
            name = "standard input" if self.descriptor == _STDIN else f"descriptor {self.descriptor}"
            return _parse(_read_descriptor(self.descriptor, name), name)
        if self.file is not None:
            return _parse(_read_file(self.file), self.file)
        if self.environment.text is not None:
            return _key(self.environment.text, ENVIRONMENT_VARIABLE)
        return _prompt(new)


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--key-fd``, ``--key-stdin`` and ``--key-file`` to a command, which gets a ``key_source``."""

    @click.option("--key-fd", type=click.IntRange(min=0), metavar="N", help="Read the key from descriptor N.")
    @click.option("--key-stdin", is_flag=True, help="Read the key from standard input.")
    @click.option("--key-file", metavar="PATH", help="Read the key from a file ('-': standard input).")
    @click.pass_obj
    @functools.wraps(command)
    def gather(
        environment: KeyEnvironment,
        *arguments: Any,
        key_fd: int | None,
        key_stdin: bool,
        key_file: str | None,
        **options: Any,
    ) -> Any:
        if (key_fd is not None) + key_stdin + (key_file is not None) > 1:
            raise click.UsageError("give one of --key-fd, --key-stdin and --key-file")
        if key_stdin or key_file == "-":
            key_fd, key_file = _STDIN, None
        return command(*arguments, key_source=KeySource(key_fd, key_file, environment), **options)

    return gather


def _read_descriptor(descriptor: int, name: str) -> bytes:
    text = b""
    try:
        while chunk := os.read(descriptor, 65536):
            text += chunk
            # A person who types at a terminal ends with the return key.
            if len(text) > _MAX_TEXT_BYTES or (chunk.endswith(b"\n") and os.isatty(descriptor)):
                break
    except OSError as error:
        raise KeySourceError(f"cannot read the key from {name}: {error.strerror}") from None
    return text


def _read_file(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(_MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise KeySourceError(f"cannot read the key from {path}: {error.strerror}") from None


def _parse(text: bytes, source: str) -> Key:
    if len(text) > _MAX_TEXT_BYTES:
        raise KeySourceError(f"what {source} holds is too long for a key")
    text = text[: -2 if text.endswith(b"\r\n") else -1] if text.endswith(b"\n") else text
    try:
        return _key(text.decode("utf-8"), source)
    except UnicodeDecodeError:
        raise KeySourceError(f"the key from {source} is not UTF-8 text") from None


def _key(text: str, source: str) -> Key:
    try:
        return Key.parse(text)
    except ValueError as error:
        raise KeySourceError(f"the key from {source} cannot be used: {error}") from None


def _prompt(new: bool) -> Key:
    try:
        # getpass would read standard input where there is no terminal, which is not what was asked for.
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise KeySourceError(
            "no key was given and there is no terminal to ask on; "
            f"use --key-file, --key-fd or --key-stdin, or set {ENVIRONMENT_VARIABLE}"
        ) from None
    text = _ask("New passphrase: " if new else "Passphrase: ")
    if new and text != _ask("Repeat the passphrase: "):
        raise KeySourceError("the two passphrases differ")
    return _key(text, "the terminal")


def _ask(prompt: str) -> str:
    with warnings.catch_warnings():
        # GetPassWarning: the echo could not be turned off.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt)
        except (EOFError, getpass.GetPassWarning):
            raise KeySourceError("no passphrase was given") from None
        except KeyboardInterrupt:
            print(file=sys.stderr)
            raise

"""What may reach a terminal: text without control characters, and colour."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TextIO

# Select Graphic Rendition (ECMA-48, 8.3.117).
_BOLD, _DIM, _RED, _CYAN = "1", "2", "31", "36"

#: What a terminal acts upon instead of showing it: C0 but for newline and tab, DEL, C1, and what Unicode uses
#: to reorder the text around it (UAX #9), which shows something else than is there. Lone surrogates stand for
#: bytes that are not UTF-8.
ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\udc80-\udcff]")


def harmless(text: str) -> str:
    """``text`` with everything that a terminal would act upon made visible; newlines and tabs stay."""
    return ACTIVE.sub(_visible, text)


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20 or code == 0x7F:
        # Caret notation: ^[ is escape, ^? is delete.
        return "^" + chr(code ^ 0x40)
    if 0xDC80 <= code <= 0xDCFF:
        return "\N{REPLACEMENT CHARACTER}"
    return f"<U+{code:04X}>"


def is_terminal(stream: TextIO) -> bool:
    """Whether what is written there is shown by a terminal."""
    try:
        return stream.isatty()
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Paint:
    """Puts colour around text, or leaves it as it is."""

    on: bool

    @classmethod
    def of(cls, stream: TextIO) -> Paint:
        """Colour for terminals, unless ``NO_COLOR`` (https://no-color.org) is set or the terminal is dumb."""
        wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(wanted and is_terminal(stream))

    def heading(self, text: str) -> str:
        """The name of a column."""
        return self._in(_BOLD, text)

    def faint(self, text: str) -> str:
        """What is not a value: NULL, lines of a table, remarks."""
        return self._in(_DIM, text)

    def error(self, text: str) -> str:
        """The word that a message of failure begins with."""
        return self._in(_RED, text)

    def prompt(self, text: str) -> str:
        """A prompt, in the form that readline takes: it must not count what is not shown."""
        return f"\x01\x1b[{_CYAN}m\x02{text}\x01\x1b[0m\x02" if self.on else text

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.on and text else text

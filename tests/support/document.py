"""The code in a document: its blocks, and a program that runs them in order.

    python tests/support/document.py DOCUMENT

runs them in the current folder and prints how many there were. All ```python blocks share one namespace. In a
```console block each command (``$ …``) has to end with 0; if output is shown below it, it has to be that,
where ``…`` stands for anything.

Two comments that readers do not see: ``<!-- setup`` to ``-->`` holds Python code that is run before what
follows, and ``<!-- not run: REASON -->`` in front of a block leaves that out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: What is run, and what is shown and no program.
RUN = frozenset({"python", "console"})
SHOWN = frozenset({"text", "ini", "toml", "yaml", "dockerfile", "sql", "c"})

_PARTS = re.compile(
    r"^<!-- setup\n(?P<setup>.*?)^-->$"
    r"|^(?:<!-- not run: (?P<reason>.+?) -->\n+)?```(?P<language>\S*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"^ *(?:```|<!-- (?:setup|not run))", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of code."""

    line: int
    language: str
    code: str
    #: Why it is not run.
    reason: str | None = None


def blocks(text: str) -> Iterator[Block]:
    """All blocks of a document.

    Raises ValueError for a fence or a comment that is not understood, which would go unnoticed.
    """
    seen = 0
    for part in _PARTS.finditer(text):
        seen += len(_MARK.findall(part[0]))
        group = "code" if part["code"] is not None else "setup"
        line = text.count("\n", 0, part.start(group)) + 1
        yield Block(line, part["language"] if group == "code" else "setup", part[group], part["reason"])
    if seen != len(_MARK.findall(text)):
        raise ValueError("a block that is indented or not closed, or a comment in front of no block")


def commands(code: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, and what is shown of their output."""
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        command, _, output = re.sub(r"\\\n\s*", " ", part).partition("\n")
        yield command, output


def pattern(output: str) -> str:
    """A regular expression for output that is shown."""
    return ".*".join(re.escape(each) for each in output.strip().split("…"))


def run(document: Path) -> int:
    """Runs all blocks; returns how many. Raises what they raise."""
    namespace: dict[str, object] = {"__name__": "__document__"}
    count = 0
    for block in blocks(document.read_text()):
        if block.reason is not None or block.language not in RUN | {"setup"}:
            continue
        if block.language == "console":
            for command, output in commands(block.code):
                _shell(command, output, f"{document.name}:{block.line}")
        else:
            # The lines of errors are those of the document.
            source = "\n" * (block.line - 1) + block.code
            exec(compile(source, str(document), "exec"), namespace)
        count += block.language in RUN
    return count


def _shell(command: str, output: str, place: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PATH": path, "COLUMNS": "200"},
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{place}: {command!r} ended with {done.returncode}: {done.stdout}")
    if output.strip() and not re.fullmatch(pattern(output), done.stdout.strip(), re.DOTALL):
        raise AssertionError(f"{place}: {command!r} printed\n{done.stdout}\nand not\n{output}")


if __name__ == "__main__":
    print(run(Path(sys.argv[1])))

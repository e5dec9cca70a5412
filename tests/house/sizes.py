"""Functions of more than 70 lines of code, and files of more than 700: nobody reads those.

``PYTHONPATH=tests python -m house.sizes``. The engine's functions are clippy's (engine/clippy.toml).
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("python/lumocrypt", "engine/crates", "engine/fuzz/fuzz_targets", "tests", "benchmarks", "examples")

MOST_IN_A_FILE = 700
MOST_IN_A_FUNCTION = 70


def files(root: Path = ROOT) -> Iterator[Path]:
    """The project's own sources."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".rs") and not {"_lumocrypt", "target"} & set(path.parts):
                yield path


def long_functions(source: str) -> Iterator[str]:
    """What is too long in a Python source; a docstring is no code."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[1] if ast.get_docstring(node, clean=False) and len(node.body) > 1 else node.body[0]
        lines = (node.end_lineno or first.lineno) - first.lineno + 1
        if lines > MOST_IN_A_FUNCTION:
            yield f"{node.name} has {lines} lines"


def complaints(root: Path = ROOT) -> list[str]:
    """Everything that is too long."""
    found = []
    for path in files(root):
        source, name = path.read_text(encoding="utf-8"), path.relative_to(root)
        if (lines := source.count("\n")) > MOST_IN_A_FILE:
            found.append(f"{name} has {lines} lines")
        if path.suffix == ".py":
            found += [f"{name}: {what}" for what in long_functions(source)]
    return found


def main() -> int:
    """Prints the complaints."""
    found = complaints()
    print(*found, sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

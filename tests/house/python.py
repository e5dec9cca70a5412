"""The packages of the Python side, and what each imports of others."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = "lumocrypt"
#: What is no package: the modules at the top, which hand on what is public.
TOP = ""
#: What no room imports: it is for another program.
APART = "pyinstaller"
#: The shared object and its declarations, which are there once the package is built.
BUILT = "_lumocrypt"


def imports(package: Path) -> dict[str, Counter[str]]:
    """For each package directly in `package` how often it imports from each other one."""
    found: dict[str, Counter[str]] = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).parts
        if parts[0] == APART:
            continue
        own = parts[0] if len(parts) > 1 else TOP
        counts = found.setdefault(own, Counter())
        folder = [ROOT, *parts[:-1]]
        for target in _targets(ast.parse(path.read_text(encoding="utf-8")), folder):
            if target[0] == ROOT:
                is_package = len(target) > 1 and (target[1] == BUILT or (package / target[1]).is_dir())
                other = target[1] if is_package else TOP
                counts[other] += other != own
    return found


def _targets(tree: ast.Module, folder: list[str]) -> Iterator[list[str]]:
    """What is imported, by whole names. Imports for types alone count, too: a reader follows them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) + 1 - node.level] if node.level else []
            module = [*base, *(node.module.split(".") if node.module else [])]
            yield from ([*module, alias.name] for alias in node.names)

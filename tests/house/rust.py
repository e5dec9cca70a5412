"""The modules of the engine's crates, and what each takes from others."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_USE = re.compile(r"^[ \t]*(?:pub ?)?use ([^;]+);", re.MULTILINE)
_PATH = re.compile(r"\b(?:crate|super)(?:::\w+)+")
_INLINE = re.compile(r"^(?:pub ?)? ?mod (\w+) \{\n(.*?)(?:^\}|\Z)", re.MULTILINE | re.DOTALL)
_TESTS = re.compile(r"#\[cfg\(test\)\]\s*(?:pub(?:\(\w+\))? )?mod \w+ \{")


@dataclass(frozen=True)
class Crate:
    """A crate: its folder's name, those that its manifest names, and its sources but for tests."""

    name: str
    dependencies: frozenset[str]
    sources: dict[str, str]

    def imports(self) -> Counter[str]:
        """How often its sources name each other crate of the workspace."""
        found: Counter[str] = Counter()
        for text in self.sources.values():
            for name in self.dependencies:
                found[name] += len(re.findall(rf"\b{name.replace('-', '_')}::", text))
        return found

    def arrows(self) -> dict[str, set[str]]:
        """For each module those that it takes something from. `a.rs` and what is in `a/` are one module."""
        known = {module: _of_one(module, self.sources) for module in self.sources}
        arrows: dict[str, set[str]] = {whole: set() for whole in known.values()}
        for module, text in self.sources.items():
            for path, inside in _paths(text):
                target = _resolve(path, f"{module}::{inside}" if inside else module, known)
                if target is not None and known[target] != known[module]:
                    arrows[known[module]].add(known[target])
        return arrows


def crates(folder: Path) -> list[Crate]:
    """All crates in `folder`."""
    manifests = sorted(folder.glob("*/Cargo.toml"))
    names = {manifest.parent.name for manifest in manifests}
    return [_crate(manifest, names) for manifest in manifests]


def _crate(manifest: Path, names: set[str]) -> Crate:
    content = tomllib.loads(manifest.read_text(encoding="utf-8"))
    kinds = ("dependencies", "dev-dependencies", "build-dependencies")
    named = {name for kind in kinds for name in content.get(kind, {})}
    source = manifest.parent / "src"
    sources = {
        _module(path.relative_to(source)): _without_tests(path.read_text(encoding="utf-8"))
        for path in source.rglob("*.rs")
        if "tests" not in path.relative_to(source).with_suffix("").parts
    }
    return Crate(manifest.parent.name, frozenset(named & names), sources)


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    if parts == ("lib",):
        return ""
    return "::".join(parts[:-1] if parts[-1] == "mod" else parts)


def _without_tests(text: str) -> str:
    found = _TESTS.search(text)
    code = text[: found.start()] if found else text
    return re.sub(r"//.*|\bpub\([^)]*\)", "", code)


def _of_one(module: str, sources: dict[str, str]) -> str:
    """The outermost module that `module` is part of. A `mod.rs` holds others; a file with a folder is one."""
    parts = module.split("::")
    for length in range(1, len(parts)):
        whole = "::".join(parts[:length])
        if whole in sources and not _only_declares(sources[whole]):
            return whole
    return module


def _only_declares(text: str) -> bool:
    """Is there nothing in a module but other modules?"""
    code = re.sub(r"#!?\[[^\]]*\]|(?:pub(?:\(\w+\))? )?(?:mod|use) [^;]+;", "", text)
    return not code.strip()


def _paths(text: str) -> Iterator[tuple[str, str]]:
    """The paths in a file, each with the module within it that it is written in."""
    for inside, part in [
        ("", _INLINE.sub("", text)),
        *((found[1], found[2]) for found in _INLINE.finditer(text)),
    ]:
        for use in _USE.finditer(part):
            yield from ((leaf, inside) for leaf in _leaves(re.sub(r"\s+", " ", use[1])))
        yield from ((path[0], inside) for path in _PATH.finditer(_USE.sub("", part)))


def _leaves(tree: str) -> Iterable[str]:
    """`a::{b, c::d}` as `a::b` and `a::c::d`."""
    head, brace, rest = tree.strip().partition("{")
    if not brace:
        return [head.split(" as ")[0].strip()]
    parts, depth = [""], 0
    for sign in rest[: rest.rindex("}")]:
        depth += (sign == "{") - (sign == "}")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [head + leaf for part in parts if part.strip() for leaf in _leaves(part)]


def _resolve(path: str, module: str, known: Iterable[str]) -> str | None:
    """The module that `path`, as it is written in `module`, leads to."""
    parts = path.split("::")
    base = module.split("::") if module else []
    if parts[0] == "crate":
        base, parts = [], parts[1:]
    elif parts[0] in ("super", "self"):
        while parts and parts[0] in ("super", "self"):
            base = base[:-1] if parts[0] == "super" else base
            parts = parts[1:]
    elif "::".join([*base, parts[0]]) not in known:
        return None
    whole = base + parts
    lengths = range(len(whole), -1, -1)
    return next((found for length in lengths if (found := "::".join(whole[:length])) in known), None)

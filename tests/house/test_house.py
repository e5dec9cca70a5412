"""The floors of the house: nothing leads upwards, and nothing new goes round in a circle."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from house.circles import circles
from house.imports import CRATES, KNOWN, complaints, round_and_round, upwards
from house.python import TOP, imports
from house.rust import Crate, crates

ROOT = Path(__file__).parents[2]


def test_nothing_leads_upwards_and_nothing_new_in_a_circle() -> None:
    assert complaints() == []


def test_the_crates_are_read() -> None:
    engine = {crate.name: crate for crate in crates(ROOT / "engine" / "crates")}
    assert set(engine) <= set(CRATES)
    assert engine["ground"].dependencies == frozenset()
    assert engine["capi"].imports()["offline"] > 5
    assert "vault" not in engine["crypto"].dependencies
    assert engine["sqlite"].arrows()["vfs::rekey"] >= {"vfs::renewal", "files::redo"}
    assert set(KNOWN) <= set(engine)


@pytest.mark.parametrize(
    ("order", "uses", "said"),
    [
        (("low", "high"), {"low": {}, "high": {"low": 3}}, []),
        (("low", "high"), {"low": {"high": 0}, "high": {}}, []),
        (("low", "high"), {"low": {"high": 1}, "high": {}}, ["low uses high"]),
        (("low",), {"low": {}, "new": {}}, ["new has no floor"]),
    ],
)
def test_a_step_upwards_is_found(
    order: tuple[str, ...], uses: dict[str, dict[str, int]], said: list[str]
) -> None:
    found = list(upwards(order, uses))
    assert len(found) == len(said)
    assert all(expected in text for expected, text in zip(said, found, strict=True))


def test_circles_are_found_and_lines_are_not() -> None:
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": {"d"}}) == []
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert circles(arrows) == [frozenset("abc"), frozenset("de")]


def test_a_circle_that_is_not_known_and_one_that_is_gone_are_said() -> None:
    sources = {"": "pub mod a; pub mod b;", "a": "use crate::b::B;", "b": "fn f() -> super::a::A { A }"}
    crate = Crate("some", frozenset(), sources)
    known = frozenset({"a", "b"})
    assert list(round_and_round(crate, [])) == ["some has a circle: a, b"]
    assert list(round_and_round(crate, [known])) == []
    straight = Crate("some", frozenset(), {**sources, "b": "fn f() {}"})
    assert list(round_and_round(straight, [known])) == ["some has no such circle any more: a, b"]


def test_parts_of_one_module_and_inline_modules_go_in_no_circle() -> None:
    sources = {
        "": "mod a; mod room;",
        "a": "mod part;\npub struct A;\nuse part::Part;\nmod inner {\n    use super::A;\n}\n",
        "a::part": "use super::A; pub struct Part;",
        "room": "pub mod one; pub mod two;",
        "room::one": "use super::two::{Two, self};",
        "room::two": "pub struct Two;",
    }
    arrows = Crate("some", frozenset(), sources).arrows()
    assert arrows == {"": set(), "a": set(), "room": set(), "room::one": {"room::two"}, "room::two": set()}


def test_imports_of_packages_are_counted(tmp_path: Path) -> None:
    for name, text in {
        "__init__.py": "from lumocrypt.low import thing\n",
        "low/__init__.py": "",
        "low/thing.py": "from . import other\nfrom .. import errors\nimport json\n",
        "high/__init__.py": "from ..low.thing import a, b\nimport lumocrypt.low.other\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    found = {name: +counts for name, counts in imports(tmp_path).items()}
    assert found == {TOP: Counter(low=1), "low": Counter({TOP: 1}), "high": Counter(low=3)}

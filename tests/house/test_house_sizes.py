"""Functions and files stay short enough to be read."""

from __future__ import annotations

from house.sizes import MOST_IN_A_FUNCTION, complaints, files, long_functions


def test_nothing_is_too_long() -> None:
    assert complaints() == []


def test_sources_of_both_languages_are_read() -> None:
    kinds = [path.suffix for path in files()]
    assert kinds.count(".rs") > 150
    assert kinds.count(".py") > 150


def test_a_docstring_is_no_code() -> None:
    code = "\n".join(["    x = 1"] * MOST_IN_A_FUNCTION)
    assert list(long_functions(f'def f():\n    """One\n\n    two."""\n{code}\n')) == []
    assert list(long_functions(f"def f():\n{code}\n    x = 2\n")) == ["f has 71 lines"]

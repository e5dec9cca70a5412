"""How rows are shown: the output modes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from .output import Output
from .screen import harmless
from .settings import Settings
from .values import Value, as_json, identifier, literal, shown

Row = Sequence[Value]
#: In a table no BLOB is shown beyond this many bytes; its length is.
_SHOWN_BLOB_BYTES = 32


@dataclass(frozen=True, slots=True)
class Result:
    """What a query gives."""

    columns: Sequence[str]
    rows: Iterable[Row]


Show = Callable[[Result, Settings, Output], None]


# One line for each row, as it comes.


def _list(result: Result, settings: Settings, out: Output) -> None:
    _separated(result, settings, out, settings.separator)


def _tabs(result: Result, settings: Settings, out: Output) -> None:
    _separated(result, settings, out, "\t")


def _separated(result: Result, settings: Settings, out: Output, separator: str) -> None:
    if settings.headers:
        out.line(separator.join(out.paint.heading(out.clean(name)) for name in result.columns))
    for row in result.rows:
        out.line(separator.join(out.clean(shown(value, settings.null)) for value in row))


def _csv(result: Result, settings: Settings, out: Output) -> None:
    """RFC 4180; an empty text is told from NULL by its quotes, as the sqlite3 shell has it."""

    def field(value: Value) -> str:
        if value is None:
            return settings.null
        text = out.clean(shown(value))
        if text and not any(special in text for special in ',"\r\n'):
            return text
        return '"' + text.replace('"', '""') + '"'

    if settings.headers:
        out.line(",".join(map(field, result.columns)), end="\r\n")
    for row in result.rows:
        out.line(",".join(map(field, row)), end="\r\n")


def _json(result: Result, _settings: Settings, out: Output) -> None:
    """One array of objects."""
    keys = [as_json(name) for name in result.columns]
    before = "["
    for row in result.rows:
        pairs = (f"{key}:{as_json(value)}" for key, value in zip(keys, row, strict=True))
        out.line(before + "{" + ",".join(pairs) + "}", end="")
        before = ",\n"
    out.line("[]" if before == "[" else "]")


def _line(result: Result, settings: Settings, out: Output) -> None:
    """One line for each value."""
    names = [out.clean(name) for name in result.columns]
    width = max(map(cell_len, names), default=0)
    for number, row in enumerate(result.rows):
        if number:
            out.line()
        for name, value in zip(names, row, strict=True):
            heading = " " * (width - cell_len(name)) + out.paint.heading(name)
            out.line(f"{heading} = {out.clean(shown(value, settings.null))}")


def _insert(result: Result, settings: Settings, out: Output) -> None:
    """INSERT statements."""
    into = f"INSERT INTO {identifier(settings.insert_table)}"
    if settings.headers:
        into += "(" + ",".join(identifier(name) for name in result.columns) + ")"
    for row in result.rows:
        out.line(out.clean(f"{into} VALUES({','.join(map(literal, row))});"))


def _quote(result: Result, settings: Settings, out: Output) -> None:
    """SQL literals."""
    if settings.headers:
        out.line(",".join(out.paint.heading(out.clean(literal(name))) for name in result.columns))
    for row in result.rows:
        out.line(",".join(out.clean(literal(value)) for value in row))


# Columns of equal width: all rows have to be there before the first can be shown.


def _table(result: Result, settings: Settings, out: Output) -> None:
    """Like the sqlite3 shell's table mode."""
    grid = _Grid.of(result, settings)
    rule = out.paint.faint("+" + "+".join("-" * (width + 2) for width in grid.widths) + "+")
    bar = out.paint.faint("|")
    out.line(rule)
    if settings.headers:
        for cells in grid.padded(grid.heading):
            out.line(bar + bar.join(f" {out.paint.heading(cell)} " for cell in cells) + bar)
        out.line(rule)
    for row in grid.rows:
        for cells in grid.padded(row):
            out.line(bar + bar.join(f" {cell} " for cell in cells) + bar)
    if grid.rows:
        out.line(rule)


def _column(result: Result, settings: Settings, out: Output) -> None:
    """Aligned columns without lines around them."""
    grid = _Grid.of(result, settings)
    if settings.headers:
        for cells in grid.padded(grid.heading):
            out.line("  ".join(out.paint.heading(cell) for cell in cells).rstrip())
        out.line(out.paint.faint("  ".join("-" * width for width in grid.widths)))
    for row in grid.rows:
        for cells in grid.padded(row):
            out.line("  ".join(cells).rstrip())


def _markdown(result: Result, settings: Settings, out: Output) -> None:
    """A table of GitHub's Markdown, which needs a heading and has one line for each row."""
    grid = _Grid.of(result, settings, flatten=_markdown_cell)
    for cells in grid.padded(grid.heading):
        out.line("| " + " | ".join(cells) + " |")
    out.line("|" + "|".join("-" * (width + 2) for width in grid.widths) + "|")
    for row in grid.rows:
        for cells in grid.padded(row):
            out.line("| " + " | ".join(cells) + " |")


def _markdown_cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", "<br>")


def _keep(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class _Grid:
    """Cells of text, each of one or more lines, and the width of each column in places of a terminal."""

    heading: list[list[str]]
    rows: list[list[list[str]]]
    widths: list[int]

    @classmethod
    def of(cls, result: Result, settings: Settings, flatten: Callable[[str], str] = _keep) -> _Grid:
        def cell(text: str) -> list[str]:
            return flatten(harmless(text).expandtabs()).split("\n")

        heading = [cell(name) for name in result.columns]
        rows = [[cell(_short(value, settings.null)) for value in row] for row in result.rows]
        widths = [1] * len(heading)
        for cells in [heading, *rows] if settings.headers or flatten is not _keep else rows:
            for at, lines in enumerate(cells):
                widths[at] = max(widths[at], *map(cell_len, lines))
        return cls(heading, rows, widths)

    def padded(self, row: list[list[str]]) -> Iterator[list[str]]:
        """The lines that a row takes, each a list of cells of full width."""
        for number in range(max(map(len, row), default=0)):
            yield [
                text + " " * (width - cell_len(text))
                for width, text in zip(
                    self.widths, (lines[number] if number < len(lines) else "" for lines in row), strict=True
                )
            ]


def _short(value: Value, null: str) -> str:
    if isinstance(value, bytes) and len(value) > _SHOWN_BLOB_BYTES:
        return f"X'{value[:_SHOWN_BLOB_BYTES].hex()}...' ({len(value):,} bytes)"
    return shown(value, null)


#: The output modes by name, as ``.mode`` takes them.
MODES: dict[str, Show] = {
    "column": _column,
    "csv": _csv,
    "insert": _insert,
    "json": _json,
    "line": _line,
    "list": _list,
    "markdown": _markdown,
    "quote": _quote,
    "table": _table,
    "tabs": _tabs,
}
#: Those that make no sense without a heading.
WITH_HEADERS = frozenset({"column", "markdown", "table"})

"""Charts as SVG: bars in groups, and lines. Readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

#: Of middle brightness, so that they do on white and on black; ours are blue, those of others are not.
COLOURS = ("#2f81f7", "#79b8ff", "#d9822b", "#c9a227", "#b5534f", "#3fa796", "#8e6fc1", "#8a8f98")
#: Text and lines, for viewers that know nothing of dark pages.
_STYLE = """<style>
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #57606a }
.title { font-size: 14px; font-weight: 600; fill: #24292f }
.value { font-size: 10px }
.grid { stroke: #8b949e; stroke-opacity: 0.35 }
.one { stroke: #57606a; stroke-width: 1.5; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #9da7b3 } .title { fill: #e6edf3 } .one { stroke: #9da7b3 }
}
</style>"""
_WIDTH = 860
_BAR = 9
_LEFT = 190
_RIGHT = 40


@dataclass(frozen=True, slots=True)
class Series:
    """A colour of the chart."""

    title: str
    #: By the name of the group, or of the place on the axis.
    values: Mapping[str, float]


def bars(title: str, groups: Sequence[str], series: Sequence[Series], limit: float = 3.0) -> str:
    """Horizontal bars from 0, a group for each name, with a line at 1; longer bars than ``limit`` are cut."""
    top, row = _top(series), _BAR * len(series) + 12
    height = top + row * len(groups) + 30
    longest = max((value for one in series for value in one.values.values()), default=1.0)
    reach = min(limit, max(1.2, longest * 1.05))
    scale = (_WIDTH - _LEFT - _RIGHT) / reach
    parts = _frame(title, height, series)
    bottom = top + row * len(groups)
    for tick in _ticks(reach):
        x = _LEFT + tick * scale
        kind = "one" if tick == 1 else "grid"
        parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 4}" y2="{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    for place, group in enumerate(groups):
        y = top + place * row
        middle = y + _BAR * len(series) / 2 + 4
        parts.append(f'<text x="{_LEFT - 8}" y="{middle:.1f}" text-anchor="end">{escape(group)}</text>')
        for number, one in enumerate(series):
            value = one.values.get(group)
            if value is not None:
                parts.append(_bar(y + number * _BAR, min(value, reach) * scale, value, _colour(number)))
    return _finish(parts)


def lines(title: str, places: Sequence[str], series: Sequence[Series], height: int = 260) -> str:
    """A line for each series over places side by side, whatever lies between them; and one at 1."""
    top, bottom = _top(series), height - 34
    values = [value for one in series for value in one.values.values()]
    reach = max(1.2, max(values, default=1.0) * 1.05)
    step = (_WIDTH - _LEFT / 2 - _RIGHT * 2) / max(1, len(places) - 1)
    at = {place: _LEFT / 2 + number * step for number, place in enumerate(places)}
    parts = _frame(title, height, series)
    for tick in _ticks(reach):
        y = bottom - tick / reach * (bottom - top)
        kind = "one" if tick == 1 else "grid"
        parts.append(
            f'<line class="{kind}" x1="{_LEFT / 2:.0f}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(f'<text x="{_LEFT / 2 - 8:.0f}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for place, x in at.items():
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(place)}</text>')
    for number, one in enumerate(series):
        points = [
            (at[place], bottom - one.values[place] / reach * (bottom - top))
            for place in places
            if place in one.values
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{_colour(number)}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_colour(number)}"/>' for x, y in points]
    return _finish(parts)


def _frame(title: str, height: int, series: Sequence[Series]) -> list[str]:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" role="img" aria-label="{escape(title)}">',
        _STYLE,
        f'<text class="title" x="8" y="20">{escape(title)}</text>',
    ]
    for number, one in enumerate(series):
        x, y = 8 + number % 4 * 210, 40 + number // 4 * 18
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{_colour(number)}"/>')
        parts.append(f'<text x="{x + 16}" y="{y}">{escape(one.title)}</text>')
    return parts


def _top(series: Sequence[Series]) -> int:
    return 40 + -(-len(series) // 4) * 18


def _bar(y: float, length: float, value: float, colour: str) -> str:
    return (
        f'<rect x="{_LEFT}" y="{y:.1f}" width="{length:.1f}" height="{_BAR - 1}" fill="{colour}"/>'
        f'<text class="value" x="{_LEFT + length + 4:.1f}" y="{y + _BAR - 1:.1f}">{value:.2f}</text>'
    )


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _ticks(reach: float) -> list[float]:
    step = next(step for step in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 1e9) if reach / step <= 7)
    found = [number * step for number in range(int(reach / step) + 1)]
    return found if 1 in found else sorted([*found, 1.0])


def _finish(parts: Sequence[str]) -> str:
    return "\n".join([*parts, "</svg>"]) + "\n"

"""Small pictures as SVG text: shapes, a linear scale, round tick marks.

Colours, fonts and line widths come from the page's style sheet through classes, so one picture serves light and dark
screens. Coordinates are in units of the view box; a picture is drawn for a phone's width and may be shown larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil, floor, log10

import numpy as np


@dataclass(frozen=True)
class Scale:
    """Straight line from values (``low`` to ``high``) to coordinates (``start`` to ``end``)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside the scale, about as many as asked for."""
        step = _round_step((self.high - self.low) / about)
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]


def _round_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, not below ``rough``."""
    power = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def covering(values: Iterable[float], start: float, end: float, *, pad: float = 0.05) -> Scale:
    """A scale over ``values`` with a margin; of width 1 if they are all alike."""
    known = list(values)
    low, high = min(known), max(known)
    margin = pad * (high - low) or 0.5
    return Scale(low - margin, high + margin, start, end)


def picture(width: float, height: float, parts: Iterable[str], *, label: str) -> str:
    """The whole picture; ``label`` says in words what it shows, for whoever cannot see it."""
    # width and height give the size before styles apply and in a print
    return (
        f'<svg viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" height="{_n(height)}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def text(x: float, y: float, words: str, *, style: str = "", anchor: str = "start", turned: bool = False) -> str:
    turn = f' transform="rotate(-90 {_n(x)} {_n(y)})"' if turned else ""
    return f'<text x="{_n(x)}" y="{_n(y)}"{_style(style)} text-anchor="{anchor}"{turn}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, *, style: str) -> str:
    return f'<path d="M{_n(x1)} {_n(y1)}L{_n(x2)} {_n(y2)}"{_style(style)}/>'


def rect(
    x: float, y: float, width: float, height: float, *, style: str, opacity: float | None = None, hint: str = ""
) -> str:
    """``hint`` appears when the pointer rests on it."""
    fill = "" if opacity is None else f' fill-opacity="{_n(opacity, 2)}"'
    inside = f"><title>{escape(hint)}</title></rect>" if hint else "/>"
    return f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"{_style(style)}{fill}{inside}'


def dot(x: float, y: float, radius: float, *, style: str, hint: str = "") -> str:
    """``hint`` appears when the pointer rests on the dot."""
    inside = f"><title>{escape(hint)}</title></circle>" if hint else "/>"
    return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"{_style(style)}{inside}'


def cloud(x: Iterable[float], y: Iterable[float], *, style: str) -> str:
    """Many points as one path of strokes without length: their shape and size are the style's cap and line width."""
    drawn = "".join(f"M{_n(one)} {_n(other)}h0" for one, other in zip(x, y, strict=True))
    return f'<path d="{drawn}"{_style(style)}/>' if drawn else ""


def image(x: float, y: float, width: float, height: float, uri: str) -> str:
    """A picture from a data URI."""
    return f'<image href="{escape(uri)}" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"/>'


# Corners of a marker around its middle, for a radius of 1; no corners: a circle.
_SHAPES: Sequence[Sequence[tuple[float, float]]] = (
    (),
    ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    ((0, -1.2), (1.15, 0.9), (-1.15, 0.9)),
)


def marker(x: float, y: float, radius: float, *, shape: int, style: str, hint: str = "") -> str:
    """The ``shape``-th kind of marker, so that colour is never the only difference."""
    corners = _SHAPES[shape % len(_SHAPES)]
    if not corners:
        return dot(x, y, radius, style=style, hint=hint)
    points = " ".join(f"{_n(x + radius * dx)},{_n(y + radius * dy)}" for dx, dy in corners)
    inside = f"><title>{escape(hint)}</title></polygon>" if hint else "/>"
    return f'<polygon points="{points}"{_style(style)}{inside}'


def curve(x: np.ndarray, y: np.ndarray, *, style: str) -> str:
    """A line through points, (n,) each; steps between tenths of a unit keep the text short."""
    tenths = np.rint(np.column_stack([x, y]) * 10).astype(int)
    steps = np.diff(tenths, axis=0)
    drawn = "".join(f"{_tenth(dx)} {_tenth(dy)} " for dx, dy in steps.tolist())
    first = f"M{_tenth(tenths[0, 0])} {_tenth(tenths[0, 1])}"
    return f'<path d="{first}l{drawn.rstrip()}"{_style(style)}/>' if len(steps) else ""


def _tenth(value: int) -> str:
    return _n(value / 10)


def envelope(x: np.ndarray, y: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """At most 2 * ``columns`` of the points: the lowest and highest of each stretch, in order of ``x``."""
    if len(x) <= 2 * columns:
        return x, y
    edges = np.linspace(0, len(x), columns + 1).astype(int)
    chosen = []
    for first, last in pairwise(edges.tolist()):
        piece = y[first:last]
        chosen += sorted({first + int(piece.argmin()), first + int(piece.argmax())})
    return x[chosen], y[chosen]


def _style(name: str) -> str:
    return f' class="{name}"' if name else ""


def _n(value: float, digits: int = 1) -> str:
    """As short as possible; "-0" is "0"."""
    rounded = round(float(value), digits) + 0.0
    return str(int(rounded)) if rounded == int(rounded) else f"{rounded:g}"

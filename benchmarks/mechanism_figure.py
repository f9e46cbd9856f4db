"""Differences with their intervals, one line a comparison, as an SVG that stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eegpipe import svg

_STYLE = """<style>
text{font:11px sans-serif;fill:#333}.head{font-weight:bold}.zero{stroke:#333}.grid{stroke:#e3e3e3}
.margin{fill:#8a8a8a}.holds{stroke:#00705a;fill:#00705a;stroke-width:2}
.fails{stroke:#b0391e;fill:#b0391e;stroke-width:2}.open{stroke:#777;fill:#fff;stroke-width:2}
</style>"""
_KIND = {"holds": ("holds", 0), "does not hold": ("fails", 1), "undecided": ("open", 2)}
_WORDS = 330.0
_WIDTH, _ROW = 760.0, 19.0
_TITLES = {
    "fewshot_subject_stimulus": "other people and other clips (decides): gain in balanced accuracy",
    "fewshot_subject": "other people, same clips: gain in balanced accuracy",
    "silhouette": "silhouette by data set: how much lower",
}


def forest(rows: Sequence[Any], margin: float) -> str:
    """``rows``: with ``claim``, ``measure``, ``difference`` and ``verdict``; those without an interval are left out.

    The grey band is from 0 to ``margin``. Colour and shape say the verdict.
    """
    shown = [row for row in rows if row.difference.low is not None]
    ends = [end for row in shown for end in (row.difference.low, row.difference.high)]
    scale = svg.covering([*ends, 0.0, margin], _WORDS, _WIDTH - 90)
    measures = [name for name in _TITLES if any(row.measure == name for row in shown)]
    height = 40 + _ROW * (len(shown) + 2 * len(measures))
    top, bottom = 10.0, height - 30
    parts = [_STYLE, '<rect width="100%" height="100%" fill="#fff"/>']
    parts.append(svg.rect(scale(0), top, scale(margin) - scale(0), bottom - top, style="margin", opacity=0.2))
    for tick in scale.ticks(10):
        parts.append(svg.line(scale(tick), top, scale(tick), bottom, style="zero" if tick == 0 else "grid"))
        parts.append(svg.text(scale(tick), bottom + 15, f"{tick:+g}" if tick else "0", anchor="middle"))
    y = top
    for measure in measures:
        y += 1.4 * _ROW
        parts.append(svg.text(10, y, _TITLES[measure], style="head"))
        for row in shown:
            if row.measure == measure:
                y += _ROW
                parts += _line(row, scale, y)
        y += 0.6 * _ROW
    parts.append(svg.text(10, bottom + 15, "95 % intervals; grey: a gain too small to matter"))
    picture = svg.picture(_WIDTH, height, parts, label="Differences between paired arms, with 95 % intervals")
    return picture.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _line(row: Any, scale: svg.Scale, y: float) -> list[str]:
    style, shape = _KIND[row.verdict]
    middle = y - 4
    return [
        svg.text(20, y, row.claim),
        svg.line(scale(row.difference.low), middle, scale(row.difference.high), middle, style=style),
        svg.marker(scale(row.difference.mean), middle, 4, shape=shape, style=style),
        svg.text(_WIDTH - 80, y, row.verdict),
    ]

"""Scores without and with planted affect, one line a method and protocol, as an SVG that stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eegpipe import svg

_STYLE = """<style>
text{font:11px sans-serif;fill:#333}.head{font-weight:bold}.chance{stroke:#333;stroke-dasharray:4 3}
.grid{stroke:#e3e3e3}.paper{fill:#fff}.none{stroke:#777;fill:#fff;stroke-width:2}.planted{stroke:#00705a;fill:#00705a;stroke-width:2}
.leak{stroke:#b0391e;fill:#fff;stroke-width:2}.rise{stroke:#00705a;stroke-width:1;stroke-dasharray:1 3}
</style>"""
_WORDS, _WIDTH, _ROW = 170.0, 720.0, 17.0
_TITLES = {
    "fewshot_subject_stimulus": "leak free: few-shot, other people and other clips",
    "kfold_subject_stimulus": "leak free: folds of people, other people and other clips",
    "zeroshot_subject_stimulus": "leak free: nearest neighbour, other people and other clips",
    "fewshot_subject": "leaks (same clips): few-shot, other people",
    "zeroshot_subject": "leaks (same clips): nearest neighbour, other people",
    "art_within": "leaks (same trials): windows of a person at random, as published for ART",
}


def figure(rows: Sequence[Any], worlds: int) -> str:
    """``rows``: of ``no_affect.py``. Ring and bar: without affect; full square: with it; dashed: chance."""
    ends = [end for row in rows for end in (row.without_low, row.without_high, row.planted, row.chance)]
    scale = svg.covering([end for end in ends if end == end], _WORDS, _WIDTH - 20)
    protocols = [name for name in _TITLES if any(row.protocol == name for row in rows)]
    height = 74 + _ROW * (len(rows) + 1.7 * len(protocols))
    top, bottom = 40.0, height - 30
    parts = [_STYLE, '<rect width="100%" height="100%" fill="#fff"/>']
    for tick in scale.ticks(8):
        parts.append(svg.line(scale(tick), top, scale(tick), bottom, style="grid"))
        parts.append(svg.text(scale(tick), bottom + 15, f"{tick:g}", anchor="middle"))
    chance = scale(rows[0].chance)
    parts.append(svg.line(chance, top, chance, bottom, style="chance"))
    parts.append(svg.text(chance, top - 4, "chance", anchor="middle"))
    parts.append(svg.marker(14, 14, 4, shape=0, style="none"))
    parts.append(svg.text(24, 18, f"no affect planted, 95 % interval over {worlds} simulations"))
    parts.append(svg.marker(354, 14, 4, shape=1, style="planted"))
    parts.append(svg.text(364, 18, "the same simulations with affect; balanced accuracy"))
    y = top
    for protocol in protocols:
        y += 1.3 * _ROW
        # Paper behind the words: the line of chance would run through them.
        parts.append(svg.rect(8, y - 11, 6.1 * len(_TITLES[protocol]), 14, style="paper"))
        parts.append(svg.text(10, y, _TITLES[protocol], style="head"))
        for row in rows:
            if row.protocol == protocol:
                y += _ROW
                parts += _line(row, scale, y)
        y += 0.4 * _ROW
    picture = svg.picture(_WIDTH, height, parts, label="Balanced accuracy without and with planted affect")
    return picture.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _line(row: Any, scale: svg.Scale, y: float) -> list[str]:
    middle = y - 4
    style = "none" if row.leak_free else "leak"
    parts = [svg.text(20, y, row.method)]
    parts.append(svg.line(scale(row.without), middle, scale(row.planted), middle, style="rise"))
    if row.without_low == row.without_low:
        parts.append(svg.line(scale(row.without_low), middle, scale(row.without_high), middle, style=style))
    parts.append(svg.marker(scale(row.without), middle, 4, shape=0, style=style))
    parts.append(svg.marker(scale(row.planted), middle, 3.5, shape=1, style="planted"))
    return parts

"""Scores without and with planted affect, one line a method and protocol, as SVGs that stand alone."""

from __future__ import annotations

from collections.abc import Sequence

from no_affect_rows import Row, grouped
from no_affect_together import Scored, judged_protocols, judged_rows

from eegpipe import datasets, svg

_STYLE = """<style>
text{font:11px sans-serif;fill:#333}.small{font-size:10px}.head{font-weight:bold}
.chance{stroke:#333;stroke-dasharray:4 3}
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


def figure(rows: Sequence[Row], worlds: int) -> str:
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
    parts += _legend(worlds, "the same simulations with affect; balanced accuracy")
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
    return _alone(svg.picture(_WIDTH, height, parts, label="Balanced accuracy without and with planted affect"))


def _legend(worlds: int, planted: str) -> list[str]:
    return [
        svg.marker(14, 14, 4, shape=0, style="none"),
        svg.text(24, 18, f"no affect planted, 95 % interval over {worlds} simulations"),
        svg.marker(354, 14, 4, shape=1, style="planted"),
        svg.text(364, 18, planted),
    ]


def _alone(picture: str) -> str:
    """As a file by itself, where a page does not say what kind of mark-up this is."""
    return picture.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _line(row: Row, scale: svg.Scale, y: float, left: float = 20, *, small: bool = False) -> list[str]:
    middle = y - 4
    style = "none" if row.leak_free else "leak"
    parts = [svg.text(left, y, row.method, style="small" if small else "")]
    parts.append(svg.line(scale(row.without), middle, scale(row.planted), middle, style="rise"))
    if row.without_low == row.without_low:
        low, high = (min(max(end, scale.low), scale.high) for end in (row.without_low, row.without_high))
        parts.append(svg.line(scale(low), middle, scale(high), middle, style=style))
    radius = 3 if small else 4
    parts.append(svg.marker(scale(row.without), middle, radius, shape=0, style=style))
    parts.append(svg.marker(scale(row.planted), middle, radius - 0.5, shape=1, style="planted"))
    return parts


# -- a panel for each protocol -----------------------------------------------------------------------------------------

_COLUMNS, _PANEL, _NAMES, _LINE = 4, 220.0, 84.0, 13.0


def panels(rows: Sequence[Row], worlds: int) -> str:
    """``rows``: of ``no_affect.py --every``. One panel for each data set and protocol, all from 0 to 1, leak free
    first; an interval of few simulations may go on beyond. Marks as in :func:`figure`."""
    width = _COLUMNS * _PANEL + 10
    parts: list[str] = []
    y = 34.0
    groups = grouped(rows)
    for heading, leak_free in (("Leak free", True), ("Leaking", False)):
        several = [some for some in groups if some[0].leak_free is leak_free]
        if not several:
            continue
        y += 20
        parts.append(svg.text(10, y, heading, style="head"))
        y += 8
        for first in range(0, len(several), _COLUMNS):
            some = several[first : first + _COLUMNS]
            for column, of_panel in enumerate(some):
                scale = svg.Scale(0.0, 1.0, column * _PANEL + _NAMES + 12, (column + 1) * _PANEL - 4)
                parts += _panel(of_panel, column * _PANEL + 10, y, scale)
            y += 54 + _LINE * max(map(len, some))
    head = [_STYLE, '<rect width="100%" height="100%" fill="#fff"/>']
    head += _legend(worlds, "the same simulations with affect; balanced accuracy; dashed line: chance")
    label = "Balanced accuracy without and with planted affect, a panel for each protocol"
    return _alone(svg.picture(width, y + 6, head + parts, label=label))


def _panel(rows: Sequence[Row], left: float, top: float, scale: svg.Scale) -> list[str]:
    first = rows[0]
    parts = [svg.text(left, top + 12, first.protocol, style="head small")]
    name = datasets.get(first.dataset).title.split(":")[0]
    parts.append(svg.text(left, top + 24, f"{name}, chance {first.chance:.2f}", style="small"))
    bottom = top + 30 + _LINE * len(rows)
    for tick in scale.ticks(4):
        parts.append(svg.line(scale(tick), top + 27, scale(tick), bottom, style="grid"))
        parts.append(svg.text(scale(tick), bottom + 11, f"{tick:g}", style="small", anchor="middle"))
    parts.append(svg.line(scale(first.chance), top + 27, scale(first.chance), bottom, style="chance"))
    for number, row in enumerate(rows, 1):
        parts += _line(row, scale, top + 28 + _LINE * number, left, small=True)
    return parts


# -- a line for each protocol, near to chance or far from it ----------------------------------------------------------

_LABELS = 250.0
_OFF = """<style>
.mean{stroke:#333;fill:#333;stroke-width:3}.leaked{stroke:#b0391e;fill:#b0391e;stroke-width:3}.one{stroke:#888;fill:#fff}
</style>"""


def off_chance(rows: Sequence[Scored], worlds: int) -> str:
    """``rows``: of ``no_affect.py --together``. Bar: mean over methods; rings: each method; dashed: chance."""
    protocols = judged_protocols(rows)
    singles = judged_rows(rows)
    scale = svg.covering(
        [end for one in protocols for end in (one.off_low, one.off_high)] + [one.off for one in singles],
        _LABELS,
        _WIDTH - 20,
    )
    top = 42.0
    bottom = top + _ROW * (len(protocols) + 3.2)
    parts = [_STYLE, _OFF, '<rect width="100%" height="100%" fill="#fff"/>']
    for tick in scale.ticks(8):
        parts.append(svg.line(scale(tick), top, scale(tick), bottom, style="grid"))
        parts.append(svg.text(scale(tick), bottom + 15, f"{tick:+.1f}" if tick else "0", anchor="middle"))
    parts.append(svg.line(scale(0), top, scale(0), bottom, style="chance"))
    parts.append(svg.text(scale(0), top - 6, "chance", anchor="middle"))
    parts += [
        svg.line(10, 14, 30, 14, style="mean"),
        svg.marker(20, 14, 4, shape=1, style="mean"),
        svg.text(38, 18, "mean of the methods, with interval"),
        svg.marker(236, 14, 3, shape=0, style="one"),
        svg.text(246, 18, f"one method, mean of {worlds} simulations"),
        svg.text(_WIDTH - 20, bottom + 30, "balanced accuracy minus the chance of the answers given", anchor="end"),
    ]
    y = top
    for heading, leak_free in (("Leak free", True), ("Leaking", False)):
        y += 1.3 * _ROW
        parts.append(svg.text(10, y, heading, style="head"))
        for one in protocols:
            if one.leak_free is leak_free:
                y += _ROW
                name = datasets.get(one.dataset).title.split(":")[0]
                style = "mean" if leak_free else "leaked"
                of_it = [row.off for row in singles if (row.dataset, row.protocol) == (one.dataset, one.protocol)]
                parts.append(svg.text(18, y, f"{one.protocol}, {name}"))
                parts.append(svg.line(scale(one.off_low), y - 4, scale(one.off_high), y - 4, style=style))
                parts += [svg.marker(scale(off), y - 4, 3, shape=0, style="one") for off in of_it]
                parts.append(svg.marker(scale(one.off), y - 4, 3.5, shape=1, style=style))
    label = "Distance from chance without planted affect, one line a protocol"
    return _alone(svg.picture(_WIDTH, bottom + 38, parts, label=label))

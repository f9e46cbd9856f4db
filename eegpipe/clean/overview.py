"""The quality page of a data set: every recording beside the others, so that the odd one is seen at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

import numpy as np

from eegpipe import svg
from eegpipe.clean.attention import FEWEST, FIGURES, ODD_DEVIATIONS, Figure, Judged, judge, short
from eegpipe.clean.page import count, page

_WIDTH = 360
# Names beside a picture's dots: more would lie on each other. The table names all.
_MOST_NAMED = 5
# Failed recordings listed in the open; a data set that failed as a whole needs no longer list.
_MOST_FAILED = 20
# Dots nearer than this stand on each other.
_BIN = 5.0
# A cell of the table is coloured from this deviation on, fully at three times the limit.
_TINTED_FROM = 2.0


def overview_page(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    """All recordings of one data set as a page of HTML, each linked to its own page ``<recording>.html``.

    Parameters
    ----------
    name
        Of the data set.
    rows
        Of ``quality.tsv``: text, "n/a" for what is not there. Recordings that failed have no page to link to.
    """
    judged = judge(rows)
    failed = [one for one in judged if one.failed]
    cleaned = [one for one in judged if not one.failed]
    parts = [_head(name, failed, cleaned)]
    if cleaned:
        parts += [_strips(cleaned), _table(cleaned)]
    return page(name, parts)


def _head(name: str, failed: Sequence[Judged], cleaned: Sequence[Judged]) -> str:
    odd = [one for one in cleaned if one.reasons]
    failures = [f"<li><strong>{escape(one.stem)}</strong> {escape('; '.join(one.reasons))}</li>" for one in failed]
    listed = f"<ul>{''.join(failures[:_MOST_FAILED])}</ul>"
    if len(failures) > _MOST_FAILED:
        hidden = "".join(failures[_MOST_FAILED:])
        listed += f"<details><summary>and {len(failures) - _MOST_FAILED} more</summary><ul>{hidden}</ul></details>"
    lost = f'<div class="attention failed"><strong>Failed: {len(failed)}</strong>{listed}</div>' if failed else ""
    told = f"{count(len(failed) + len(cleaned), 'recording')}: {len(cleaned)} cleaned, {len(failed)} failed."
    if not odd:
        judged = '<p class="fine">No cleaned recording stands out.</p>' if cleaned else ""
    else:
        items = "".join(f"<li>{_link(one)}: {escape(one.reasons[0])}</li>" for one in odd[:_MOST_NAMED])
        more = len(odd) - _MOST_NAMED
        rest = f'<li><a href="#recordings">and {more} more in the table</a></li>' if more > 0 else ""
        title = f"{count(len(odd), 'recording')} worth a look"
        judged = f'<div class="attention"><strong>{title}</strong><ul>{items}{rest}</ul></div>'
    few = (
        f" With fewer than {FEWEST} recordings they are not compared with each other." if len(cleaned) < FEWEST else ""
    )
    links = '<a href="#strips">Figures</a><a href="#recordings">Recordings</a>' if cleaned else ""
    return (
        f'<header><nav aria-label="Parts">{links}</nav><h1>{escape(name)}: quality of the cleaning</h1>'
        f'<p class="lead">{told}{few}</p>{lost}{judged}</header>'
    )


def _href(one: Judged) -> str:
    return f"{quote(one.stem)}.html"


def _link(one: Judged) -> str:
    return f'<a href="{_href(one)}">{escape(one.stem)}</a>'


# -- pictures ----------------------------------------------------------------------------------------------------------


def _strips(cleaned: Sequence[Judged]) -> str:
    figures = []
    for figure in FIGURES:
        measured = [one for one in cleaned if figure.column in one.values]
        if measured:
            values = np.array([one.values[figure.column] for one in measured])
            unit = f" {figure.unit}" if figure.unit else ""
            usual = f"median {short(float(np.median(values)))}{unit}"
            missing = f", not measured in {len(cleaned) - len(measured)}" if len(measured) < len(cleaned) else ""
            figures.append(
                f'<figure><figcaption>{figure.title} <span class="muted">{usual}{missing}</span></figcaption>'
                f"{_strip(figure, measured, values)}</figure>"
            )
    return (
        '<section id="strips"><h2>Figures</h2><p class="muted">A dot is a recording, the line the median; outside the '
        f"grey band a recording is more than {ODD_DEVIATIONS:g} robust standard deviations (scaled median absolute "
        "deviation, with a least width for each figure) from it.</p>"
        f'<div class="strips">{"".join(figures)}</div></section>'
    )


def _strip(figure: Figure, measured: Sequence[Judged], values: np.ndarray) -> str:
    top, bottom, left, right = 20.0, 84.0, 10.0, _WIDTH - 10.0
    x = svg.covering(values.tolist(), left, right, pad=0.06)
    parts, odd_ones = [], [one for one in measured if one.stands_out(figure.column)]
    centre, reach = _limits(figure, measured, values)
    if reach is not None:
        low, high = (float(np.clip(x(centre + side * reach), left - 6, right + 6)) for side in (-1, 1))
        parts.append(svg.rect(low, top, high - low, bottom - top, style="limits"))
    for tick in x.ticks(5):
        parts.append(svg.line(x(tick), top, x(tick), bottom, style="grid"))
        parts.append(svg.text(x(tick), bottom + 14, short(tick), style="small", anchor="middle"))
    parts.append(svg.line(x(centre), top - 4, x(centre), bottom + 3, style="usual"))
    lanes = _piled(np.array([x(value) for value in values.tolist()]), top + 4, bottom - 4)
    radius = 3.0 if len(measured) <= 120 else 2.2
    named = []
    for index, one in enumerate(measured):
        value = float(values[index])
        hint = f"{one.stem}: {short(value)} {figure.unit}".rstrip()
        if one.stands_out(figure.column):
            mark = svg.marker(x(value), lanes[index], 4.5, shape=2, style="odd", hint=hint)
            parts.append(f'<a href="{_href(one)}">{mark}</a>')
            named.append((abs(one.deviations[figure.column]), x(value), lanes[index], _short_stem(one.stem)))
        else:
            parts.append(svg.dot(x(value), lanes[index], radius, style="recording", hint=hint))
    parts += _names(sorted(named, key=lambda entry: -entry[0])[:_MOST_NAMED])
    told = ", ".join(one.stem for one in odd_ones[:20]) or "none"
    label = f"{figure.title} of {count(len(measured), 'recording')}. Standing out: {told}."
    return svg.picture(_WIDTH, bottom + 20, parts, label=label)


def _piled(x: np.ndarray, top: float, bottom: float) -> list[float]:
    """Heights for dots at ``x``, piled up from the bottom where they are near each other; higher piles are denser."""
    bins = np.floor(x / _BIN).astype(int).tolist()
    step = min(2 * _BIN, (bottom - top) / max(1, max(Counter(bins).values()) - 1))
    heights, piled = [], Counter[int]()
    for one in bins:
        heights.append(bottom - step * piled[one])
        piled[one] += 1
    return heights


def _limits(figure: Figure, measured: Sequence[Judged], values: np.ndarray) -> tuple[float, float | None]:
    """The median, and how far from it a recording stands out; None where nothing is compared."""
    centre = float(np.median(values))
    for one, value in zip(measured, values, strict=True):
        deviation = one.deviations.get(figure.column)
        if deviation:  # one unit of deviation follows from any recording away from the median
            return centre, ODD_DEVIATIONS * (float(value) - centre) / deviation
    return centre, figure.least if any(figure.column in one.deviations for one in measured) else None


def _names(named: Sequence[tuple[float, float, float, str]]) -> list[str]:
    """Names beside their marks, left or right of them, and not over each other; what finds no room has its hint."""
    parts: list[str] = []
    taken: list[tuple[float, float, float]] = []
    for _, at, lane, words in named:
        wide = 6.2 * len(words)
        ends = at > _WIDTH * 0.55
        first = at - 8 - wide if ends else at + 8
        y = next(
            (lane + 4 + shift for shift in (0, -12, 12, -24, 24) if _free(first, wide, lane + 4 + shift, taken)), None
        )
        if y is not None:
            taken.append((first, first + wide, y))
            parts.append(
                svg.text(at - 8 if ends else at + 8, y, words, style="odd-text", anchor="end" if ends else "start")
            )
    return parts


def _free(first: float, wide: float, y: float, taken: Sequence[tuple[float, float, float]]) -> bool:
    inside = first > 0 and first + wide < _WIDTH and 10 <= y <= 84
    return inside and all(abs(y - other) > 11 or first > last or first + wide < start for start, last, other in taken)


def _short_stem(stem: str) -> str:
    """``sub-01_ses-1_task-emotion`` -> ``01 ses-1``"""
    pieces = stem.split("_")
    rest = [piece for piece in pieces[1:] if not piece.startswith("task-")]
    return " ".join([pieces[0].removeprefix("sub-"), *rest])


# -- table -------------------------------------------------------------------------------------------------------------


def _table(cleaned: Sequence[Judged]) -> str:
    shown = [figure for figure in FIGURES if any(figure.column in one.values for one in cleaned)]
    titles = "".join(
        f'<th class="number" scope="col">{figure.title}{f", {figure.unit}" if figure.unit else ""}</th>'
        for figure in shown
    )
    lines = "".join(_line(one, shown) for one in cleaned)
    return (
        '<section id="recordings"><h2>Recordings</h2><p class="muted">The oddest first; equally odd ones as in '
        "quality.tsv. The further a figure is from the median, the stronger its colour.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Recordings"><table class="judged"><thead><tr>'
        f'<th scope="col">Recording</th><th scope="col">Why to look at it</th>{titles}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div></section>"
    )


def _line(one: Judged, shown: Sequence[Figure]) -> str:
    cells = []
    for figure in shown:
        value = one.values.get(figure.column)
        far = abs(one.deviations.get(figure.column, 0.0))
        tint = min(0.6, 0.6 * (far - _TINTED_FROM) / (3 * ODD_DEVIATIONS - _TINTED_FROM)) if far > _TINTED_FROM else 0.0
        style = f' style="--far:{max(tint, 0.04):.2f}"' if tint else ""
        strong = one.stands_out(figure.column)
        text = "–" if value is None else f"<strong>{short(value)}</strong>" if strong else short(value)
        cells.append(f'<td class="number"{style}>{text}</td>')
    why = escape("; ".join(one.reasons))
    return f'<tr><th scope="row">{_link(one)}</th><td class="why">{why}</td>{"".join(cells)}</tr>'

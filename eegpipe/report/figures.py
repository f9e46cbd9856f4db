"""The pictures of the report. Each takes plain data and gives SVG text; colours are classes of ``style.css``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from eegpipe import svg
from eegpipe.report.comparison import Confusion, Row
from eegpipe.report.excerpts import Excerpt

# Of a phone's screen, in CSS pixels; wider screens put pictures side by side.
WIDTH = 360


def forest(rows: Sequence[Row], methods: Sequence[str]) -> str:
    """Balanced accuracy with interval, and each subject's, per protocol and method of one target.

    ``methods`` fixes colours and markers over all targets. Protocols with leaks come below a line, with hollow markers.
    """
    first = rows[0]
    scale = svg.Scale(0, 1, 72, WIDTH - 58)
    parts, labels, y = [], [], 4.0
    body: list[str] = []
    chances: list[str] = []
    clean_before = False
    for (leak_free, title), group in groupby(rows, key=lambda row: (row.leak_free, row.title)):
        members = list(group)
        if clean_before and not leak_free:
            body.append(svg.line(0, y, WIDTH, y, style="leak-rule"))
            y += 4
        clean_before = leak_free
        y += 16
        # Where all protocols have the same classes the pieces are one line; with two classes chance lies elsewhere.
        chance, above = scale(members[0].uniform), y - 14
        body.append(svg.text(0, y, title, style="strong"))
        if not leak_free:
            body.append(svg.text(WIDTH, y, "leaks", style="leak", anchor="end"))
        for row in members:
            y += 20
            body += _forest_row(row, methods.index(row.method), scale, y)
            labels.append(f"{title}{'' if leak_free else ' (leaks)'}, {row.method_title}: {_with_interval(row)}")
        y += 12
        chances.append(svg.line(chance, above, chance, y + 4, style="chance"))
    bottom = y
    for tick in scale.ticks(4):
        parts.append(svg.line(scale(tick), 6, scale(tick), bottom, style="grid"))
        parts.append(svg.text(scale(tick), bottom + 14, f"{tick:.0%}", style="small", anchor="middle"))
    levels = list(dict.fromkeys(row.uniform for row in rows))
    words = f"chance {' and '.join(f'{level:.0%}' for level in levels)}"
    middle = sum(map(scale, levels)) / len(levels)
    parts.append(svg.text(middle, bottom + 28, words, style="small chance-text", anchor="middle"))
    label = f"Balanced accuracy on {first.target}, {words}. " + "; ".join(labels)
    return svg.picture(WIDTH, bottom + 32, [*parts, *chances, *body], label=label)


def _forest_row(row: Row, method: int, scale: svg.Scale, y: float) -> list[str]:
    colour = f"m{method % 6}"
    parts = [svg.text(0, y + 4, row.method_title, style="small")]
    hollow = "" if row.leak_free else " hollow"
    for name, value in row.per_subject.items():
        parts.append(svg.dot(scale(value), y, 2.4, style=f"person {colour}", hint=f"subject {name}: {value:.1%}"))
    score = row.balanced
    if score.low is not None and score.high is not None:
        parts.append(svg.line(scale(score.low), y, scale(score.high), y, style=f"interval {colour}"))
    if score.value is not None:
        hint = f"{row.method_title}, {row.title}: {_with_interval(row)}"
        parts.append(svg.marker(scale(score.value), y, 5, shape=method, style=f"mean {colour}{hollow}", hint=hint))
        parts.append(svg.text(WIDTH, y + 4, f"{100 * score.value:.1f} %", style="small number", anchor="end"))
    return parts


def _with_interval(row: Row) -> str:
    score = row.balanced
    if score.value is None:
        return "no score"
    interval = f" ({score.low:.1%} to {score.high:.1%})" if score.low is not None and score.high is not None else ""
    return f"{score.value:.1%}{interval}"


def confusion(table: Confusion) -> str:
    """Share of each actual class (rows) that was answered as each class (columns)."""
    n = len(table.classes)
    left, top = 92.0, 22.0
    cell = min(56.0, (WIDTH - left) / n)
    turned = max(map(len, table.classes)) * 6 > cell
    totals = table.counts.sum(axis=1)
    parts = [svg.text(left + n * cell / 2, 9, "answered", style="small", anchor="middle")]
    for row, actual in enumerate(table.classes):
        y = top + row * cell
        parts.append(svg.text(left - 6, y + cell / 2 + 4, actual, style="small", anchor="end"))
        for column in range(n):
            share = table.counts[row, column] / totals[row] if totals[row] else 0.0
            x = left + column * cell
            parts.append(svg.rect(x, y, cell - 1.5, cell - 1.5, style="cell"))
            parts.append(svg.rect(x, y, cell - 1.5, cell - 1.5, style="heat", opacity=share))
            style = "small heat-high" if share > 0.5 else "small"
            parts.append(
                svg.text(x + cell / 2 - 1, y + cell / 2 + 4, f"{100 * share:.0f}", style=style, anchor="middle")
            )
    below = top + n * cell
    for column, name in enumerate(table.classes):
        x = left + (column + 0.5) * cell
        if not turned:
            parts.append(svg.text(x, below + 12, name, style="small", anchor="middle"))
        else:
            parts.append(svg.text(x + 4, below + 4, name, style="small", anchor="end", turned=True))
    height = below + (84 if turned else 18)
    right = np.diag(table.counts).sum() / max(1, table.counts.sum())
    label = f"Confusion matrix of {table.method} on {table.target}: {right:.0%} of the answers are right."
    return svg.picture(WIDTH, height, parts, label=label)


@dataclass(frozen=True)
class Strip:
    """One figure of all recordings: data set -> (recording, value, whether it stands out)."""

    title: str
    unit: str
    points: Mapping[str, Sequence[tuple[str, float, bool]]]


def strip(data: Strip) -> str:
    """A dot for each recording, one line for each data set; recordings that stand out are large and named."""
    values = [value for points in data.points.values() for _, value, _ in points]
    scale = svg.covering([0.0, *values] if min(values) >= 0 else values, 72, WIDTH - 12, pad=0.06)
    parts, odd_ones = [], []
    height = 36.0
    bottom = 10 + height * len(data.points)
    for tick in scale.ticks(4):
        parts.append(svg.line(scale(tick), 4, scale(tick), bottom, style="grid"))
        parts.append(svg.text(scale(tick), bottom + 14, _tick(tick), style="small", anchor="middle"))
    parts.append(svg.text(WIDTH - 12, bottom + 28, data.unit, style="small", anchor="end"))
    for number, (name, points) in enumerate(data.points.items()):
        y = 10 + height * (number + 0.5)
        parts.append(svg.text(0, y + 4, name, style="small"))
        parts.append(svg.line(72, y, WIDTH - 12, y, style="grid"))
        # Spread by rank in three lanes, so that equal values do not hide each other.
        for lane, (recording, value, odd) in enumerate(sorted(points, key=lambda point: point[1])):
            hint = f"{recording}: {value:g} {data.unit}"
            if odd:
                odd_ones.append(hint)
                anchor = "end" if scale(value) > WIDTH * 0.6 else "start"
                shift = -8 if anchor == "end" else 8
                parts.append(svg.marker(scale(value), y, 4.5, shape=2, style="odd", hint=hint))
                parts.append(
                    svg.text(scale(value) + shift, y - 7, _short(recording), style="small odd-text", anchor=anchor)
                )
            else:
                parts.append(svg.dot(scale(value), y + (lane % 3 - 1) * 5, 3, style="recording", hint=hint))
    told = f" Standing out: {', '.join(odd_ones)}." if odd_ones else " None stands out."
    return svg.picture(WIDTH, bottom + 32, parts, label=f"{data.title}, one dot per recording.{told}")


def _short(stem: str) -> str:
    """``sub-01_ses-1_task-emotion`` -> ``01 ses-1``"""
    pieces = stem.split("_")
    rest = [piece for piece in pieces[1:] if piece != "task-emotion"]
    return " ".join([pieces[0].removeprefix("sub-"), *(piece.removeprefix("task-") for piece in rest)])


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def traces(piece: Excerpt) -> str:
    """The channels of an excerpt below each other, before (pale) and after cleaning."""
    lane, top, left = 46.0, 18.0, 30.0
    width = 2.0 * WIDTH
    centred = piece.before_uv - np.median(piece.before_uv, axis=1, keepdims=True)
    after = piece.after_uv - np.median(piece.after_uv, axis=1, keepdims=True)
    reach = max(1.0, 5 * float(np.median(after.std(axis=1))), 0.5 * float(np.quantile(np.abs(centred), 0.995)))
    time = np.arange(centred.shape[1]) / piece.rate_hz
    x = svg.Scale(0, float(time[-1]), left, width - 14)
    parts = []
    bottom = top + lane * len(piece.channels)
    for tick in x.ticks(6):
        parts.append(svg.line(x(tick), top, x(tick), bottom, style="grid"))
        parts.append(svg.text(x(tick), bottom + 14, f"{tick + piece.start_s:.0f} s", style="small", anchor="middle"))
    for number, name in enumerate(piece.channels):
        middle = top + lane * (number + 0.5)
        parts.append(svg.text(0, middle + 4, name, style="small"))
        for signal, style in ((centred[number], "before"), (after[number], "after")):
            # What leaves its lane by far is cut, or one jump would cover all other channels.
            y = middle - np.clip(signal / reach, -1.6, 1.6) * lane / 2
            parts.append(svg.curve(*svg.envelope(x.start + time / time[-1] * (x.end - x.start), y, 640), style=style))
    bar = _round_bar(reach)
    length = bar / reach * lane / 2
    parts.append(svg.line(width - 4, bottom, width - 4, bottom - length, style="scale-bar"))
    parts.append(svg.text(width, bottom + 14, f"{bar:g} µV", style="small", anchor="end"))
    label = (
        f"{len(piece.channels)} channels of {piece.recording.stem} from second {piece.start_s:.0f}, before and after "
        f"cleaning; typical amplitude {_amplitudes(centred, after)}."
    )
    return svg.picture(width, bottom + 20, parts, label=label)


def _amplitudes(before_uv: np.ndarray, after_uv: np.ndarray) -> str:
    return f"{np.median(before_uv.std(axis=1)):.1f} µV before, {np.median(after_uv.std(axis=1)):.1f} µV after"


def _round_bar(reach_uv: float) -> float:
    return next((bar for bar in (500, 200, 100, 50, 20, 10, 5, 2) if bar <= reach_uv), 1)


def spectra(piece: Excerpt) -> str:
    """Power density of the median channel before and after cleaning, over a logarithmic frequency axis."""
    top, bottom, left = 8.0, 190.0, 40.0
    low, high = float(piece.frequencies_hz[0]), float(piece.frequencies_hz[-1])
    x = svg.Scale(np.log10(low), np.log10(high), left, WIDTH - 8)
    shown = np.concatenate([piece.before_db, piece.after_db])
    y = svg.covering(np.maximum(shown, shown.max() - 60), bottom, top)
    parts = []
    for tick in (0.5, 1, 2, 5, 10, 20, 50):
        if low <= tick <= high:
            parts.append(svg.line(x(np.log10(tick)), top, x(np.log10(tick)), bottom, style="grid"))
            parts.append(svg.text(x(np.log10(tick)), bottom + 14, _tick(tick), style="small", anchor="middle"))
    for tick in y.ticks(5):
        parts.append(svg.line(left, y(tick), WIDTH - 8, y(tick), style="grid"))
        parts.append(svg.text(left - 5, y(tick) + 4, _tick(tick), style="small", anchor="end"))
    for values, style in ((piece.before_db, "before"), (piece.after_db, "after")):
        lines = x.start + (np.log10(piece.frequencies_hz) - x.low) / (x.high - x.low) * (x.end - x.start)
        heights = y.start + (np.maximum(values, y.low) - y.low) / (y.high - y.low) * (y.end - y.start)
        parts.append(svg.curve(lines, heights, style=style))
    parts.append(svg.text(WIDTH - 8, bottom + 28, "Hz", style="small", anchor="end"))
    parts.append(svg.text(10, (top + bottom) / 2, "dB (µV²/Hz)", style="small", anchor="middle", turned=True))
    label = f"Power spectrum of {piece.recording.stem} before and after cleaning."
    return svg.picture(WIDTH, bottom + 32, parts, label=label)


# Columns of a log: the contrastive loss, and its value for embeddings without information.
_LOSSES = (("isa", "isa_chance"), ("loss", "contrast_chance"), ("loss", "chance"))


def has_losses(log: Mapping[str, Sequence[float]]) -> bool:
    """Whether :func:`losses` can draw a log."""
    return bool(log.get("epoch")) and any(loss in log and chance in log for loss, chance in _LOSSES)


def losses(log: Mapping[str, Sequence[float]]) -> str:
    """The contrastive loss over epochs, as a share of what embeddings without information give."""
    epochs = np.array(log["epoch"])
    top, bottom, left = 8.0, 170.0, 40.0
    loss, chance = next(pair for pair in _LOSSES if pair[0] in log and pair[1] in log)
    total = np.array(log[loss]) / np.array(log[chance])
    x = svg.covering(epochs, left, WIDTH - 8, pad=0.02)
    y = svg.covering([*total, 1.0], bottom, top, pad=0.08)
    parts = []
    for tick in y.ticks(4):
        parts.append(svg.line(left, y(tick), WIDTH - 8, y(tick), style="grid"))
        parts.append(svg.text(left - 5, y(tick) + 4, f"{tick:.2g}", style="small", anchor="end"))
    for tick in x.ticks(5):
        if tick == int(tick):
            parts.append(svg.text(x(tick), bottom + 14, _tick(tick), style="small", anchor="middle"))
    parts.append(svg.line(left, y(1), WIDTH - 8, y(1), style="chance"))
    parts.append(svg.text(WIDTH - 8, y(1) - 4, "no information", style="small chance-text", anchor="end"))
    points = [(x(epoch), y(value)) for epoch, value in zip(epochs, total, strict=True)]
    if len(points) > 1:
        parts.append(svg.curve(*np.array(points).T, style="after"))
    parts += [svg.dot(px, py, 2.5, style="mean m1") for px, py in (points if len(points) < 40 else points[-1:])]
    parts.append(svg.text(WIDTH - 8, bottom + 28, "epoch", style="small", anchor="end"))
    label = (
        f"Contrastive loss over {len(epochs)} epochs, as a share of its value without information: from {total[0]:.2f} "
        f"to {total[-1]:.2f}."
    )
    return svg.picture(WIDTH, bottom + 32, parts, label=label)

"""Pictures of scores: differences, people, ROC curves, numbers of training subjects, terms of a loss, a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from eegpipe import svg
from eegpipe.report.comparison import METHOD_TITLES, Gap, Row
from eegpipe.report.figures import WIDTH
from eegpipe.report.predicted import RATES, Roc
from eegpipe.report.tables import CurvePoint, SweepRow

_MOST_PEOPLE = 40


def signed(value: float) -> str:
    """Points of a difference, with a true minus sign."""
    return f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "−")


def decimal(value: float) -> str:
    """Two decimals, with a true minus sign and no minus zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def gaps(shown: Sequence[Gap], methods: Sequence[str]) -> str:
    """Differences with their intervals, one line each, under the name of the protocol; the upright line is none."""
    values = [value for gap in shown for value in (gap.difference, gap.low, gap.high) if value is not None]
    scale = svg.covering([0.0, *values], 84, WIDTH - 50, pad=0.04)
    parts, body, labels, y = [], [], [], 2.0
    for title, members in groupby(shown, key=lambda gap: gap.upper.title):
        y += 16
        body.append(svg.text(0, y, title, style="strong"))
        for gap in members:
            y += 18
            row = gap.upper
            number = methods.index(row.method)
            body.append(svg.text(0, y + 4, row.method_title, style="small"))
            if gap.low is not None and gap.high is not None:
                body.append(svg.line(scale(gap.low), y, scale(gap.high), y, style=f"interval m{number % 6}"))
            told = f"{row.method_title}, {title}: {_with_interval(gap)}"
            body.append(svg.marker(scale(gap.difference), y, 5, shape=number, style=f"mean m{number % 6}", hint=told))
            body.append(svg.text(WIDTH, y + 4, signed(gap.difference), style="small number", anchor="end"))
            labels.append(told)
        y += 8
    for tick in scale.ticks(4):
        parts.append(svg.line(scale(tick), 4, scale(tick), y, style="grid"))
        parts.append(svg.text(scale(tick), y + 14, f"{100 * tick:g}".replace("-", "−"), style="small", anchor="middle"))
    parts.append(svg.line(scale(0), 4, scale(0), y, style="zero"))
    parts.append(svg.text(WIDTH, y + 28, "points of balanced accuracy", style="small", anchor="end"))
    return svg.picture(
        WIDTH, y + 32, [*parts, *body], label=f"Differences on {shown[0].upper.target}. {'; '.join(labels)}."
    )


def _with_interval(gap: Gap) -> str:
    interval = f" ({signed(gap.low)} to {signed(gap.high)})" if gap.low is not None and gap.high is not None else ""
    return f"{signed(gap.difference)} points{interval}"


def people(rows: Sequence[Row], methods: Sequence[str]) -> str:
    """One bar for each test subject and method, from chance, subjects in order of their mean over the methods.

    Of more than forty subjects the twenty at either end are drawn.
    """
    names = sorted({name for row in rows for name in row.per_subject})
    mean = {name: float(np.mean([row.per_subject[name] for row in rows if name in row.per_subject])) for name in names}
    order = sorted(names, key=lambda name: -mean[name])
    left_out = len(order) - _MOST_PEOPLE
    if left_out > 0:
        order = [*order[: _MOST_PEOPLE // 2], "", *order[-_MOST_PEOPLE // 2 :]]
    chance = rows[0].uniform
    scale = svg.Scale(0, 1, 46, WIDTH - 18)
    bar = 5.0
    lane = bar * len(rows) + 8
    parts, body, y = [], [], 4.0
    for name in order:
        if not name:
            body.append(svg.text(46, y + 12, f"{left_out} subjects between", style="small"))
            y += 18
            continue
        body.append(svg.text(0, y + lane / 2 + 1, name, style="small"))
        for place, row in enumerate(rows):
            value = row.per_subject.get(name)
            if value is None:
                continue
            number = methods.index(row.method)
            start, end = sorted((scale(chance), scale(value)))
            top = y + place * bar
            hint = f"subject {name}, {row.method_title}: {value:.1%}"
            body.append(svg.rect(start, top, max(end - start, 1.0), bar - 1, style=f"bar m{number % 6}", hint=hint))
        y += lane
    for tick in scale.ticks(4):
        parts.append(svg.line(scale(tick), 2, scale(tick), y, style="grid"))
        parts.append(svg.text(scale(tick), y + 13, f"{tick:.0%}", style="small", anchor="middle"))
    body.append(svg.line(scale(chance), 2, scale(chance), y, style="chance"))
    best, worst = order[0], order[-1]
    label = (
        f"Balanced accuracy of {len(names)} test subjects on {rows[0].target}, a bar from chance for each of "
        f"{len(rows)} methods. Mean over methods: highest subject {best} ({mean[best]:.1%}), lowest subject {worst} "
        f"({mean[worst]:.1%})."
    )
    return svg.picture(WIDTH, y + 18, [*parts, *body], label=label)


def roc(curves: Sequence[Roc], methods: Sequence[str]) -> str:
    """Hits over false alarms of one class, a line for each method; the diagonal knows nothing."""
    top, bottom, left = 6.0, 286.0, 40.0
    x, y = svg.Scale(0, 1, left, left + 280), svg.Scale(0, 1, bottom, top)
    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(svg.line(x(tick), top, x(tick), bottom, style="grid"))
        parts.append(svg.line(left, y(tick), x(1), y(tick), style="grid"))
        parts.append(svg.text(x(tick), bottom + 14, f"{tick:g}", style="small", anchor="middle"))
        parts.append(svg.text(left - 5, y(tick) + 4, f"{tick:g}", style="small", anchor="end"))
    parts.append(svg.line(x(0), y(0), x(1), y(1), style="chance"))
    for curve in curves:
        number = methods.index(curve.method)
        dashed = " dashed" if number % 12 >= 6 else ""
        across = x.start + RATES * (x.end - x.start)
        up = y.start + curve.hits * (y.end - y.start)
        parts.append(svg.curve(across, up, style=f"roc m{number % 6}{dashed}"))
    parts.append(svg.text(x(1), bottom + 28, "false alarms", style="small", anchor="end"))
    parts.append(svg.text(10, (top + bottom) / 2, "hits", style="small", anchor="middle", turned=True))
    areas = ", ".join(f"{METHOD_TITLES.get(one.method, one.method)} {one.area:.2f}" for one in curves)
    one = curves[0]
    label = f"ROC curves of the class {one.class_name} on {one.target}. Areas: {areas}."
    return svg.picture(WIDTH, bottom + 32, parts, label=label)


def fewshot(curves: Mapping[str, Sequence[CurvePoint]], methods: Sequence[str], target: str) -> str:
    """Balanced accuracy over the number of training subjects, each method a little aside of the last."""
    every = [point for points in curves.values() for point in points]
    counts = sorted({point.subjects for point in every})
    top, bottom, left = 8.0, 220.0, 44.0
    x = svg.covering(np.log2(counts), left, WIDTH - 10, pad=0.08)
    reached = [value for point in every for value in (point.score, point.low, point.high) if value is not None]
    y = svg.covering([every[0].chance, *reached], bottom, top)
    parts, told = [], []
    for tick in y.ticks(5):
        parts.append(svg.line(left, y(tick), WIDTH - 10, y(tick), style="grid"))
        parts.append(svg.text(left - 5, y(tick) + 4, f"{tick:.0%}", style="small", anchor="end"))
    for count in counts:
        parts.append(svg.text(x(np.log2(count)), bottom + 14, str(count), style="small", anchor="middle"))
    parts.append(svg.line(left, y(every[0].chance), WIDTH - 10, y(every[0].chance), style="chance"))
    for place, (method, points) in enumerate(curves.items()):
        number = methods.index(method)
        aside = 5.0 * (place - (len(curves) - 1) / 2)
        across = np.array([x(np.log2(point.subjects)) + aside for point in points])
        parts.append(svg.curve(across, np.array([y(point.score) for point in points]), style=f"roc m{number % 6}"))
        for at, point in zip(across, points, strict=True):
            if point.low is not None and point.high is not None:
                parts.append(svg.line(at, y(point.low), at, y(point.high), style=f"whisker m{number % 6}"))
            title = METHOD_TITLES.get(method, method)
            hint = f"{title}, {point.subjects} training subjects: {point.score:.1%}"
            parts.append(svg.marker(at, y(point.score), 4, shape=number, style=f"mean m{number % 6}", hint=hint))
        first, last = points[0], points[-1]
        told.append(
            f"{METHOD_TITLES.get(method, method)} {first.score:.1%} with {first.subjects}, {last.score:.1%} with "
            f"{last.subjects}"
        )
    parts.append(svg.text(WIDTH - 10, bottom + 28, "training subjects", style="small", anchor="end"))
    label = f"Balanced accuracy over the number of training subjects on {target}: {'; '.join(told)}."
    return svg.picture(WIDTH, bottom + 32, parts, label=label)


def terms(log: Mapping[str, Sequence[float]]) -> str:
    """Every logged term of the loss over epochs, each with a scale of its own."""
    epochs = np.array(log["epoch"])
    names = [name for name in log if name != "epoch" and np.ptp(log[name]) > 0]
    across, lane, gap = WIDTH / 2 - 8, 84.0, 16.0
    parts, told = [], []
    for place, name in enumerate(names):
        values = np.array(log[name])
        left = (place % 2) * (across + gap)
        top = (place // 2) * lane
        x = svg.covering(epochs, left, left + across, pad=0.02)
        y = svg.covering(values, top + 64, top + 20, pad=0.05)
        parts.append(svg.text(left, top + 12, name, style="small"))
        change = f"{values[0]:.3g} to {values[-1]:.3g}".replace("-", "−")
        parts.append(svg.text(left + across, top + 12, change, style="small number", anchor="end"))
        parts.append(svg.line(left, top + 68, left + across, top + 68, style="grid"))
        if len(values) > 1:
            line = np.array([y(value) for value in values])
            parts.append(svg.curve(np.array([x(epoch) for epoch in epochs]), line, style="after"))
        told.append(f"{name} from {change}")
    label = f"Terms of the loss over {len(epochs)} epochs: {', '.join(told)}."
    return svg.picture(WIDTH, max(lane * ((len(names) + 1) // 2) - 10, 20), parts, label=label)


def sweep(rows: Sequence[SweepRow]) -> str:
    """Balanced accuracy over the values of one setting, one protocol; values stand at equal steps."""
    ordered = sorted(rows, key=lambda row: row.value)
    top, bottom, left = 8.0, 190.0, 44.0
    x = svg.Scale(0, max(len(ordered) - 1, 1), left + 14, WIDTH - 24)
    reached = [value for row in ordered for value in (row.score, row.low, row.high) if value is not None]
    y = svg.covering([ordered[0].chance, *reached], bottom, top)
    parts = []
    for tick in y.ticks(5):
        parts.append(svg.line(left, y(tick), WIDTH - 10, y(tick), style="grid"))
        parts.append(svg.text(left - 5, y(tick) + 4, f"{tick:.0%}", style="small", anchor="end"))
    parts.append(svg.line(left, y(ordered[0].chance), WIDTH - 10, y(ordered[0].chance), style="chance"))
    across = np.array([x(place) for place in range(len(ordered))])
    parts.append(svg.curve(across, np.array([y(row.score) for row in ordered]), style="roc m1"))
    for at, row in zip(across, ordered, strict=True):
        parts.append(svg.text(at, bottom + 14, f"{row.value:g}", style="small", anchor="middle"))
        if row.low is not None and row.high is not None:
            parts.append(svg.line(at, y(row.low), at, y(row.high), style="whisker m1"))
        parts.append(svg.marker(at, y(row.score), 4, shape=0, style="mean m1", hint=f"{row.value:g}: {row.score:.1%}"))
    parts.append(svg.text(WIDTH - 10, bottom + 28, ordered[0].setting, style="small", anchor="end"))
    told = ", ".join(f"{row.value:g}: {row.score:.1%}" for row in ordered)
    label = f"Balanced accuracy of {ordered[0].method} on {ordered[0].target} over {ordered[0].setting}: {told}."
    return svg.picture(WIDTH, bottom + 32, parts, label=label)

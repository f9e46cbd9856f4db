"""Pictures of features: maps, valence-arousal centroids, clusters, and ART's graph on the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from eegpipe import svg
from eegpipe.channels import position
from eegpipe.clean import topomap
from eegpipe.report.comparison import METHOD_TITLES
from eegpipe.report.figures import WIDTH
from eegpipe.report.figures_scores import decimal
from eegpipe.report.tables import EmotionGraph, Features, MapPoint, Measure, Pair

# Colours of valence, the same on every map; negative and positive also differ in shape.
_VALENCE = {"negative": "m4 square", "neutral": "m5", "positive": "m2", "unknown": "faint"}
_EDGES_DRAWN = 400


def data_set_map(shown: Features, data_sets: Sequence[str]) -> str:
    """The plane of t-SNE, a colour for each data set; squares are the target's, which the encoder has not seen."""
    styles = {
        name: f"m{data_sets.index(name) % 6}" + ("" if seen else " square")
        for name, seen in dict.fromkeys((point.data_set, point.seen) for point in shown.points)
    }
    counted = ", ".join(styles)
    label = f"Map of {_title(shown)} features for the target {shown.target}, by data set: {counted}."
    return _map(shown.points, [point.data_set for point in shown.points], styles, label)


def emotion_map(shown: Features) -> str:
    """The same plane, a colour for each third of valence."""
    styles = {name: style for name, style in _VALENCE.items() if any(point.valence == name for point in shown.points)}
    label = f"Map of {_title(shown)} features for the target {shown.target}, by valence: {', '.join(styles)}."
    return _map(shown.points, [point.valence for point in shown.points], styles, label)


def _title(shown: Features) -> str:
    return METHOD_TITLES.get(shown.method, shown.method)


def _map(points: Sequence[MapPoint], names: Sequence[str], styles: Mapping[str, str], label: str) -> str:
    across, up = np.array([point.x for point in points]), np.array([point.y for point in points])
    half = max(np.ptp(across), np.ptp(up), 1e-6) / 2
    middle = (across.max() + across.min()) / 2, (up.max() + up.min()) / 2
    side = float(WIDTH)
    x = (across - middle[0]) / half * (side / 2 - 8) + side / 2
    y = side / 2 - (up - middle[1]) / half * (side / 2 - 8)
    known = np.array(names)
    parts = [svg.cloud(x[known == name], y[known == name], style=f"cloud {style}") for name, style in styles.items()]
    along = 6.0
    for name, style in styles.items():
        parts.append(svg.cloud([along], [side + 12], style=f"cloud {style}"))
        parts.append(svg.text(along + 8, side + 16, name, style="small"))
        along += 22 + 6.6 * len(name)
    return svg.picture(side, side + 24, parts, label=label)


def silhouettes(measures: Sequence[Measure]) -> str:
    """One line for each silhouette: the value, and the range from the mean of chance to what chance seldom exceeds."""
    values = [value for one in measures for value in (one.value, one.chance, one.high)]
    scale = svg.covering([0.0, *values], 112, WIDTH - 44, pad=0.06)
    parts, body, told, y = [], [], [], 4.0
    for one in measures:
        y += 20
        name = f"{one.by}, {one.over}" if one.over != "all" else one.by
        body.append(svg.text(0, y + 4, name, style="small"))
        body.append(svg.line(scale(one.chance), y, scale(one.high), y, style="by-chance"))
        style = "mean m1" if one.above else "mean m5 hollow"
        body.append(svg.marker(scale(one.value), y, 5, shape=0, style=style, hint=f"{name}: {one.value:.2f}"))
        body.append(svg.text(WIDTH, y + 4, decimal(one.value), style="small number", anchor="end"))
        told.append(f"by {name} {decimal(one.value)} (chance up to {decimal(one.high)})")
    y += 12
    for tick in scale.ticks(4):
        parts.append(svg.line(scale(tick), 8, scale(tick), y, style="grid"))
        parts.append(svg.text(scale(tick), y + 13, f"{tick:g}".replace("-", "−"), style="small", anchor="middle"))
    parts.append(svg.line(scale(0), 8, scale(0), y, style="zero"))
    return svg.picture(WIDTH, y + 18, [*parts, *body], label=f"Silhouettes {'; '.join(told)}.")


def centroids(pairs: Sequence[Pair], measure: Measure | None, data_set: str) -> str:
    """Each pair of classes: distance in the features over distance in the valence-arousal plane."""
    top, bottom, left = 8.0, 220.0, 40.0
    x = svg.covering([0.0, *(pair.affect for pair in pairs)], left, WIDTH - 8)
    y = svg.covering([0.0, *(pair.features for pair in pairs)], bottom, top)
    parts = []
    for tick in y.ticks(4):
        parts.append(svg.line(left, y(tick), WIDTH - 8, y(tick), style="grid"))
        parts.append(svg.text(left - 5, y(tick) + 4, f"{tick:g}", style="small", anchor="end"))
    for tick in x.ticks(5):
        parts.append(svg.line(x(tick), top, x(tick), bottom, style="grid"))
        parts.append(svg.text(x(tick), bottom + 14, f"{tick:g}", style="small", anchor="middle"))
    for pair in pairs:
        hint = f"{pair.first} and {pair.second}"
        parts.append(svg.dot(x(pair.affect), y(pair.features), 3.2, style="recording", hint=hint))
    parts.append(svg.text(WIDTH - 8, bottom + 28, "distance in valence and arousal", style="small", anchor="end"))
    parts.append(
        svg.text(10, (top + bottom) / 2, "distance in the features", style="small", anchor="middle", turned=True)
    )
    found = f"rank correlation {decimal(measure.value)}" if measure else "too few classes for a correlation"
    label = f"Distances between {len(pairs)} pairs of classes of {data_set} in the features and in the plane: {found}."
    return svg.picture(WIDTH, bottom + 32, parts, label=label)


def clusters(shown: Features) -> str:
    """Number of segments of each emotion (row) in each cluster of K-means (column)."""
    numbers = sorted({cluster for cluster, _ in shown.clusters})
    emotions = list(dict.fromkeys(emotion for _, emotion in shown.clusters))
    left, top = 92.0, 34.0
    cell = min(56.0, (WIDTH - left) / len(numbers))
    totals = {emotion: sum(shown.clusters.get((number, emotion), 0) for number in numbers) for emotion in emotions}
    parts = [svg.text(left + len(numbers) * cell / 2, 11, "cluster", style="small", anchor="middle")]
    for column, number in enumerate(numbers):
        parts.append(svg.text(left + (column + 0.5) * cell, 27, str(number), style="small", anchor="middle"))
    for row, emotion in enumerate(emotions):
        y = top + row * cell
        parts.append(svg.text(left - 6, y + cell / 2 + 4, emotion, style="small", anchor="end"))
        for column, number in enumerate(numbers):
            count = shown.clusters.get((number, emotion), 0)
            share = count / totals[emotion] if totals[emotion] else 0.0
            x = left + column * cell
            parts.append(svg.rect(x, y, cell - 1.5, cell - 1.5, style="cell"))
            parts.append(svg.rect(x, y, cell - 1.5, cell - 1.5, style="heat", opacity=share))
            style = "small heat-high" if share > 0.5 else "small"
            parts.append(svg.text(x + cell / 2 - 1, y + cell / 2 + 4, str(count), style=style, anchor="middle"))
    label = f"Segments of each emotion in {len(numbers)} clusters of {_title(shown)} features on {shown.target}."
    return svg.picture(WIDTH, top + len(emotions) * cell + 4, parts, label=label)


def graphs(shown: Sequence[EmotionGraph], what: str) -> str:
    """Two heads for each emotion: the strongest edges, and the degree of the channels as a scalp map."""
    names = list(shown[0].channels)
    seen = topomap.scalp(np.array([position(name) for name in names]))
    radius, across = 62.0, WIDTH / 2
    lane = 2 * radius + 52
    degrees = np.array([[graph.channels[name][0] for name in names] for graph in shown], dtype=float)
    # A map is symmetric about zero: red has more edges than the mean of the channels, blue fewer.
    pictures = topomap.maps(seen, np.arange(len(names)), (degrees - degrees.mean(axis=1, keepdims=True)).T)
    place = {name: seen.places[number] * radius for number, name in enumerate(names)}
    parts, told = [], []
    for row, (graph, uri) in enumerate(zip(shown, pictures, strict=True)):
        y = row * lane + radius + 40
        parts.append(svg.text(0, row * lane + 14, graph.emotion, style="strong"))
        for x in (across / 2, across * 1.5):
            if x > across:
                disc = seen.reach * radius
                parts.append(svg.image(x - disc, y - disc, 2 * disc, 2 * disc, uri))
            parts += _outline(x, y, radius)
        x = across / 2
        for first, second, _ in graph.edges[:_EDGES_DRAWN]:
            one, other = place[first], place[second]
            parts.append(svg.line(x + one[0], y - one[1], x + other[0], y - other[1], style="edge"))
        for x in (across / 2, across * 1.5):
            parts.append(
                svg.cloud(
                    [x + place[name][0] for name in names], [y - place[name][1] for name in names], style="sensor"
                )
            )
        most = sorted(names, key=lambda name: -graph.channels[name][0])[:3]
        told.append(f"{graph.emotion}: most edges at {', '.join(most)}")
    return svg.picture(WIDTH, lane * len(shown), parts, label=f"{what}. {'; '.join(told)}.")


def _outline(x: float, y: float, radius: float) -> list[str]:
    """The head from above: a circle and a nose."""
    nose = np.array([[-0.15, 0.99], [0.0, 1.2], [0.15, 0.99]]) * radius
    return [
        svg.dot(x, y, radius, style="head"),
        svg.curve(x + nose[:, 0], y - nose[:, 1], style="head"),
    ]

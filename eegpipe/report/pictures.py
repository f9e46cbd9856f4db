"""The pictures and tables between results and data: what the template shows of scores, features and sweeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from eegpipe.report import figures_features, figures_scores
from eegpipe.report.collect import Model
from eegpipe.report.comparison import METHOD_TITLES, Evaluation, Gap, Row, baseline_gaps, leak_gaps
from eegpipe.report.pairs import pairs_of
from eegpipe.report.predicted import Predicted, Roc, read_predictions, roc_curves, with_intervals
from eegpipe.report.rated import ratings_of
from eegpipe.report.reported import beside, missing_targets
from eegpipe.report.tables import (
    EmotionGraph,
    Features,
    likeness,
    read_curve,
    read_features,
    read_graphs,
    read_sweep,
)

# Of data sets with more classes ROC curves are in the metrics' AUROC only.
_MOST_CLASSES = 4


def scores(
    root: Path, evaluations: Sequence[Evaluation], rows: Sequence[Row], methods: Sequence[str]
) -> dict[str, Any]:
    """Differences with intervals, pairs of methods, ratings, people, ROC curves, curves over training subjects.

    ``rows`` : every row without leaks, in the order of the page.
    """
    targets = list(dict.fromkeys(one.target for one in evaluations))
    known = {
        (one.target, one.method): read_predictions(root, one, [row.protocol for row in one.rows]) for one in evaluations
    }
    leaks = with_intervals(leak_gaps(evaluations), evaluations, known)
    below = with_intervals(baseline_gaps(evaluations), evaluations, known)
    strictest = {
        target: [row for row in mine if row.protocol == mine[0].protocol]
        for target in targets
        if (mine := [row for row in rows if row.target == target])
    }
    return {
        "leak_gaps": leaks,
        "leak_pictures": _by_target(leaks, lambda shown: figures_scores.gaps(_by_title(shown), methods)),
        "baseline_gaps": below,
        "baseline_pictures": _by_target(below, lambda shown: figures_scores.gaps(_by_title(shown), methods)),
        "not_above": _not_above(below, strictest),
        "pairs": [shown for mine in strictest.values() if (shown := pairs_of(mine, known))],
        "rated": [shown for one in targets if (shown := ratings_of([row for row in rows if row.target == one]))],
        "people_pictures": [
            (target, mine[0].title, Markup(figures_scores.people(mine, methods)))
            for target, mine in strictest.items()
            if any(row.per_subject for row in mine)
        ],
        "rocs": _rocs(evaluations, strictest, known, methods),
        "fewshot_pictures": _curves(root, evaluations, methods),
    }


def _by_title(gaps: Sequence[Gap]) -> list[Gap]:
    """Rivals under one protocol stand together; protocols as they came."""
    order = {title: number for number, title in enumerate(dict.fromkeys(gap.upper.title for gap in gaps))}
    return sorted(gaps, key=lambda gap: order[gap.upper.title])


def _by_target(gaps: Sequence[Gap], draw: Callable[[Sequence[Gap]], str]) -> list[tuple[str, Markup]]:
    ordered = sorted(gaps, key=lambda gap: gap.upper.target)
    return [(target, Markup(draw(list(mine)))) for target, mine in groupby(ordered, key=lambda gap: gap.upper.target)]


def _not_above(gaps: Sequence[Gap], strictest: Mapping[str, Sequence[Row]]) -> list[tuple[str, list[Gap]]]:
    """Target -> pre-trained methods whose difference to the baseline is not above 0 under the strictest protocol."""
    found: dict[str, list[Gap]] = {}
    for gap in gaps:
        mine = strictest.get(gap.upper.target, ())
        if mine and gap.upper.protocol == mine[0].protocol and gap.verdict in ("below", "not above"):
            found.setdefault(gap.upper.target, []).append(gap)
    return list(found.items())


def _rocs(
    evaluations: Sequence[Evaluation],
    strictest: Mapping[str, Sequence[Row]],
    known: Mapping[tuple[str, str], Mapping[str, Predicted]],
    methods: Sequence[str],
) -> list[tuple[str, str, Markup]]:
    curves: dict[tuple[str, str], list[Roc]] = {}
    for one in evaluations:
        if one.target not in strictest or len(one.classes) > _MOST_CLASSES:
            continue
        predicted = known[one.target, one.method].get(strictest[one.target][0].protocol)
        for curve in roc_curves(one, predicted) if predicted is not None else ():
            curves.setdefault((one.target, curve.class_name), []).append(curve)
    return [(target, name, Markup(figures_scores.roc(mine, methods))) for (target, name), mine in curves.items()]


def _curves(root: Path, evaluations: Sequence[Evaluation], methods: Sequence[str]) -> list[tuple[str, Markup]]:
    drawn = []
    for target, members in groupby(evaluations, key=lambda one: one.target):
        read = {one.method: read_curve(root, target, one.method) for one in members}
        curves = {method: points for method, points in read.items() if points}
        if curves:
            drawn.append((target, Markup(figures_scores.fewshot(curves, methods, target))))
    return drawn


def papers(evaluations: Sequence[Evaluation], models: Sequence[Model], simulated: Sequence[str]) -> dict[str, Any]:
    """Reported numbers beside ours."""
    return {
        "reported": beside(evaluations, models, simulated),
        "reported_elsewhere": list(missing_targets(evaluations)),
    }


def features(root: Path, evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Maps, silhouettes, centroids, clusters and graphs."""
    targets = list(dict.fromkeys(one.target for one in evaluations))
    every = [shown for target in targets for shown in read_features(root, target)]
    data_sets = sorted({point.data_set for shown in every for point in shown.points})
    graphs = [
        (one, shown)
        for one in evaluations
        if one.method.endswith("_finetuned") and (shown := read_graphs(root, one.target, one.method))
    ]
    return {
        "feature_blocks": [_features(shown, data_sets) for shown in every],
        "graph_blocks": [_graph(one, shown) for one, shown in graphs],
    }


def _features(shown: Features, data_sets: Sequence[str]) -> dict[str, Any]:
    named = {pair.data_set: pair.seen for pair in shown.pairs}
    order = ("data set", "subject", "emotion")
    apart = shown.measure("silhouette", "data set", "all")
    return {
        "title": f"{METHOD_TITLES.get(shown.method, shown.method)} for the target {shown.target}",
        "by_data_set": Markup(figures_features.data_set_map(shown, data_sets)),
        "by_emotion": Markup(figures_features.emotion_map(shown)),
        "silhouettes": Markup(
            figures_features.silhouettes(
                sorted((one for one in shown.measures if one.name == "silhouette"), key=lambda one: order.index(one.by))
            )
        ),
        "ranks": [(one, named[one.over]) for one in shown.measures if one.name == "rank correlation"],
        "verdict": _apart(apart.value) if apart else "",
        "centroids": [
            {
                "data_set": name,
                "seen": seen,
                "measure": shown.measure("rank correlation", "valence and arousal", name),
                "picture": Markup(
                    figures_features.centroids(
                        [pair for pair in shown.pairs if pair.data_set == name],
                        shown.measure("rank correlation", "valence and arousal", name),
                        name,
                    )
                ),
            }
            for name, seen in named.items()
        ],
        "clusters": Markup(figures_features.clusters(shown)) if shown.clusters else "",
        "agreement": [one for one in shown.measures if one.name not in ("silhouette", "rank correlation")],
    }


def _apart(value: float) -> str:
    """What a silhouette by data set says, in words."""
    if value > 0.5:
        return "The data sets lie apart: whoever reads these features reads the data set first."
    if value > 0.1:
        return "The data sets lie partly apart."
    return "The data sets lie among each other."


def _graph(one: Evaluation, shown: Sequence[EmotionGraph]) -> dict[str, Any]:
    title = METHOD_TITLES.get(one.method, one.method)
    return {
        "title": f"{title} on {one.target}",
        "segments": ", ".join(f"{graph.emotion} {graph.segments}" for graph in shown),
        "alike": likeness(shown),
        "spread": _spread(shown),
        "picture": Markup(figures_features.graphs(shown, f"Attention between channels, {title} on {one.target}")),
    }


def _spread(shown: Sequence[EmotionGraph]) -> tuple[float, float]:
    """The least and the most attention that a channel receives, 1 being an even share."""
    received = [share for graph in shown for _, share in graph.channels.values()]
    return min(received), max(received)


def sweep(root: Path) -> list[tuple[str, Markup]]:
    """A curve for each setting, target, method and protocol of ``plots/sweep.csv``."""
    rows = read_sweep(root)
    keys = list(dict.fromkeys((row.setting, row.target, row.method, row.protocol) for row in rows))
    drawn = []
    for key in keys:
        mine = [row for row in rows if (row.setting, row.target, row.method, row.protocol) == key]
        setting, target, method, protocol = key
        title = f"{setting}: {METHOD_TITLES.get(method, method)} on {target}, {protocol}"
        drawn.append((title, Markup(figures_scores.sweep(mine))))
    return drawn

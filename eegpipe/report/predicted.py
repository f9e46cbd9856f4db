"""Stored predictions: what differences between two rows and ROC curves are computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eegpipe import metrics, paired
from eegpipe.paired import Predicted
from eegpipe.report.comparison import Evaluation, Gap, Row

# False alarm rates at which a ROC curve is drawn.
RATES = np.linspace(0, 1, 51)


def read_predictions(root: Path, evaluation: Evaluation, protocols: Sequence[str]) -> dict[str, Predicted]:
    """Protocol -> its predictions, of those that ``plots/<target>/<method>/predictions.npz`` holds; empty without it.

    Raises
    ------
    DataProblem
        If the file is there and is none, or holds other predictions than the metrics were computed from.
    """
    path = root / "plots" / evaluation.target / evaluation.method / "predictions.npz"
    if not path.is_file():
        return {}
    return paired.read_predictions(path, path.relative_to(root).as_posix(), protocols, evaluation.predictions)


def paired_interval(
    lower: Predicted, upper: Predicted, *, resamples: int, confidence: float, seed: int
) -> tuple[float, float] | None:
    """Interval of the difference in balanced accuracy, ``upper`` minus ``lower``, over the people whom both tested.

    Percentile bootstrap as in the metrics: people are drawn with replacement, each with all predictions about them on
    both sides, so what makes a person easy for both cancels. None for fewer than two people or no resamples.
    """
    people = np.intersect1d(lower.subject, upper.subject)
    if len(people) < 2 or not resamples:
        return None
    times = np.random.default_rng(seed).multinomial(len(people), [1 / len(people)] * len(people), resamples)
    scores = []
    for one in (lower, upper):
        mine = np.isin(one.subject, people)
        groups, group = np.unique(one.group[mine], return_inverse=True)
        shape = (len(groups), len(people), one.probabilities.shape[1])
        answers = one.probabilities[mine].argmax(axis=1)
        counts = metrics.confusions(one.truth[mine], answers, group, np.searchsorted(people, one.subject[mine]), shape)
        drawn = np.einsum("bs,gscd->bgcd", times, counts, optimize=True)
        scores.append(np.nanmean(metrics.balanced_accuracy(drawn), axis=1))
    low, high = np.nanpercentile(scores[1] - scores[0], [50 * (1 - confidence), 50 * (1 + confidence)])
    return float(low), float(high)


def with_intervals(
    gaps: Sequence[Gap], evaluations: Sequence[Evaluation], known: Mapping[tuple[str, str], Mapping[str, Predicted]]
) -> list[Gap]:
    """The gaps with paired intervals, where predictions of both rows are stored.

    ``known`` : (target, method) -> :func:`read_predictions`.
    """
    of = {(one.target, one.method): one for one in evaluations}

    def predicted(row: Row) -> Predicted | None:
        return known.get((row.target, row.method), {}).get(row.protocol)

    result = []
    for gap in gaps:
        lower, upper = predicted(gap.lower), predicted(gap.upper)
        evaluation = of[gap.upper.target, gap.upper.method]
        interval = None
        if lower is not None and upper is not None:
            interval = paired_interval(
                lower,
                upper,
                resamples=int(evaluation.settings["resamples"]),
                confidence=float(evaluation.settings["confidence"]),
                seed=evaluation.seed,
            )
        result.append(replace(gap, low=interval[0], high=interval[1]) if interval else gap)
    return result


@dataclass(frozen=True, eq=False)
class Roc:
    """``hits`` : (len(RATES),) share of the class that is found at each rate of false alarms, mean over groups."""

    target: str
    method: str
    class_name: str
    hits: np.ndarray
    area: float


def roc_curves(evaluation: Evaluation, predicted: Predicted) -> list[Roc]:
    """One curve for each class against the others; for two classes that of the second alone, as AUROC."""
    n_classes = predicted.probabilities.shape[1]
    found = []
    for label in [1] if n_classes == 2 else range(n_classes):
        curves = []
        for group in np.unique(predicted.group):
            mine = predicted.group == group
            own = predicted.truth[mine] == label
            if 0 < own.sum() < len(own):
                curves.append(_hits(own, predicted.probabilities[mine, label]))
        if curves:
            hits = np.mean([curve for curve, _ in curves], axis=0)
            area = float(np.mean([one for _, one in curves]))
            found.append(Roc(evaluation.target, evaluation.method, evaluation.classes[label], hits, area))
    return found


def _hits(own: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, float]:
    """Share found at each of ``RATES``, and the area under the whole curve; equal scores are one step."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    found = np.concatenate([[0.0], np.cumsum(own[order])[last] / own.sum()])
    alarms = np.concatenate([[0.0], np.cumsum(~own[order])[last] / (~own).sum()])
    return np.interp(RATES, alarms, found), float(np.trapezoid(found, alarms))

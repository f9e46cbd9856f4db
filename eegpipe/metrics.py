"""Pure functions of predictions: scores, chance, intervals over test subjects, spread over groups.

Scores of answers are computed from confusion matrices, so that an interval costs one product per resample. Legend of
shapes: g groups, s subjects, c classes, (..., c, c) confusion matrices with the actual class first.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Share of right answers; (...,)."""
    return _ratio(_diagonal(confusion).sum(-1), confusion.sum((-2, -1)))


def balanced_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that occur; (...,)."""
    return _nanmean(_ratio(_diagonal(confusion), confusion.sum(-1)), axis=-1)


def kappa(confusion: np.ndarray) -> np.ndarray:
    """Cohen's kappa; (...,). NaN where one class is all there is on both sides."""
    total = confusion.sum((-2, -1))
    by_chance = _ratio((confusion.sum(-1) * confusion.sum(-2)).sum(-1), total**2)
    return _ratio(accuracy(confusion) - by_chance, 1 - by_chance)


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that occur or were answered; (...,)."""
    return _nanmean(_f1(confusion), axis=-1)


def weighted_f1(confusion: np.ndarray) -> np.ndarray:
    """F1 averaged by how often each class occurs; (...,)."""
    return _ratio((np.nan_to_num(_f1(confusion)) * confusion.sum(-1)).sum(-1), confusion.sum((-2, -1)))


ANSWER_SCORES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "kappa": kappa,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
}


def auroc(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve: of class 1 for two classes, else the mean of one class against the others.

    A class that does not occur, or is all that occurs, has no curve and is left out of the mean; NaN if none is left.
    """
    from sklearn.metrics import roc_auc_score

    return _one_against_others(roc_auc_score, truth, probabilities)


def auprc(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the precision-recall curve (average precision), averaged as :func:`auroc`."""
    from sklearn.metrics import average_precision_score

    return _one_against_others(average_precision_score, truth, probabilities)


PROBABILITY_SCORES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {"auroc": auroc, "auprc": auprc}


def _one_against_others(score: Callable, truth: np.ndarray, probabilities: np.ndarray) -> float:
    n_classes = probabilities.shape[1]
    values = [
        score(truth == label, probabilities[:, label])
        for label in ([1] if n_classes == 2 else range(n_classes))
        if 0 < (truth == label).sum() < len(truth)
    ]
    return float(np.mean(values)) if values else math.nan


def _diagonal(confusion: np.ndarray) -> np.ndarray:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below == 0, np.nan, above / below)


def _f1(confusion: np.ndarray) -> np.ndarray:
    return _ratio(2 * _diagonal(confusion), confusion.sum(-1) + confusion.sum(-2))


def _nanmean(values: np.ndarray, axis: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)  # the mean of nothing is NaN, as wanted
        return np.nanmean(values, axis=axis)


def confusions(
    truth: np.ndarray, answer: np.ndarray, group: np.ndarray, subject: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """(g, s, c, c) counts of (actual, answered). ``shape``: numbers of groups, subjects, classes."""
    g, s, c = shape
    counts = np.zeros((g, s, c, c))
    np.add.at(counts, (group, subject, truth, answer), 1)
    return counts


def summarise(
    truth: np.ndarray,
    probabilities: np.ndarray,
    group: np.ndarray,
    subject: np.ndarray,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Every score with its interval and spread.

    A score is computed over all predictions of a group and averaged over groups. The interval is the percentile
    bootstrap over test subjects: subjects are drawn with replacement, each with all its predictions in all groups,
    because segments and trials of one person are not independent. It says nothing about other training groups; the
    spread over groups does.

    Parameters
    ----------
    truth : (n,) int; probabilities : (n, c); group, subject : (n,) int
    resamples : int
        0: no interval.
    confidence : float
        0.95: from the 2.5th to the 97.5th percentile.

    Returns
    -------
    dict
        Score -> ``value``, ``interval`` (low, high; None without resamples, for one subject, and for the scores of
        probabilities), ``groups`` (n, population standard deviation, lowest, highest). NaN is None.
    """
    groups, group = np.unique(group, return_inverse=True)
    subjects, subject = np.unique(subject, return_inverse=True)
    counts = confusions(
        truth, probabilities.argmax(1), group, subject, (len(groups), len(subjects), probabilities.shape[1])
    )
    pooled = counts.sum(axis=1)
    times = _draws(len(subjects), resamples, seed)
    drawn = None if times is None else np.einsum("bs,gscd->bgcd", times, counts, optimize=True)
    result = {}
    for name, score in ANSWER_SCORES.items():
        interval = None
        if drawn is not None:
            interval = _interval(_nanmean(score(drawn), axis=1), confidence)
        result[name] = _entry(score(pooled), interval)
    for name, area in PROBABILITY_SCORES.items():
        values = np.array([area(truth[group == one], probabilities[group == one]) for one in range(len(groups))])
        result[name] = _entry(values, None)
    return result


def _draws(subjects: int, resamples: int, seed: int) -> np.ndarray | None:
    """(b, s) how often each subject is drawn in each resample; None: no interval."""
    if not resamples or subjects < 2:
        return None
    return np.random.default_rng(seed).multinomial(subjects, [1 / subjects] * subjects, resamples)


def _interval(values: np.ndarray, confidence: float) -> dict[str, float | None]:
    """``values`` : (b,) of the resamples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)  # undefined in every resample: NaN
        low, high = np.nanpercentile(values, [50 * (1 - confidence), 50 * (1 + confidence)])
    return {"low": _plain(low), "high": _plain(high)}


def _entry(of_groups: np.ndarray, interval: dict[str, float | None] | None) -> dict[str, Any]:
    known = of_groups[~np.isnan(of_groups)]
    spread: dict[str, float | None] = {"n": len(of_groups), "std": None, "lowest": None, "highest": None}
    if len(known):
        spread |= {"std": _plain(known.std()), "lowest": _plain(known.min()), "highest": _plain(known.max())}
    return {"value": _plain(known.mean()) if len(known) else None, "interval": interval, "groups": spread}


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)


# Below this variance values differ by rounding only, and the spread of a resample of one value is zero.
_LEAST_VARIANCE = 1e-9
# Resamples at once: more of them do not fit into the processor's caches.
_AT_ONCE = 100


def concordance(rated: np.ndarray, predicted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Lin's concordance correlation coefficient (1989): correlation, less for another mean or spread; (...,).

    2 cov / (var + var + (mean - mean)^2), with variances over n - 1 as in torchmetrics. NaN where ratings are constant.

    Parameters
    ----------
    rated, predicted : (n,)
    weight : (..., n)
        How often each entry counts.
    """
    mean, variance, together = _moments(rated, predicted, weight)
    value = _ratio(2 * together, variance.sum(axis=0) + (mean[0] - mean[1]) ** 2)
    return np.where(variance[0] > _LEAST_VARIANCE, value, np.nan)


def rank_correlation(rated: np.ndarray, predicted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation; (...,). NaN where either side is constant. Parameters: :func:`concordance`."""
    _, variance, together = _moments(_ranks(rated, weight), _ranks(predicted, weight), weight)
    value = _ratio(together, np.sqrt(variance.prod(axis=0)))
    return np.where(variance.min(axis=0) > _LEAST_VARIANCE, value, np.nan)


def _moments(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (2, ...), variances (2, ...) and covariance (...,) of (n,) or (..., n) values."""
    count = weight.sum(axis=-1)
    mean = np.stack([_ratio((weight * values).sum(axis=-1), count) for values in (first, second)])
    one, other = first - mean[0][..., None], second - mean[1][..., None]
    sums = [(weight * product).sum(axis=-1) for product in (one * one, other * other, one * other)]
    variance_and_covariance = _ratio(np.stack(sums), count - 1)
    return mean, variance_and_covariance[:2], variance_and_covariance[2]


def _ranks(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(..., n) ranks from 1, equal values sharing their mean rank, as if each entry stood there ``weight`` times."""
    distinct, index = np.unique(values, return_inverse=True)
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(len(distinct)))
    times = np.add.reduceat(weight[..., order], starts, axis=-1)
    return (np.cumsum(times, axis=-1) - (times - 1) / 2)[..., index]


def agreement(
    rated: np.ndarray,
    predicted: np.ndarray,
    group: np.ndarray,
    subject: np.ndarray,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Scores of predicted ratings with interval and spread as in :func:`summarise`. Without knowledge each is 0.

    Parameters
    ----------
    rated, predicted : (n,) float, one entry a trial and group; group, subject : (n,) int

    Returns
    -------
    dict
        ``concordance``, ``rank_correlation``: over the trials of all people of a group.
        ``within_subject_rank_correlation``: over the trials of one person, mean over people. Pooled scores also count
        who uses which part of the scale; this one does not.
    """
    groups, group = np.unique(group, return_inverse=True)
    subjects, subject = np.unique(subject, return_inverse=True)
    times = _draws(len(subjects), resamples, seed)
    # The first row is the value itself, in which everybody counts once.
    weights = np.concatenate([np.ones((1, len(subjects))), np.zeros((0, len(subjects))) if times is None else times])
    scores = {
        name: np.empty((len(weights), len(groups)))
        for name in ("concordance", "rank_correlation", "within_subject_rank_correlation")
    }
    for one in range(len(groups)):
        mine = group == one
        r, p, who = rated[mine], predicted[mine], subject[mine]
        for start in range(0, len(weights), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            scores["concordance"][some, one] = concordance(r, p, weights[some, who])
            scores["rank_correlation"][some, one] = rank_correlation(r, p, weights[some, who])
        of_subjects = np.array(
            [rank_correlation(r[who == s], p[who == s], np.ones((who == s).sum())) for s in range(len(subjects))]
        )
        known = ~np.isnan(of_subjects)
        within = _ratio(weights[:, known] @ of_subjects[known], weights[:, known].sum(axis=1))
        scores["within_subject_rank_correlation"][:, one] = within
    return {
        name: _entry(values[0], None if times is None else _interval(_nanmean(values[1:], axis=1), confidence))
        for name, values in scores.items()
    }


def per_subject(
    truth: np.ndarray, probabilities: np.ndarray, group: np.ndarray, subject: np.ndarray
) -> dict[int, dict[str, float | None]]:
    """Subject -> accuracy and balanced accuracy, each the mean over the groups that tested the subject."""
    groups, group = np.unique(group, return_inverse=True)
    subjects, index = np.unique(subject, return_inverse=True)
    counts = confusions(
        truth, probabilities.argmax(1), group, index, (len(groups), len(subjects), probabilities.shape[1])
    )
    scores = {name: _nanmean(ANSWER_SCORES[name](counts), axis=0) for name in ("accuracy", "balanced_accuracy")}
    return {
        int(one): {name: _plain(values[position]) for name, values in scores.items()}
        for position, one in enumerate(subjects)
    }


def chance(trained: np.ndarray, tested: np.ndarray) -> dict[str, float]:
    """What can be scored without looking at the signal; accuracies.

    Parameters
    ----------
    trained, tested : (c,)
        Share of each class in the training and in the test part.

    Returns
    -------
    dict
        ``uniform``: one of c classes at random. ``majority``: always the most frequent class of the training part.
        ``prior``: classes at random, as often as in the training part.
    """
    return {
        "uniform": 1 / len(trained),
        "majority": float(tested[trained.argmax()]),
        "prior": float((trained * tested).sum()),
    }


def dealt_anew(truth: np.ndarray, answer: np.ndarray, group: np.ndarray, fold: np.ndarray, n_classes: int) -> float:
    """Balanced accuracy to be expected of the same answers, dealt anew among the segments of each fold; their chance.

    What a classifier prefers in a fold still meets the classes that this fold has, but its answers no longer depend on
    the signal. ``1 / n_classes`` where all folds of a group have the same shares of the classes; elsewhere it can lie
    on either side. It is a cautious level: answers that read the signal follow the folds' shares, too, and raise it, in
    a fold with a single class up to the score itself.

    Parameters
    ----------
    truth, answer, group, fold : (n,) int
        A fold belongs to one group.

    Returns
    -------
    float
        In closed form, mean over groups as in :func:`summarise`.
    """
    folds, first, fold = np.unique(fold, return_index=True, return_inverse=True)
    groups, of_fold = np.unique(group[first], return_inverse=True)
    actual, answered = (np.zeros((len(folds), n_classes)) for _ in range(2))
    np.add.at(actual, (fold, truth), 1)
    np.add.at(answered, (fold, answer), 1)
    right, there = (np.zeros((len(groups), n_classes)) for _ in range(2))
    np.add.at(right, of_fold, actual * answered / actual.sum(axis=1, keepdims=True))
    np.add.at(there, of_fold, actual)
    return float(_nanmean(_ratio(right, there), axis=1).mean())


def by_trial(
    unit: np.ndarray, truth: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean probabilities of the segments of each trial.

    Parameters
    ----------
    unit : (n,) int
        Which trial, per group; the same number for the segments of one trial.

    Returns
    -------
    first : (m,) int
        Position of the first segment of each trial, in order of ``unit``: to look up its subject and group.
    truth : (m,)
    probabilities : (m, c)
    """
    _, first, index = np.unique(unit, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), probabilities.shape[1]))
    np.add.at(sums, index, probabilities)
    return first, truth[first], sums / np.bincount(index)[:, None]

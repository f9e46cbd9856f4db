"""What lies near what in the features of a frozen encoder: pure functions of features and names.

Distances are Euclidean over features of which each is z-scored over the sample. What is compared with chance is
compared with names that were dealt anew among the units that own them: a data set's name belongs to subjects, an
emotion to trials, because segments of one subject or trial are alike whatever their name.

Shapes: n segments, d features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

SHUFFLES = 99
_PERPLEXITY = 30.0


@dataclass(frozen=True)
class Score:
    """A value beside what names dealt at random give: their mean, and the value that one in twenty of them exceeds."""

    value: float
    chance: float
    chance_high: float
    n: int


def scaled(features: np.ndarray) -> np.ndarray:
    """(n, d) float64, each feature with mean 0 and deviation 1 over the sample; a constant one is 0."""
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    deviation = centred.std(axis=0)
    return centred / np.where(deviation > 1e-12 * np.abs(features).max(initial=1.0), deviation, np.inf)


def without_means(features: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """(n, d): what is left when the mean of each owner (subject), (n,) int, is taken off."""
    left = features.copy()
    for one in np.unique(owner):
        left[owner == one] -= left[owner == one].mean(axis=0)
    return left


def distances(features: np.ndarray) -> np.ndarray:
    """(n, n) Euclidean."""
    squares = (features**2).sum(axis=1)
    between = np.maximum(squares[:, None] + squares - 2 * features @ features.T, 0)
    np.fill_diagonal(between, 0)
    return np.sqrt(between)


def plane(features: np.ndarray, seed: int) -> np.ndarray:
    """(n, 2) t-SNE (van der Maaten & Hinton 2008), started from the principal components.

    The plane keeps neighbours, no distances: gaps, sizes and densities of clouds mean nothing.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    with threadpool_limits(1):
        model = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, max_iter=500, n_jobs=1)
        return model.fit_transform(features).astype(np.float64)


def silhouette(between: np.ndarray, group: np.ndarray) -> float:
    """Mean over segments of (b - a) / max(a, b) (Rousseeuw 1987); NaN with fewer than two groups of two.

    a: mean distance to the others of the own group; b: to the nearest other group. A segment alone in its group counts
    as 0.

    Parameters
    ----------
    between : (n, n)
        Distances.
    group : (n,) int
    """
    _, index, count = np.unique(group, return_inverse=True, return_counts=True)
    if len(count) < 2 or count.max() < 2:
        return float("nan")
    sums = between @ np.eye(len(count))[index]
    rows = np.arange(len(index))
    own = sums[rows, index] / np.maximum(count[index] - 1, 1)
    means = sums / count
    means[rows, index] = np.inf
    nearest = means.min(axis=1)
    larger = np.maximum(own, nearest)
    single = (nearest - own) / np.where(larger > 0, larger, 1)
    return float(np.where(count[index] > 1, single, 0).mean())


def dealt(names: np.ndarray, unit: np.ndarray, seed: int, within: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """``SHUFFLES`` times the names, (n,) int, dealt anew among units, (n,) int; a unit has one name.

    ``within`` : (n,) int, units are only exchanged with units of the same number (subject); None: with all.
    """
    units, first, index = np.unique(unit, return_index=True, return_inverse=True)
    of_unit, place = names[first], np.zeros(len(units), dtype=int) if within is None else within[first]
    members = [np.flatnonzero(place == one) for one in np.unique(place)]
    random = np.random.default_rng(seed)
    for _ in range(SHUFFLES):
        anew = of_unit.copy()
        for mine in members:
            anew[mine] = of_unit[random.permutation(mine)]
        yield anew[index]


def against_chance(
    measure: Callable[[np.ndarray], float],
    names: np.ndarray,
    unit: np.ndarray,
    seed: int,
    within: np.ndarray | None = None,
) -> Score | None:
    """``measure`` of the names, beside names dealt anew (:func:`dealt`); None if it is not defined."""
    value = measure(names)
    if not np.isfinite(value):
        return None
    by_chance = np.array([measure(anew) for anew in dealt(names, unit, seed, within)])
    high = np.quantile(by_chance, 0.95)
    return Score(float(value), float(by_chance.mean()), float(high), len(names))


@dataclass(frozen=True)
class Pairs:
    """Every pair of classes of one data set: how far apart in the valence-arousal plane, how far in the features.

    first, second : (pair,) int, classes
    affect, features : (pair,) distances between the classes' means
    """

    first: np.ndarray
    second: np.ndarray
    affect: np.ndarray
    features: np.ndarray


def centroid_pairs(features: np.ndarray, affect: np.ndarray, group: np.ndarray) -> Pairs:
    """Distances between the means of the classes ``group``, (n,) int; ``affect``: (n, 2) valence and arousal."""
    known = np.unique(group)
    middle = np.stack([features[group == one].mean(axis=0) for one in known])
    place = np.stack([affect[group == one].mean(axis=0) for one in known])
    first, second = np.triu_indices(len(known), k=1)
    return Pairs(known[first], known[second], distances(place)[first, second], distances(middle)[first, second])


def rank_agreement(pairs: Pairs, seed: int) -> Score | None:
    """Spearman's correlation of the two distances, beside classes that changed places in the plane (Mantel 1967).

    None with fewer than four classes, whose few pairs agree by luck, or without any difference between distances.
    """
    from scipy.stats import rankdata

    classes, index = np.unique(np.concatenate([pairs.first, pairs.second]), return_inverse=True)
    count = len(classes)
    if count < 4 or np.ptp(pairs.affect) == 0 or np.ptp(pairs.features) == 0:
        return None
    first, second = index[: len(pairs.first)], index[len(pairs.first) :]
    square = np.zeros((count, count))
    square[first, second] = square[second, first] = pairs.affect
    ranks = rankdata(pairs.features)

    def correlation(order: np.ndarray) -> float:
        return float(np.corrcoef(rankdata(square[order[first], order[second]]), ranks)[0, 1])

    random = np.random.default_rng(seed)
    by_chance = np.array([correlation(random.permutation(count)) for _ in range(SHUFFLES)])
    value = correlation(np.arange(count))
    return Score(value, float(by_chance.mean()), float(np.quantile(by_chance, 0.95)), count)


def clusters(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(n,) int: K-means, the best of ten starts; the largest cluster is 0."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        found = KMeans(count, n_init=10, random_state=seed).fit_predict(features)
    order = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    return np.argsort(order)[found]


def evenly(subject: np.ndarray, group: np.ndarray, most: int, *, most_subjects: int = 20, seed: int = 0) -> np.ndarray:
    """Positions of about ``most`` segments, as many of each subject and, within a subject, of each class as can be.

    A shorter list is the beginning of a longer one, but for ties between subjects.

    Parameters
    ----------
    subject, group : (n,) int
    most_subjects : int
        Of more subjects so many are drawn, so that each one has some segments.
    """
    random = np.random.default_rng(seed)
    people = np.unique(subject)
    if len(people) > most_subjects:
        people = np.sort(random.permutation(people)[:most_subjects])
    turns: list[tuple[int, int, int, int]] = []
    for one in people:
        mine = random.permutation(np.flatnonzero(subject == one))
        taken: dict[int, int] = {}
        in_turn = []
        for row in mine.tolist():
            kind = int(group[row])
            in_turn.append((taken.get(kind, 0), kind, row))
            taken[kind] = taken.get(kind, 0) + 1
        turns += [(place, int(one), kind, row) for place, (_, kind, row) in enumerate(sorted(in_turn))]
    return np.array([row for *_, row in sorted(turns)[:most]], dtype=int)


def names_of(values: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Numbers of names, (n,) int, and the names in order of their first appearance."""
    order = list(dict.fromkeys(values))
    number = {name: position for position, name in enumerate(order)}
    return np.array([number[name] for name in values], dtype=int), order

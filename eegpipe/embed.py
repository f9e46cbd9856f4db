"""Where data sets, people and emotions lie in the features of the frozen encoders of one target.

Looks at features as they leave each encoder, before any normalisation by subject: an encoder whose data sets lie apart
has not aligned them, which is how covariance alignment (CDA) fails. docs/evaluation.md, "Pictures".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eegpipe import embedding
from eegpipe.embedding import Pairs, Score
from eegpipe.errors import DataProblem
from eegpipe.trials import Classes, find_classes
from eegpipe.writing import table_text, write_file

if TYPE_CHECKING:
    from eegpipe.loader import Segments
    from eegpipe.train import Encoder

# Segments of each data set in the map, and of the target where it alone is looked at.
SEGMENTS, TARGET_SEGMENTS = 80, 160
POINTS, PAIRS, CLUSTERS, SCORES = "points.csv", "pairs.csv", "clusters.csv", "scores.csv"
# Columns of each table after the method.
HEADERS: Mapping[str, tuple[str, ...]] = {
    POINTS: ("data_set", "seen", "subject", "emotion", "valence", "x", "y"),
    PAIRS: ("data_set", "seen", "first", "second", "affect_distance", "feature_distance"),
    CLUSTERS: ("cluster", "emotion", "segments"),
    SCORES: ("measure", "by", "over", "value", "chance", "chance_high", "n"),
}
# Thirds of the valence axis from -4 to 4, as in EMOD's sampler.
_VALENCE_STEPS = (-4 / 3, 4 / 3)
_VALENCE_NAMES = ("negative", "neutral", "positive", "unknown")


@dataclass(frozen=True)
class Sample:
    """Some segments of one data set and their features.

    seen : the encoder was pre-trained on the data set
    features : (n, d)
    subject, trial : (n,) int, numbers that are unique within the data set
    emotion : (n,) int, index into ``emotions``, -1: none
    affect : (n, 2) valence and arousal, NaN: unknown
    """

    dataset: str
    seen: bool
    features: np.ndarray
    subject: np.ndarray
    subject_names: tuple[str, ...]
    trial: np.ndarray
    emotion: np.ndarray
    emotions: tuple[str, ...]
    affect: np.ndarray

    def first(self, count: int) -> Sample:
        """The first so many segments, which are spread as evenly as all."""
        cut = {name: getattr(self, name)[:count] for name in ("features", "subject", "trial", "emotion", "affect")}
        return Sample(self.dataset, self.seen, subject_names=self.subject_names, emotions=self.emotions, **cut)


def embed_target(
    target: str,
    stores: Mapping[str, Path],
    models: Mapping[str, Path],
    out: Path,
    *,
    target_class: str = "auto",
    seed: int = 0,
    device: str = "cpu",
) -> None:
    """Write ``points.csv``, ``pairs.csv``, ``clusters.csv`` and ``scores.csv`` into ``out``.

    Parameters
    ----------
    target : str
        Its name.
    stores : mapping
        Method -> folder of the stores of its windowing, ``<data set>.zarr``.
    models : mapping
        Method -> folder of its encoder for the target. Shown are the data sets that it was pre-trained on, and the
        target.
    target_class : "auto", "label" or "valence"
        What the classes of the target are (:func:`trials.find_classes`).
    seed : int
        Of the sample, the map, the clusters and chance.
    """
    from threadpoolctl import threadpool_limits

    from eegpipe.loader import load
    from eegpipe.models.baselines import fixed_threads
    from eegpipe.train import load_pretrained

    tables: dict[str, list[tuple]] = {POINTS: [], PAIRS: [], CLUSTERS: [], SCORES: []}
    # The last digit of a sum depends on the number of threads, and t-SNE makes a picture of another shape of it.
    with fixed_threads(1), threadpool_limits(1):
        for method, folder in models.items():
            encoder = load_pretrained(folder, device=device)
            samples = []
            for name in sorted({*encoder.manifest["datasets"], target}):
                segments = load(stores[method] / f"{name}.zarr")
                choice = target_class if name == target else "auto"
                samples.append(draw(encoder, segments, TARGET_SEGMENTS if name == target else SEGMENTS, choice, seed))
            for table, rows in rows_of(samples, target, seed).items():
                tables[table] += [(method, *row) for row in rows]
    for name, rows in tables.items():
        write_file(out / name, table_text(("method", *HEADERS[name]), rows).encode())


def draw(encoder: Encoder, segments: Segments, most: int, target_class: str, seed: int) -> Sample:
    """About ``most`` segments, spread evenly over subjects and classes, with their features.

    An encoder that normalises over the segments of a subject is given those that were drawn. Features whose number
    depends on the montage (ART's) are averaged over channels.
    """
    classes = _classes(segments, target_class)
    rows = embedding.evenly(segments.subject, classes.of_segment, most, seed=seed)
    ordered = np.sort(rows)
    chosen = segments.select(ordered)
    features = encoder.features(chosen)
    if encoder.width is None:
        features = features.reshape(len(features), -1, encoder.model.config.width).mean(axis=1)
    if not np.isfinite(features).all():
        cure = "Look at the signal with `eegpipe inspect`, or pre-train the encoder again."
        raise DataProblem(f"features of {segments.dataset}", "values that are not finite", "finite values", cure)
    back = np.searchsorted(ordered, rows)
    columns = np.stack([segments.subject, segments.session, segments.trial, segments.stimulus])[:, rows]
    return Sample(
        dataset=segments.dataset,
        seen=segments.dataset in encoder.manifest["datasets"],
        features=features[back].astype(np.float64),
        subject=segments.subject[rows],
        subject_names=segments.subject_names,
        trial=np.unique(columns, axis=1, return_inverse=True)[1].reshape(-1),
        emotion=classes.of_segment[rows],
        emotions=classes.names,
        affect=np.stack([segments.valence[rows], segments.arousal[rows]], axis=1).astype(np.float64),
    )


def _classes(segments: Segments, target_class: str) -> Classes:
    try:
        return find_classes(segments, target_class)
    except DataProblem:  # nothing to predict is no obstacle to being looked at
        return Classes((), "none", np.full(len(segments), -1, dtype=np.int64))


def rows_of(samples: Sequence[Sample], target: str, seed: int) -> dict[str, list[tuple]]:
    """Name of a table -> its rows, without the method."""
    shown = [sample.first(SEGMENTS) for sample in samples]
    together = embedding.scaled(np.concatenate([sample.features for sample in shown]))
    place, _ = embedding.names_of([sample.dataset for sample in shown for _ in sample.subject])
    owner, _ = embedding.names_of(
        [f"{sample.dataset}/{one}" for sample in shown for one in sample.subject.tolist()],
    )
    between = embedding.distances(together)
    map_xy = embedding.plane(together, seed)
    scores: list[tuple] = []

    def note(measure: str, by: str, over: str, score: Score | None) -> None:
        if score is not None:
            values = (f"{value:.4f}" for value in (score.value, score.chance, score.chance_high))
            scores.append((measure, by, over, *values, score.n))

    def by_data_set(names: np.ndarray) -> float:
        return embedding.silhouette(between, names)

    note("silhouette", "data set", "all", embedding.against_chance(by_data_set, place, owner, seed))
    points: list[tuple] = []
    pairs: list[tuple] = []
    for sample in samples:
        for by, score in _silhouettes(sample, seed).items():
            note("silhouette", by, sample.dataset, score)
        found, names = _centroids(sample)
        if found is not None:
            note("rank correlation", "valence and arousal", sample.dataset, embedding.rank_agreement(found, seed))
            columns = zip(found.first, found.second, found.affect, found.features, strict=True)
            pairs += [
                (sample.dataset, int(sample.seen), names[one], names[other], f"{affect:.4f}", f"{distance:.4f}")
                for one, other, affect, distance in columns
            ]
    start = 0
    for sample in shown:
        for position in range(len(sample.subject)):
            x, y = map_xy[start + position]
            points.append((*_who(sample, position), f"{x:.2f}", f"{y:.2f}"))
        start += len(sample.subject)
    aim = next(sample for sample in samples if sample.dataset == target)
    counted, measures = _clustered(aim, seed)
    for (measure, by), score in measures.items():
        note(measure, by, target, score)
    return {POINTS: points, PAIRS: pairs, CLUSTERS: counted, SCORES: scores}


def _who(sample: Sample, position: int) -> tuple[Any, ...]:
    emotion = sample.emotion[position]
    valence = sample.affect[position, 0]
    third = 3 if np.isnan(valence) else int(np.searchsorted(_VALENCE_STEPS, valence))
    subject = sample.subject_names[sample.subject[position]]
    name = sample.emotions[emotion] if emotion >= 0 else ""
    return sample.dataset, int(sample.seen), subject, name, _VALENCE_NAMES[third]


def _silhouettes(sample: Sample, seed: int) -> dict[str, Score | None]:
    """By subject, and by emotion among the segments that have one, within one data set."""
    features = embedding.scaled(sample.features)
    between = embedding.distances(features)
    each = np.arange(len(features))
    by_subject = embedding.against_chance(
        lambda names: embedding.silhouette(between, names), sample.subject, each, seed
    )
    labelled = np.flatnonzero(sample.emotion >= 0)
    inner = between[np.ix_(labelled, labelled)]
    by_emotion = None
    if len(labelled):
        by_emotion = embedding.against_chance(
            lambda names: embedding.silhouette(inner, names),
            sample.emotion[labelled],
            sample.trial[labelled],
            seed,
            sample.subject[labelled],
        )
    return {"subject": by_subject, "emotion": by_emotion}


def _centroids(sample: Sample) -> tuple[Pairs | None, list[str]]:
    """Pairs of classes: the native labels or, where there are two classes or none, the nine regions of EMOD's sampler.

    Each subject's mean is taken off first, so that who saw what does not move a class.
    """
    known = np.isfinite(sample.affect).all(axis=1)
    if not known.any():
        return None, []
    if len(sample.emotions) > 2:
        known &= sample.emotion >= 0
        words = [sample.emotions[one] for one in sample.emotion[known]]
    else:
        thirds = np.searchsorted(_VALENCE_STEPS, sample.affect[known])
        level = ("low", "middle", "high")
        words = [f"{level[valence]} valence, {level[arousal]} arousal" for valence, arousal in thirds]
    group, names = embedding.names_of(words)
    if len(names) < 2:
        return None, names
    features = embedding.without_means(embedding.scaled(sample.features[known]), sample.subject[known])
    return embedding.centroid_pairs(features, sample.affect[known], group), names


def _clustered(sample: Sample, seed: int) -> tuple[list[tuple], dict[tuple[str, str], Score | None]]:
    """K-means with as many clusters as classes: counts, and agreement with emotion and subject."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    mine = np.flatnonzero(sample.emotion >= 0)
    count = len(sample.emotions)
    if len(mine) < 2 * count or count < 2:
        return [], {}
    features = embedding.without_means(embedding.scaled(sample.features[mine]), sample.subject[mine])
    found = embedding.clusters(features, count, seed)
    emotion, subject, trial = sample.emotion[mine], sample.subject[mine], sample.trial[mine]
    rows = [
        (cluster + 1, sample.emotions[one], int(((found == cluster) & (emotion == one)).sum()))
        for cluster in range(count)
        for one in range(count)
    ]
    measures = {
        "adjusted Rand index": adjusted_rand_score,
        "normalised mutual information": normalized_mutual_info_score,
    }
    scores: dict[tuple[str, str], Score | None] = {}
    for name, measure in measures.items():

        def agreement(names: np.ndarray, measure: Any = measure) -> float:
            return float(measure(names, found))

        scores[name, "emotion"] = embedding.against_chance(agreement, emotion, trial, seed, subject)
        scores[name, "subject"] = embedding.against_chance(agreement, subject, np.arange(len(mine)), seed)
    return rows, scores

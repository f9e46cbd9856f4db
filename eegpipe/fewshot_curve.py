"""How the score grows with the number of training subjects, under the strictest protocol of a small training group.

Every subject is tested once at each number, so the points of a curve are about the same people and clips. To keep the
curve cheap, its classifier is a logistic regression, which needs no epochs and has nothing random in it: compare the
points with each other and with the curve of another method, not with the rows of the metrics file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eegpipe import metrics
from eegpipe.models.baseline_settings import LinearSettings
from eegpipe.parts import Fold, Part, part_mask
from eegpipe.protocols import PROTOCOLS, shuffled
from eegpipe.trials import find_classes

if TYPE_CHECKING:
    from eegpipe.loader import Segments
    from eegpipe.predictions import EvaluateSettings, FeatureCache
    from eegpipe.splits import Split

TEST_FOLDS = 4


@dataclass(frozen=True)
class Point:
    """Balanced accuracy by segment, with its interval over test subjects (None: no resamples, or one subject)."""

    protocol: str
    subjects: int
    train_trials: float  # mean over the trainings
    balanced_accuracy: float
    low: float | None
    high: float | None
    chance: float
    n_test_subjects: int


def curve_protocol(splits: Sequence[Split]) -> Split | None:
    """The strictest leak-free split with a small training group; None: there is none to take clips from."""
    order = list(PROTOCOLS)
    fitting = [
        one
        for one in splits
        if one.leak_free and PROTOCOLS[one.protocol].kind == "fewshot" and not PROTOCOLS[one.protocol].as_mdjpt
    ]
    return min(fitting, key=lambda one: order.index(one.protocol), default=None)


def numbers(pool: int) -> list[int]:
    """1, 2, 4, ... and all: how many of ``pool`` subjects train."""
    return [*(2**power for power in range(pool.bit_length()) if 2**power < pool), pool] if pool else []


def folds(split: Split, subjects: Sequence[str], dataset: str) -> Iterator[tuple[int, Fold]]:
    """(number of training subjects, fold). Clips are divided as in ``split``, subjects go round in ``TEST_FOLDS``.

    The training subjects of a smaller number are among those of a larger one.
    """
    order = shuffled(subjects, dataset, "few-shot curve")
    count = min(TEST_FOLDS, len(order))
    clips = list(dict.fromkeys((fold.train.stimuli, fold.test.stimuli) for fold in split.folds))
    tested = [tuple(order[number::count]) for number in range(count)]
    # The smallest pool decides, so that every point is about all subjects.
    sizes = numbers(len(order) - max(map(len, tested)))
    for size in sizes:
        for number, test in enumerate(tested):
            # From another start in each fold, so that no subject trains all of them.
            pool = [name for name in order[number:] + order[:number] if name not in test]
            for train_clips, test_clips in clips:
                train = Part(tuple(pool[:size]), train_clips)
                yield size, Fold(f"{size}/{number}", "curve", train, None, Part(test, test_clips))


def fewshot_curve(
    splits: Sequence[Split], segments: Segments, features: FeatureCache, settings: EvaluateSettings, seed: int
) -> list[Point]:
    """One point for each number of training subjects; empty where no split fits (:func:`curve_protocol`).

    Features are treated as in every other row of the evaluation. A training part that lacks a class is left out.

    Parameters
    ----------
    seed : int
        Of the bootstrap.
    """
    from eegpipe.models.baselines_features import LinearHead
    from eegpipe.models.baselines_features import Part as Given
    from eegpipe.predictions import fold_rows, treated
    from eegpipe.splits import assert_disjoint

    split = curve_protocol(splits)
    if split is None:
        return []
    classes = find_classes(segments, split.settings["target"])
    subjects = sorted({name for fold in split.folds for name in (*fold.train.subjects, *fold.test.subjects)})
    head = LinearHead(LinearSettings())
    found: dict[int, list[tuple[np.ndarray, np.ndarray, np.ndarray, int]]] = {}
    for size, fold in folds(split, subjects, segments.dataset):
        assert_disjoint(fold, segments, [kind for kind, apart in split.disjoint.items() if apart is True])
        rows = {part: fold_rows(fold, part, segments, classes) for part in ("train", "test")}
        y = {part: classes.of_segment[positions] for part, positions in rows.items()}
        if len(np.unique(y["train"])) < len(classes.names) or not len(rows["test"]):
            continue
        x = treated({part: features(at) for part, at in rows.items()}, rows, segments, settings, published=False)
        fitted = head.fit(Given(x["train"], ()), y["train"], len(classes.names), None, seed)
        answer = fitted.probabilities(Given(x["test"], ()))
        found.setdefault(size, []).append((y["test"], answer, segments.subject[rows["test"]], _trials(fold, segments)))
    return [_point(split.protocol, size, parts, settings, seed) for size, parts in found.items()]


def _trials(fold: Fold, segments: Segments) -> int:
    mine = part_mask(fold, "train", segments)
    columns = (segments.subject, segments.session, segments.trial, segments.stimulus)
    return np.unique(np.stack([column[mine] for column in columns]), axis=1).shape[1]


def _point(
    protocol: str,
    size: int,
    parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, int]],
    settings: EvaluateSettings,
    seed: int,
) -> Point:
    truth, probabilities, subject = (np.concatenate([part[column] for part in parts]) for column in range(3))
    options: dict[str, Any] = {"resamples": settings.resamples, "confidence": settings.confidence}
    scores = metrics.summarise(truth, probabilities, np.zeros_like(subject), subject, seed=seed, **options)
    score = scores["balanced_accuracy"]
    interval = score["interval"] or {"low": None, "high": None}
    return Point(
        protocol=protocol,
        subjects=size,
        train_trials=round(float(np.mean([part[3] for part in parts])), 2),
        balanced_accuracy=score["value"],
        low=interval["low"],
        high=interval["high"],
        chance=round(1 / probabilities.shape[1], 6),
        n_test_subjects=len(np.unique(subject)),
    )

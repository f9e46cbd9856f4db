"""The participants' own ratings, predicted from the classifier's features by one linear ridge regression a fold.

For targets with self-reports of valence and arousal. Legend of shapes: n segments, m trials, d features, r ratings, a
penalties, k = min(m, d).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eegpipe import metrics
from eegpipe.affect import LIMIT, AffectSource
from eegpipe.protocols import PROTOCOLS

if TYPE_CHECKING:
    from eegpipe.loader import Segments

RATINGS = ("valence", "arousal")
# Penalties to choose from, in units of the number of trials: of features with variance 1, so that the same number means
# as much in a small training part as in a large one.
_PENALTIES = np.logspace(-3, 3, 13)
# A feature that spreads less over the training part is constant but for rounding.
_LEAST_SPREAD = 1e-9


@dataclass(frozen=True, eq=False)
class Reports:
    """What participants said of their trials.

    values : (n, r) float32, -4 to 4, NaN without a self-report
    trial, clip : (n,) int, the same for all segments of a trial, of a clip
    """

    values: np.ndarray
    trial: np.ndarray
    clip: np.ndarray


@dataclass(frozen=True, eq=False)
class Rated:
    """Test segments. predicted, reported : (n, r) float64, the latter NaN without a self-report."""

    predicted: np.ndarray
    reported: np.ndarray


def covers(protocol: str) -> bool:
    """Whether ratings are predicted: where a classifier is trained, and not under mdJPT's own rules."""
    plan = PROTOCOLS[protocol]
    return plan.kind != "zeroshot" and not plan.as_mdjpt


def reports(segments: Segments) -> Reports | None:
    """The ratings of a data set; None without a single self-report. Norms of clips and of words are no ratings."""
    values = np.stack([getattr(segments, name) for name in RATINGS], axis=1).astype(np.float32)
    values[segments.affect_source != AffectSource.SELF_REPORT] = np.nan
    if np.isnan(values).all():
        return None
    columns = np.stack([segments.subject, segments.session, segments.trial, segments.stimulus])
    return Reports(values, np.unique(columns, axis=1, return_inverse=True)[1].reshape(-1), segments.stimulus)


def of_test(predicted: np.ndarray, told: Reports, rows: np.ndarray) -> Rated | None:
    """What was predicted (n, r) for the segments at ``rows``; None if none of them has a self-report."""
    reported = told.values[rows].astype(np.float64)
    return None if np.isnan(reported).all() else Rated(predicted.astype(np.float64), reported)


@dataclass(frozen=True, eq=False)
class Ridge:
    """A fitted regression. centre, scale : (d,), of the training part; weights : (d, r)."""

    centre: np.ndarray
    scale: np.ndarray
    weights: np.ndarray

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(n, d) -> (n, r), within the scale, which one loud segment would leave far behind."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            return np.clip(((features - self.centre) / self.scale) @ self.weights, -LIMIT, LIMIT)


def fit(features: np.ndarray, told: Reports, rows: np.ndarray) -> Ridge:
    """Fit to the training part of a fold; its segments without a self-report are left out.

    A trial has one rating, and what is scored is the mean prediction over it, which for a linear model is the
    prediction from the mean: so one trial, with the mean of its features, is one observation.

    The constant is the middle of the scale (0) and not the mean of the training part. That mean is low where the clips
    or people left to be tested are rated high, so that over several folds it would correlate negatively with the
    ratings for a method that knows nothing.

    Parameters
    ----------
    features : (n, d)
        Treated features of the training part.
    rows : (n,) int
        Its positions in the store; at least one of them has a self-report.
    """
    from sklearn import linear_model
    from threadpoolctl import threadpool_limits

    values = told.values[rows].astype(np.float64)
    known = ~np.isnan(values).any(axis=1)
    first, y, means = metrics.by_trial(told.trial[rows][known], values[known], features[known])
    centre, scale = means.mean(axis=0), means.std(axis=0)
    scale = np.where(scale > _LEAST_SPREAD, scale, 1.0)
    x, y = (means - centre) / scale, y - y.mean(axis=0)
    with threadpool_limits(1):  # the last digits of sums in BLAS depend on the number of threads
        penalties = chosen_penalties(x, y, told.clip[rows][known][first])
        model = linear_model.Ridge(alpha=penalties, fit_intercept=False, solver="cholesky").fit(x, y)
    return Ridge(centre, scale, model.coef_.T)


def chosen_penalties(x: np.ndarray, y: np.ndarray, clip: np.ndarray) -> np.ndarray:
    """(r,) the penalties whose regressions predict each clip best from all the others: least squared error.

    Whole clips are left out because people rate the same clip alike: with single trials left out, features that know
    the clip would tell its rating, and the penalty would be too small for clips that are new. Closed form: H y are the
    fitted values, and the errors of the trials b in a fit without them are (I - H_bb)^-1 (y - H y)_b.

    Parameters
    ----------
    x : (m, d)
        Standardised.
    y : (m, r)
    clip : (m,) int
    """
    penalties = _PENALTIES * len(x)
    clips = np.unique(clip)
    if len(clips) < 2:
        return np.full(y.shape[1], penalties[-1])  # nothing to predict it from
    if x.shape[1] > len(x):
        powers, vectors = np.linalg.eigh(x @ x.T)
        powers = np.maximum(powers, 0)
        z = vectors * np.sqrt(powers)
    else:
        powers, vectors = np.linalg.eigh(x.T @ x)
        powers = np.maximum(powers, 0)
        z = x @ vectors
    shrunk = 1 / (powers + penalties[:, None])  # (a, k), and H = z diag(shrunk) z'
    residual = y - z @ (shrunk[:, :, None] * (z.T @ y))  # (a, m, r)
    error = np.zeros((len(penalties), y.shape[1]))
    for one in clips:
        mine = clip == one
        hat = (z[mine] * shrunk[:, None]) @ z[mine].T
        error += (np.linalg.solve(np.eye(mine.sum()) - hat, residual[:, mine]) ** 2).sum(axis=1)
    return penalties[error.argmin(axis=0)]

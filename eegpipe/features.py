"""What happens to features between encoder and classifier: online normalisation and smoothing.

Both are part of the published mdJPT evaluation; ``protocols.py`` says which protocol may use which. A stream is the
segments of one subject in one session in order of trial and time. Where a vendor sorted the trials by clip, that order
is the vendor's and not the order in which the clips were played.

Shapes: n segments, d features. Computation is float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from eegpipe.loader import Segments

_EPSILON = 1e-10  # added to a variance before the square root (mdJPT code)


def streams(segments: Segments, rows: np.ndarray) -> list[np.ndarray]:
    """The rows of each (subject, session) in order of trial and time; ``rows`` are positions in ``segments``."""
    return _runs(segments, rows, (segments.subject, segments.session))


def trials(segments: Segments, rows: np.ndarray) -> list[np.ndarray]:
    """The rows of each trial in order of time."""
    return _runs(segments, rows, (segments.subject, segments.session, segments.trial, segments.stimulus))


def _runs(segments: Segments, rows: np.ndarray, owner: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    # Trial numbers come before times, because a subject's session may be several recordings that each start at zero.
    keys = (segments.recording_time, segments.stimulus, segments.trial, segments.session, segments.subject)
    order = rows[np.lexsort(tuple(key[rows] for key in keys))]
    owners = np.stack([column[order] for column in owner])
    borders = np.flatnonzero((owners[:, 1:] != owners[:, :-1]).any(axis=0)) + 1
    return np.split(order, borders) if len(order) else []


def priors(features: np.ndarray, subject: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over all segments, and mean over subjects of each subject's population variance; two (d,) arrays."""
    features = features.astype(np.float64)
    variances = [features[subject == one].var(axis=0) for one in np.unique(subject)]
    return features.mean(axis=0), np.mean(variances, axis=0)


def online_normalise(stream: np.ndarray, mean: np.ndarray, variance: np.ndarray, decay: float = 0.99) -> np.ndarray:
    """z-score each segment of a stream by what is known up to it, itself included (mdJPT code).

    Segment i (from 0) uses w m0 + (1 - w) mean(x_0..x_i) with w = decay**i, and likewise for the population variance.

    Parameters
    ----------
    stream : (n, d), in order of time
    mean, variance : (d,)
        The priors m0 and v0, from :func:`priors`.
    """
    # Sums of squares lose digits when the mean is large, so everything is counted from the prior mean.
    centred = stream.astype(np.float64) - mean
    count = np.arange(1, len(centred) + 1)[:, None]
    running_mean = np.cumsum(centred, axis=0) / count
    running_variance = np.maximum(np.cumsum(centred**2, axis=0) / count - running_mean**2, 0)
    weight = decay ** (count - 1.0)
    used_variance = weight * variance + (1 - weight) * running_variance
    return (centred - (1 - weight) * running_mean) / np.sqrt(np.maximum(used_variance, 0) + _EPSILON)


def lds_smooth(
    trial: np.ndarray, prior_variance: float = 0.01, process_variance: float = 1e-4, observation_variance: float = 1.0
) -> np.ndarray:
    """Kalman filter and backward (RTS) smoother of a scalar random walk, every feature on its own (mdJPT code).

    The prior of the first state has the mean of the whole trial. Not causal.

    Parameters
    ----------
    trial : (n, d), in order of time
    """
    observed = trial.astype(np.float64)
    filtered = np.empty_like(observed)
    variances = np.empty(len(observed))
    # Variances and gains depend on neither data nor feature.
    state, predicted = observed.mean(axis=0), prior_variance
    for index, value in enumerate(observed):
        gain = predicted / (predicted + observation_variance)
        state = state + gain * (value - state)
        filtered[index] = state
        variances[index] = (1 - gain) * predicted
        predicted = variances[index] + process_variance
    smoothed = filtered
    for index in range(len(observed) - 2, -1, -1):
        gain = variances[index] / (variances[index] + process_variance)
        smoothed[index] = filtered[index] + gain * (smoothed[index + 1] - filtered[index])
    return smoothed

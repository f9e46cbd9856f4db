"""ICA of one recording on as many dimensions as the data have.

ICA knows no order of samples, so seconds with glitches are cut out and samples skipped without any filter. What is
left is whitened and goes to :mod:`eegpipe.clean.infomax`; docs/cleaning.md has the number of samples measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eegpipe.clean.infomax import PIECE, extended_infomax
from eegpipe.clean.settings import IcaSettings

# A covariance is summed up over so many samples at a time.
_PIECE = 16384


@dataclass(frozen=True)
class Decomposition:
    """Sources = unmixing @ signal; signal = topographies @ sources, as far as the data span.

    topographies_uv : array, shape (channel, component)
        Microvolt at each channel for one standard deviation of the source, its largest entry positive. Components are
        in order of the variance that they explain, largest first.
    unmixing : array, shape (component, channel)
        For a signal in microvolt of the same channels in the same reference.
    samples
        How many samples the decomposition has seen.
    converged
        Whether the tolerance was reached.
    """

    topographies_uv: np.ndarray
    unmixing: np.ndarray
    samples: int
    converged: bool


def covariance(data_uv: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """(channel, channel) of the samples ``keep`` of ``data_uv`` (channel, sample), in float64, mean not removed: the
    signal is high-passed."""
    total = np.zeros((len(data_uv), len(data_uv)))
    for first in range(0, len(keep), _PIECE):
        piece = data_uv[:, keep[first : first + _PIECE]].astype(np.float64)
        total += piece @ piece.T
    return total / max(len(keep), 1)


def rank(covariance_uv2: np.ndarray, ratio: float) -> int:
    """How many dimensions the channels really span.

    Parameters
    ----------
    covariance_uv2 : array, shape (channel, channel)
        Of the signal in average reference: that alone costs one dimension.
    ratio
        An eigenvalue counts if it exceeds this share of the eigenvalues' median. The median, not the largest: one
        strong blink would hide small sources. What quantisation leaves of a removed dimension is smaller by orders of
        magnitude.
    """
    eigenvalues = np.linalg.eigvalsh(covariance_uv2)
    rounding = eigenvalues[-1] * len(eigenvalues) * np.finfo(np.float64).eps
    real = eigenvalues[eigenvalues > rounding]
    return int(np.sum(real > ratio * np.median(real))) if len(real) else 0


def choose(keep: np.ndarray, components: int, settings: IcaSettings) -> np.ndarray:
    """As many of the samples ``keep`` as the settings ask for, spread evenly; all if there are no more."""
    return _spread(keep, max(round(settings.samples_per_weight * components**2), settings.samples_at_least))


def _spread(keep: np.ndarray, most: int) -> np.ndarray:
    if len(keep) <= most:
        return keep
    return keep[np.linspace(0, len(keep) - 1, most).round().astype(np.intp)]


class _WhitePieces:
    """The samples ``keep`` of ``data_uv`` (channel, sample) in white coordinates, (component, sample) by pieces."""

    def __init__(self, data_uv: np.ndarray, keep: np.ndarray, whitening: np.ndarray) -> None:
        self._data_uv, self._whitening = data_uv, whitening
        self._keep = [keep[first : first + PIECE] for first in range(0, len(keep), PIECE)]

    def __len__(self) -> int:
        return len(self._keep)

    def __getitem__(self, number: int) -> np.ndarray:
        return self._whitening @ self._data_uv[:, self._keep[number]]


def fit(
    data_uv: np.ndarray, keep: np.ndarray, components: int, settings: IcaSettings, *, threads: int = 1
) -> Decomposition:
    """Decompose.

    Parameters
    ----------
    data_uv : array, shape (channel, sample)
        Good EEG channels only, above 1 Hz, average reference applied.
    keep : array of int, shape (sample,)
        The samples to learn from.
    components
        From :func:`rank`.
    threads
        Cores to use; they change no byte.
    """
    chosen = choose(keep, components, settings)
    more = _spread(keep, round(settings.most_samples_per_weight * components**2))
    values, vectors = np.linalg.eigh(covariance(data_uv, chosen))
    values, vectors = values[-components:], vectors[:, -components:]
    whitening = (vectors / np.sqrt(values)).T
    part = data_uv[:, chosen].astype(np.float32)
    part -= part.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    single = whitening.astype(np.float32)
    solution = extended_infomax(
        single @ part,
        tolerance=settings.tolerance,
        most_iterations=settings.most_iterations,
        random_state=settings.random_state,
        threads=threads,
        more=_WhitePieces(data_uv, more, single) if len(chosen) < len(more) else None,
        last_steps=settings.last_steps,
    )
    # The rows of the weights are scaled to sources of unit variance, and turned to a positive peak.
    weights = solution.weights
    topographies_uv = (vectors * np.sqrt(values)) @ np.linalg.inv(weights)
    deviations = np.sqrt(np.einsum("ij,ij->i", weights, weights))  # of the sources: the data are white
    peaks = topographies_uv[np.abs(topographies_uv).argmax(axis=0), np.arange(components)]
    scale = np.sign(peaks) * deviations
    topographies_uv, unmixing = topographies_uv * scale, (weights @ whitening) / scale[:, None]
    order = np.argsort(-np.einsum("ij,ij->j", topographies_uv, topographies_uv), kind="stable")
    return Decomposition(topographies_uv[:, order], unmixing[order], len(chosen), solution.converged)


def sources(decomposition: Decomposition, data_uv: np.ndarray) -> np.ndarray:
    """(component, sample) of ``data_uv`` (channel, sample), float32, about unit variance."""
    return decomposition.unmixing.astype(np.float32) @ data_uv.astype(np.float32, copy=False)


def courses(decomposition: Decomposition, numbers: list[int], data_uv: np.ndarray) -> np.ndarray:
    """(len(numbers), sample) float32: some sources in ``data_uv`` (channel, sample), which still holds them."""
    unmixing = decomposition.unmixing[numbers]
    out = np.empty((len(numbers), data_uv.shape[1]), np.float32)
    for first in range(0, out.shape[1], _PIECE):
        out[:, first : first + _PIECE] = unmixing @ data_uv[:, first : first + _PIECE]
    return out


def remove(decomposition: Decomposition, exclude: list[int], data_uv: np.ndarray) -> None:
    """Take the components ``exclude`` out of ``data_uv`` (channel, sample), in place."""
    topographies_uv = np.ascontiguousarray(decomposition.topographies_uv[:, exclude])
    unmixing = np.ascontiguousarray(decomposition.unmixing[exclude])
    for first in range(0, data_uv.shape[1], _PIECE):
        piece = data_uv[:, first : first + _PIECE]
        piece -= (topographies_uv @ (unmixing @ piece.astype(np.float64))).astype(data_uv.dtype)

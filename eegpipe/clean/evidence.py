"""What a person looks at to judge the cleaning of one recording: maps, spectra, a stretch of signal before and after.

Taken from the chain while it runs, drawn by :mod:`eegpipe.clean.page`. Small (below 2 MB), plain arrays, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from eegpipe.clean import filters, ica
from eegpipe.clean.ica import Decomposition

_EXCERPT_S = 20.0
# More samples in a second would not be seen.
_MOST_RATE_HZ = 250.0
# Windows for the sources' spectra.
_SOURCE_WINDOWS = 120


@dataclass(frozen=True)
class Evidence:
    """Everything is float32 or float64, microvolt, referenced to the average of the good channels.

    names, positions_m
        All EEG channels and their places (channel, 3) in metres, head frame.
    frequencies_hz, power_before, power_after
        (frequency,) up to 100 Hz or as far as the rate allows; (channel, frequency) power density, microvolt squared
        per Hz, of all EEG channels as they came (no filter) and of the output.
    excerpt_start_s, excerpt_rate_hz, excerpt_before_uv, excerpt_after_uv
        The 20 s with the most artefact removed (or all of a shorter recording), (channel, sample), not filtered before
        but for each channel's mean; at most about 250 Hz (every k-th sample).
    good
        Names of the channels of the ICA, in order; empty without ICA, as are the next three.
    topographies_uv
        (good channel, component): microvolt at the channel for one standard deviation of the source.
    source_power
        (component, frequency of ``frequencies_hz``) power density of the sources, scaled to unit variance, above 1 Hz.
    source_excerpt
        (component, sample) of the same stretch and rate as the excerpt, unit variance.
    """

    names: tuple[str, ...]
    positions_m: np.ndarray
    frequencies_hz: np.ndarray
    power_before: np.ndarray
    power_after: np.ndarray
    excerpt_start_s: float
    excerpt_rate_hz: float
    excerpt_before_uv: np.ndarray
    excerpt_after_uv: np.ndarray
    good: tuple[str, ...]
    topographies_uv: np.ndarray
    source_power: np.ndarray
    source_excerpt: np.ndarray


@dataclass(frozen=True)
class Excerpt:
    """A stretch of the recording: every ``step``-th sample from ``start`` to before ``stop``."""

    start: int
    stop: int
    step: int

    def of(self, signals: Iterable[np.ndarray]) -> np.ndarray:
        """(signal, sample) of it, without each signal's mean, float32."""
        # Copies of the part, one at a time: a view would keep its whole signal in memory.
        parts = (row[self.start : self.stop : self.step] for row in signals)
        return np.array([(part - part.mean()).astype(np.float32) for part in parts])


def choose_excerpt(
    wide_uv: np.ndarray,
    decomposition: Decomposition | None,
    exclude: list[int],
    calm: np.ndarray,
    blocks: Sequence[tuple[int, int]],
    rate_hz: float,
) -> Excerpt:
    """The 20 s with the most artefact removed, inside one block if one is that long.

    Parameters
    ----------
    wide_uv
        What the decomposition was fitted on (good channel, sample).
    exclude
        The components that are removed. Without any, the middle of the longest block is as good as any stretch.
    calm : array, shape (window, sample)
        Sample numbers of the windows of one second without glitch: elsewhere nothing else could be seen.
    """
    step = max(1, round(rate_hz / _MOST_RATE_HZ))
    first, end = max(blocks, key=lambda block: block[1] - block[0])
    length = min(round(_EXCERPT_S * rate_hz), end - first)
    start = first + (end - first - length) // 2
    if decomposition is not None and exclude and len(calm):
        power = np.zeros(len(calm))
        for component in exclude:
            source = decomposition.unmixing[component].astype(np.float32) @ wide_uv
            weight = float(np.sum(decomposition.topographies_uv[:, component] ** 2))
            power += weight * np.mean(source[calm] ** 2, axis=1)
        power = np.minimum(power, np.quantile(power, 0.95))  # many blinks rather than the largest one
        score = np.zeros(wide_uv.shape[1] + 1)
        score[calm[:, 0] + 1] = power
        score = np.cumsum(score)
        starts = [s for low, high in blocks for s in range(low, high - length + 1, round(rate_hz))]
        start = max(starts, key=lambda begin: (score[begin + length] - score[begin], -begin))
    return Excerpt(start, start + length, step)


def source_power(
    decomposition: Decomposition | None, wide_uv: np.ndarray, blocks: Sequence[tuple[int, int]], rate_hz: float
) -> np.ndarray:
    """Power density of the sources (component, frequency)."""
    windows = filters.spectrum_windows(blocks, rate_hz, _SOURCE_WINDOWS)
    if decomposition is None:
        return np.empty((0, windows.shape[1] // 2 + 1))
    parts = ica.sources(decomposition, wide_uv[:, windows.ravel()]).reshape(-1, *windows.shape)
    return np.array([filters.density(part, rate_hz) for part in parts])


def source_excerpt(decomposition: Decomposition | None, wide_uv: np.ndarray, excerpt: Excerpt) -> np.ndarray:
    """The course of the sources in the excerpt (component, sample)."""
    if decomposition is None:
        return np.empty((0, 0), dtype=np.float32)
    return ica.sources(decomposition, wide_uv[:, excerpt.start : excerpt.stop : excerpt.step])

"""What a person looks at to judge the cleaning of one recording: maps, spectra, a stretch of signal before and after.

Taken from the chain while it runs, drawn by :mod:`eegpipe.clean.page`. Small (below 2 MB), plain arrays, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Evidence:
    """Everything is float32 or float64, average-referenced, microvolt.

    names, positions_m
        All EEG channels and their places (channel, 3) in metres, head frame.
    frequencies_hz, power_before, power_after
        (frequency,) up to 100 Hz or as far as the rate allows; (channel, frequency) power density, microvolt squared
        per Hz, of all EEG channels as they came (average of the good channels subtracted, no filter) and of the output.
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

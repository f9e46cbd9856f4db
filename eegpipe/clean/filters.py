"""Line noise and band-pass, zero-phase, each block by itself: nothing leaks across a boundary.

Butterworth sections rather than a long FIR filter, because joined trials can be as short as 10 s: a 0.3 Hz FIR
high-pass needs about 11 s of signal on both sides of every sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal

from eegpipe.clean.settings import FilterSettings
from eegpipe.errors import UsageProblem

# An upper edge above this share of the Nyquist frequency is moved there; a digital filter cannot reach Nyquist itself.
HIGHEST_EDGE = 0.95
# The notch is left out where the band-pass already attenuates this much (both passes), dB.
_ENOUGH_DB = 40.0
# The signal is mirrored at both ends for this many periods of the lower edge, so that the filter has settled.
_SETTLING_PERIODS = 3.0

# A vendor's lower edge at this multiple of ours makes our high-pass idle.
_WELL_ABOVE = 1.5


@dataclass(frozen=True)
class FilterDesign:
    """What is applied: ``band_hz`` after the cap at the Nyquist frequency, the notches that are needed, sections.

    ``high_passed``: whether a high-pass is among the sections; otherwise the data begin above the lower edge anyway.
    """

    band_hz: tuple[float, float]
    high_passed: bool
    notches_hz: tuple[float, ...]
    sections: np.ndarray  # (section, 6)
    padding: int  # samples mirrored at each end of a block


def design(
    rate_hz: float,
    band_hz: tuple[float, float],
    line_hz: float,
    settings: FilterSettings,
    *,
    data_low_hz: float = 0.0,
) -> FilterDesign:
    """Butterworth band-pass and notches for one sampling rate.

    Data that begin at ``data_low_hz``, well above the lower edge, get no high-pass: it would have nothing to remove,
    and at the ends of short blocks it would put slow waves where there were none.

    Raises
    ------
    UsageProblem
        If the lower edge is not below the upper edge at this rate.
    """
    nyquist_hz = rate_hz / 2
    low_hz, high_hz = band_hz[0], min(band_hz[1], HIGHEST_EDGE * nyquist_hz)
    if low_hz >= high_hz:
        raise UsageProblem(
            f"The band {band_hz[0]:g}-{band_hz[1]:g} Hz is empty at a rate of {rate_hz:g} Hz "
            f"(upper edge {high_hz:g} Hz). Give a lower edge below the upper edge."
        )
    parts = [signal.butter(settings.order, high_hz, "lowpass", fs=rate_hz, output="sos")]
    high_passed = data_low_hz < _WELL_ABOVE * low_hz
    if high_passed:
        parts.insert(0, signal.butter(settings.order, low_hz, "highpass", fs=rate_hz, output="sos"))
    notches_hz = []
    if settings.notch_width_hz > 0 and line_hz > 0:
        for harmonic in range(1, math.ceil(nyquist_hz / line_hz)):
            frequency_hz = harmonic * line_hz
            attenuation_db = 2 * 10 * math.log10(1 + (frequency_hz / high_hz) ** (2 * settings.order))
            if attenuation_db < _ENOUGH_DB and frequency_hz + settings.notch_width_hz < nyquist_hz:
                notches_hz.append(frequency_hz)
                ba = signal.iirnotch(frequency_hz, frequency_hz / settings.notch_width_hz, fs=rate_hz)
                parts.append(signal.tf2sos(*ba))
    return FilterDesign(
        band_hz=(low_hz, high_hz),
        high_passed=high_passed,
        notches_hz=tuple(notches_hz),
        sections=np.concatenate(parts),
        padding=round(_SETTLING_PERIODS / low_hz * rate_hz),
    )


def apply(data: np.ndarray, blocks: Sequence[tuple[int, int]], filters: FilterDesign) -> np.ndarray:
    """Filter ``data`` (channel, sample) forwards and backwards inside every block (first, last + 1); a new array."""
    filtered = np.empty_like(data, dtype=np.float64)
    for first, end in blocks:
        block = data[:, first:end]
        # Odd mirroring keeps a step out of the padding; the mean goes first because a large offset costs precision.
        filtered[:, first:end] = signal.sosfiltfilt(
            filters.sections,
            block - block.mean(axis=1, keepdims=True),
            axis=1,
            padlen=min(filters.padding, end - first - 1),
        )
    return filtered


def spectrum(data: np.ndarray, blocks: Sequence[tuple[int, int]], rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Power density of ``data`` (channel, sample): frequencies (Hz) and (channel, frequency) in unit squared per Hz.

    Median over 2-s Hann windows with half overlap that lie inside one block, so that glitches and boundaries do not
    count; blocks shorter than that are left out. Without any window both arrays are empty.
    """
    length = round(2 * rate_hz)
    taper = signal.windows.hann(length, sym=False)
    windows = [
        np.lib.stride_tricks.sliding_window_view(data[:, first:end], length, axis=1)[:, :: length // 2]
        for first, end in blocks
        if end - first >= length
    ]
    if not windows:
        return np.empty(0), np.empty((len(data), 0))
    frequencies_hz = np.fft.rfftfreq(length, 1 / rate_hz)
    power = np.empty((len(data), len(frequencies_hz)))
    for channel in range(len(data)):  # one channel at a time: all windows of all channels would double the memory
        pieces = np.concatenate([window[channel] for window in windows])
        pieces = pieces - pieces.mean(axis=1, keepdims=True)
        power[channel] = np.median(np.abs(np.fft.rfft(pieces * taper)) ** 2, axis=0)
    # The median of a chi-squared variable with two degrees of freedom is log(2) times its mean.
    return frequencies_hz, 2 * power / (rate_hz * np.sum(taper**2)) / math.log(2)


def measured_band(frequencies_hz: np.ndarray, power: np.ndarray) -> tuple[float, float]:
    """The band that a signal really holds, Hz, from its power density (channel, frequency).

    Scalp EEG falls about as 1/f squared or slower. The upper edge is where the median channel first drops below a
    fiftieth of that line through 20-35 Hz and stays there for 8 Hz (a notch is narrower); the lower edge is where it
    last stays below a twentieth of the level at 4-8 Hz. (0, highest frequency) if nothing was filtered away.
    """
    typical = np.median(power, axis=0)
    middle = (frequencies_hz >= 20) & (frequencies_hz <= 35)
    slow = (frequencies_hz >= 4) & (frequencies_hz <= 8)
    if not middle.any() or not (typical[middle] > 0).all():
        return 0.0, float(frequencies_hz[-1]) if len(frequencies_hz) else 0.0
    line = np.median(typical[middle] * frequencies_hz[middle] ** 2)
    with np.errstate(divide="ignore"):
        missing = typical * frequencies_hz**2 < line / 50
    step_hz = frequencies_hz[1]
    run = round(8 / step_hz)
    upper_hz = float(frequencies_hz[-1])
    above = np.flatnonzero(missing & (frequencies_hz > 35))
    for index in above:
        if missing[index : index + run].all():
            upper_hz = float(frequencies_hz[index])
            break
    # The lowest bin is left out: removing each window's mean empties it.
    below = np.flatnonzero((typical < np.median(typical[slow]) / 20) & (frequencies_hz > 0) & (frequencies_hz < 4))
    lower_hz = float(frequencies_hz[below[-1]]) if len(below) else 0.0
    return lower_hz, upper_hz

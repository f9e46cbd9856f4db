"""Line noise and band-pass, zero-phase, each block by itself: nothing leaks across a boundary.

Butterworth sections rather than a long FIR filter, because joined trials can be as short as 10 s: a 0.3 Hz FIR
high-pass needs about 11 s of signal on both sides of every sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft, signal

from eegpipe.clean.settings import FilterSettings
from eegpipe.errors import UsageProblem

# An upper edge above this share of the Nyquist frequency is moved there; a digital filter cannot reach Nyquist itself.
HIGHEST_EDGE = 0.95
# The notch is left out where the band-pass already attenuates this much (both passes), dB.
_ENOUGH_DB = 40.0
# The signal is mirrored at both ends for this many periods of the lower edge, so that the filter has settled.
_SETTLING_PERIODS = 3.0
# A spectrum is a median over at most so many windows; more change no digit that anybody looks at.
_MOST_WINDOWS = 600
# Frequencies whose gain is worked out at once.
_GAIN_PIECE = 16384

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
    return np.stack([apply_all(signal, blocks, [filters])[0] for signal in data])


def apply_all(
    signal_: np.ndarray,
    blocks: Sequence[tuple[int, int]],
    designs: Sequence[FilterDesign],
    dtype: type[np.floating] = np.float64,
) -> list[np.ndarray]:
    """One channel (sample,) through several designs at once: for each, what its sections do forwards and backwards.

    Forwards and backwards is a product with the squared gain in the frequency domain, which costs a few Fourier
    transforms whatever the number of sections.
    """
    results = [np.empty(len(signal_), dtype) for _ in designs]
    for first, end in blocks:
        block = np.asarray(signal_[first:end], dtype=np.float64)
        # The mean goes first because a large offset costs precision.
        ring, start = _padded(block - block.mean(), max(design.padding for design in designs))
        samples = len(ring)
        transform = fft.rfft(ring, overwrite_x=True)
        del ring
        for result, design in zip(results, designs, strict=True):
            filtered = fft.irfft(transform * _gain(design.sections.tobytes(), samples), samples, overwrite_x=True)
            result[first:end] = filtered[start : start + len(block)]
    return results


def _padded(block: np.ndarray, settling: int) -> tuple[np.ndarray, int]:
    """The block with something on both sides, of a length that transforms quickly, and where its first sample lies.

    Odd mirroring keeps a step out of the ends. Then each end stays at its value until the filter has settled, and a
    slow ramp joins the two: a Fourier transform sees a ring.
    """
    padding = min(settling, len(block) - 1)
    before = 2 * block[0] - block[padding:0:-1]
    after = 2 * block[-1] - block[-2 : -padding - 2 : -1]
    mirrored = np.concatenate([before, block, after])
    ring = np.empty(fft.next_fast_len(len(mirrored) + 3 * settling, real=True))
    ring[: len(mirrored)] = mirrored
    free = ring[len(mirrored) :]
    ramp = (1 - np.cos(np.pi * (np.arange(len(free) - 2 * settling) + 0.5) / (len(free) - 2 * settling))) / 2
    free[:settling] = mirrored[-1]
    free[settling : len(free) - settling] = mirrored[-1] + (mirrored[0] - mirrored[-1]) * ramp
    free[len(free) - settling :] = mirrored[0]
    return ring, padding


@lru_cache(maxsize=16)
def _gain(sections: bytes, length: int) -> np.ndarray:
    """Squared gain of second-order sections at the frequencies of a real transform of ``length`` samples."""
    sos = np.frombuffer(sections).reshape(-1, 6)
    gain = np.ones(length // 2 + 1)
    for first in range(
        0, len(gain), _GAIN_PIECE
    ):  # the complex arrays of all frequencies would be the largest there are
        piece = gain[first : first + _GAIN_PIECE]
        radians = np.pi * np.arange(first, first + len(piece)) / (length / 2)
        back, back_twice = np.exp(-1j * radians), np.exp(-2j * radians)
        for b0, b1, b2, a0, a1, a2 in sos:
            piece *= np.abs((b0 + b1 * back + b2 * back_twice) / (a0 + a1 * back + a2 * back_twice)) ** 2
    return gain


def spectrum_windows(blocks: Sequence[tuple[int, int]], rate_hz: float, most: int = _MOST_WINDOWS) -> np.ndarray:
    """(window, sample) sample numbers of windows of 2 s with half overlap, each inside one block; blocks shorter than
    that are left out, and of very many windows ``most`` are taken, spread evenly."""
    length = round(2 * rate_hz)
    starts = np.array(
        [start for first, end in blocks for start in range(first, end - length + 1, length // 2)], dtype=np.intp
    )
    if len(starts) > most:
        starts = starts[np.linspace(0, len(starts) - 1, most).round().astype(np.intp)]
    return starts.reshape(-1, 1) + np.arange(length)


def spectrum_frequencies(rate_hz: float) -> np.ndarray:
    """Frequencies (frequency,) of :func:`density`, Hz."""
    return np.fft.rfftfreq(round(2 * rate_hz), 1 / rate_hz)


def density(windows: np.ndarray, rate_hz: float) -> np.ndarray:
    """Power density (frequency,) of the windows (window, sample) of one channel, unit squared per Hz.

    The median over Hann windows, so that glitches do not count. NaN without any window.
    """
    length = windows.shape[1]
    if not len(windows):
        return np.full(length // 2 + 1, np.nan)
    taper = signal.windows.hann(length, sym=False)
    pieces = windows.astype(np.float64)
    pieces -= pieces.mean(axis=1, keepdims=True)
    power = np.median(np.abs(fft.rfft(pieces * taper)) ** 2, axis=0)
    # The median of a chi-squared variable with two degrees of freedom is log(2) times its mean.
    return 2 * power / (rate_hz * np.sum(taper**2)) / math.log(2)


def measured_band(frequencies_hz: np.ndarray, power: np.ndarray) -> tuple[float, float]:
    """The band that a signal really holds, Hz, from its power density (channel, frequency).

    Scalp EEG falls about as 1/f squared or slower. The upper edge is where the median channel first drops below a
    fiftieth of that line through 20-35 Hz and stays there for 8 Hz (a notch is narrower); the lower edge is where it
    last stays below a twentieth of the level at 4-8 Hz. (0, highest frequency) if nothing was filtered away.
    """
    typical = np.median(power, axis=0)
    middle = (frequencies_hz >= 20) & (frequencies_hz <= 35)
    slow = (frequencies_hz >= 4) & (frequencies_hz <= 8)
    if not middle.any() or not (typical[middle] > 0).all():  # NaN, too: there was no window
        return 0.0, float(frequencies_hz[-1])
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

"""Figures before and after cleaning: what a person looks at first when a recording behaves strangely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal

_FRONTAL = ("Fp1", "Fpz", "Fp2", "AF3", "AF4", "AF7", "AF8")
_OCCIPITAL = ("O1", "Oz", "O2", "PO3", "POz", "PO4", "PO7", "PO8", "P7", "P8")
_ALPHA_HZ = (7.0, 13.0)
_BLINK_BAND_HZ = (1.0, 10.0)
# A blink stands out of the frontal signal by this many robust deviations and is at least this high, microvolt.
_BLINK_DEVIATIONS = 5.0
_LEAST_BLINK_UV = 30.0
_FEWEST_BLINKS = 5
# Of the signal around each blink; enough for the filter of the blinks' band to settle.
_AROUND_BLINK_S = 3.0
_SLOPE_HZ = (20.0, 75.0)
_LINE_REACH_HZ = 3.0


@dataclass(frozen=True)
class Figures:
    """One recording, once before and once after cleaning. None: cannot be measured here.

    blink_uv
        Mean height of the blinks found BEFORE cleaning, on the frontal channels, microvolt. Averaged over blinks, so
        that brain signal cancels and the residue shows.
    line_db
        Power at the line frequency against its surroundings, decibel; 0 is none.
    alpha_peak_hz, alpha_uv2
        Frequency of the occipital peak in 7-13 Hz after removal of the 1/f slope (None without a peak), and mean power
        density of that band, microvolt squared per Hz.
    amplitude_uv
        Root of the power at 1-40 Hz, median over EEG channels, microvolt.
    """

    blink_uv: float | None
    line_db: float | None
    alpha_peak_hz: float | None
    alpha_uv2: float | None
    amplitude_uv: float


def figures(
    frequencies_hz: np.ndarray,
    power: np.ndarray,
    names: Sequence[str],
    frontal_uv: np.ndarray | None,
    rate_hz: float,
    line_hz: float,
    blinks: np.ndarray,
) -> Figures:
    """Measure one recording.

    Parameters
    ----------
    frequencies_hz, power
        From :func:`eegpipe.clean.filters.spectrum`, (channel, frequency), of the channels called ``names``.
    frontal_uv
        Mean of the frontal channels (sample,), or None; see :func:`frontal_channels`.
    blinks
        From :func:`find_blinks`.
    """
    occipital = [index for index, name in enumerate(names) if name in _OCCIPITAL]
    peak_hz, alpha = _alpha(frequencies_hz, power[occipital]) if occipital else (None, None)
    middle = (frequencies_hz >= 1) & (frequencies_hz <= 40)
    total = power[:, middle].sum(axis=1) * (frequencies_hz[1] if len(frequencies_hz) else 0.0)
    return Figures(
        blink_uv=_rounded(_blink_height(frontal_uv, rate_hz, blinks), 2),
        line_db=_rounded(_line(frequencies_hz, power, line_hz), 2),
        alpha_peak_hz=peak_hz,
        alpha_uv2=_rounded(alpha, 3),
        amplitude_uv=round(float(np.sqrt(np.median(total))), 3),
    )


def frontal_channels(names: Sequence[str]) -> list[int]:
    """Which of ``names`` see the blinks."""
    return [index for index, name in enumerate(names) if name in _FRONTAL]


def find_blinks(frontal_uv: np.ndarray | None, rate_hz: float) -> np.ndarray:
    """Samples of the blinks' peaks, from the mean of the frontal channels; empty without frontal channels.

    A blink is a positive peak there (the upper lid drags charge upwards) that stands out of the robust spread.
    """
    if frontal_uv is None:
        return np.empty(0, dtype=np.intp)
    frontal = _blink_band(frontal_uv, rate_hz)
    spread = 1.4826 * np.median(np.abs(frontal - np.median(frontal)))
    height = max(_BLINK_DEVIATIONS * spread, _LEAST_BLINK_UV)
    # Higher than any blink is a glitch.
    peaks, _ = signal.find_peaks(frontal, height=(height, 1000.0), distance=max(1, round(0.3 * rate_hz)))
    margin = round(0.6 * rate_hz)
    return peaks[(peaks >= margin) & (peaks < len(frontal) - margin)]


def mean_blink(data_uv: np.ndarray, blinks: np.ndarray, rate_hz: float) -> np.ndarray | None:
    """Height of the mean blink at every channel of ``data_uv`` (channel, sample), microvolt; None with too few.

    Averaged first and filtered then, which is the same and much less work.
    """
    around = round(_AROUND_BLINK_S * rate_hz)
    inside = blinks[(blinks >= around) & (blinks < data_uv.shape[1] - around)]
    if len(inside) < _FEWEST_BLINKS:
        return None
    window = np.arange(-around, around + 1)
    average = np.stack([row[inside[:, None] + window].mean(axis=0, dtype=np.float64) for row in data_uv])
    return _heights(_blink_band(average, rate_hz), np.array([around]), rate_hz)


def blink_shares(
    blink_uv: np.ndarray | None, topographies_uv: np.ndarray, unmixing: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Each component's share of the mean blink's height on the frontal channels; all shares sum to about 1.

    Parameters
    ----------
    blink_uv
        From :func:`mean_blink`, of the channels called ``names``.
    topographies_uv : array, shape (channel, component)
    unmixing : array, shape (component, channel)
        Sources = unmixing @ signal.

    Returns
    -------
    array, shape (component,)
        Zeros if there are too few blinks or no frontal channels.
    """
    frontal = frontal_channels(names)
    if not frontal or blink_uv is None:
        return np.zeros(len(unmixing))
    heights_uv = topographies_uv[frontal].mean(axis=0) * (unmixing @ blink_uv)
    return heights_uv / heights_uv.sum()


def slopes(frequencies_hz: np.ndarray, power: np.ndarray, upper_hz: float, line_hz: float) -> np.ndarray:
    """How power densities (signal, frequency) change above 20 Hz, as the exponent of a power of the frequency.

    A contracted muscle is broad: most of what the scalp shows above 20 Hz goes when muscles are paralysed (Whitham et
    al. 2007, doi 10.1016/j.clinph.2007.04.027). A fast rhythm ends. By least squares of the logarithms up to 0.9
    ``upper_hz`` (the end of the data) or 75 Hz, without 3 Hz on either side of the line frequency. NaN where that is
    less than an octave.
    """
    highest_hz = min(_SLOPE_HZ[1], 0.9 * upper_hz)
    if highest_hz < 2 * _SLOPE_HZ[0]:
        return np.full(len(power), np.nan)
    chosen = (frequencies_hz >= _SLOPE_HZ[0]) & (frequencies_hz <= highest_hz)
    chosen &= np.abs(frequencies_hz - line_hz) > _LINE_REACH_HZ
    x = np.log(frequencies_hz[chosen])
    x -= x.mean()
    y = np.log(np.maximum(power[:, chosen], np.finfo(float).tiny))
    return np.asarray(y @ x / (x @ x))


def _blink_band(signals: np.ndarray, rate_hz: float) -> np.ndarray:
    sections = signal.butter(2, _BLINK_BAND_HZ, "bandpass", fs=rate_hz, output="sos")
    return signal.sosfiltfilt(sections, signals)


def _heights(signals: np.ndarray, blinks: np.ndarray, rate_hz: float) -> np.ndarray:
    """Mean over blinks of the peak above the level half a second before and after; over the last axis."""
    away = round(0.5 * rate_hz)
    around = (signals[..., blinks - away] + signals[..., blinks + away]) / 2
    return (signals[..., blinks] - around).mean(axis=-1)


def _blink_height(frontal_uv: np.ndarray | None, rate_hz: float, blinks: np.ndarray) -> float | None:
    if frontal_uv is None or len(blinks) < _FEWEST_BLINKS:
        return None
    return float(_heights(_blink_band(frontal_uv, rate_hz), blinks, rate_hz))


def _line(frequencies_hz: np.ndarray, power: np.ndarray, line_hz: float) -> float | None:
    if not len(frequencies_hz) or not 0 < line_hz < frequencies_hz[-1] - 4:
        return None
    distance = np.abs(frequencies_hz - line_hz)
    typical = np.median(power, axis=0)
    around = np.median(typical[(distance >= 2.5) & (distance <= 6)])
    at = typical[distance <= 0.5].max()
    return float(10 * np.log10(at / around)) if at > 0 and around > 0 else None


def _alpha(frequencies_hz: np.ndarray, power: np.ndarray) -> tuple[float | None, float | None]:
    wide = (frequencies_hz >= 3) & (frequencies_hz <= 25)
    if not wide.any():
        return None, None
    level = np.median(power, axis=0)
    inside = (frequencies_hz >= _ALPHA_HZ[0]) & (frequencies_hz <= _ALPHA_HZ[1])
    outside = wide & ((frequencies_hz < 6) | (frequencies_hz > 14))
    if not (level[wide] > 0).all():
        return None, None
    slope, offset = np.polyfit(np.log(frequencies_hz[outside]), np.log(level[outside]), 1)
    rise = np.full(len(level), -np.inf)
    rise[wide] = np.log(level[wide]) - (slope * np.log(frequencies_hz[wide]) + offset)
    best = int(np.argmax(np.where(inside, rise, -np.inf)))
    # A tenth more than the slope is no peak, nor is a shoulder of something outside the band.
    is_peak = rise[best] > 0.1 and rise[best] >= rise[best - 1] and rise[best] >= rise[best + 1]
    return (float(frequencies_hz[best]) if is_peak else None), float(level[inside].mean())


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)

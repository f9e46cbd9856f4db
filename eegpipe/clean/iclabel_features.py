"""What the ICLabel network sees of a component: scalp map, spectrum, autocorrelation.

The definitions are those of EEGLAB's plug-in ICLabel (Pion-Tonachini, Kreutz-Delgado & Makeig 2019) for continuous
data; the tests compare with its results in MATLAB and with mne-icalabel. Three things make it fast: the scalp map is a
linear function of the weights, so its matrix is solved once a montage; windows are views of the signal; the transform
of the autocorrelation is only as long as its lags need. Neither result depends on an order of windows, so the plug-in's
random permutation of them is left out.

A recording may be given as blocks (joined trials): no window crosses their limits. Of a long recording :func:`pieces`
takes a part. That is for spectra, which are medians; autocorrelations are means in which the few loudest seconds weigh
most, and a part of the recording moves them, and the network's answer, several times as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from scipy import fft, signal

from eegpipe.errors import DataProblem, UsageProblem

Blocks = Sequence[tuple[int, int]]

PIECE_S = 12.0
# The network's sizes: pixels of a side of the map, frequencies (1-100 Hz), lags (10-1000 ms).
_PIXELS = 32
_VALUES = 100
_HEAD_RADIUS = 0.5
_RIM = 1.02
_LAG_WINDOW_S = 3
# Up to here the plug-in takes the autocorrelation of the signal as one piece.
_SHORT_S = 5
_LINE_HZ = (50, 60)
_NOTCH_DB = 5.0
# The network learned on features multiplied by this.
_SCALE = np.float32(0.99)
# Samples transformed at once: about what a core's cache holds.
_CHUNK = 1 << 16


def network_input(
    weights: np.ndarray,
    positions_m: np.ndarray,
    sources: np.ndarray,
    rate_hz: float,
    blocks: Blocks | None = None,
    most_s: float | None = None,
) -> dict[str, np.ndarray]:
    """The inputs of the ONNX network by their names, float32.

    Every component is there four times: its map, the map with the other sign, and both mirrored left to right, because
    neither sign nor side means anything. The network itself takes the mean of the four answers.

    Parameters
    ----------
    weights : array, shape (channel, component)
        As in :func:`topographies`.
    positions_m : array, shape (channel, 3)
        As in :func:`topographies`.
    sources : array, shape (component, sample)
        As in :func:`spectra`.
    blocks
        As in :func:`spectra`.
    most_s
        The spectra come from at most so many seconds (:func:`pieces`), the autocorrelations always from all. With
        None and one block the result is that of EEGLAB and of mne-icalabel.

    Returns
    -------
    dict
        ``topo`` (4 components, 1, 32, 32), ``psds`` and ``autocorr`` (4 components, 1, 1, 100): all components, then
        all of them again.

    Raises
    ------
    DataProblem, UsageProblem
        As the three functions do.
    """
    if weights.shape[1] != len(sources):
        raise UsageProblem(f"ICLabel: weights of {weights.shape[1]} components, but {len(sources)} sources.")
    blocks = _checked(blocks, sources.shape[1])
    maps = topographies(weights, positions_m)
    level = spectra(sources, rate_hz, pieces(blocks, rate_hz, most_s))
    mirrored = maps[:, :, ::-1]
    return {
        "topo": np.concatenate([maps, -maps, mirrored, -mirrored])[:, np.newaxis],
        "psds": np.tile(level, (4, 1))[:, np.newaxis, np.newaxis],
        "autocorr": np.tile(autocorrelations(sources, rate_hz, blocks), (4, 1))[:, np.newaxis, np.newaxis],
    }


def topographies(weights: np.ndarray, positions_m: np.ndarray) -> np.ndarray:
    """Scalp maps of 32 x 32 pixels, largest value 0.99 or -0.99, zero outside the head.

    Parameters
    ----------
    weights : array, shape (channel, component)
        What a source adds to each channel, in any unit.
    positions_m : array, shape (channel, 3)
        Electrodes in MNE's head frame (x right, y to the nose, z up); only their directions from the origin count.

    Returns
    -------
    array of float32, shape (component, 32, 32)
        Rows go from the back of the head to the nose, columns from left to right.

    Raises
    ------
    DataProblem
        If a component has no weights or weights that are not finite.
    """
    positions_m = np.ascontiguousarray(positions_m, dtype=np.float64)
    maps = weights.T.astype(np.float64) @ _interpolation(positions_m.tobytes()).T
    largest = np.abs(maps).max(axis=1, keepdims=True)
    _refuse(~np.isfinite(largest) | (largest == 0), "a scalp map of zeros or values that are not finite")
    return _SCALE * (maps / largest).astype(np.float32).reshape(-1, _PIXELS, _PIXELS)


def spectra(sources: np.ndarray, rate_hz: float, blocks: Blocks | None = None) -> np.ndarray:
    """Power at 1-100 Hz in dB, divided by its largest magnitude: medians over windows of one second, half overlapping.

    A dip at 50 or 60 Hz of more than 5 dB (a notch) is levelled. Above the Nyquist frequency stands the last value.

    Parameters
    ----------
    sources : array, shape (component, sample)
        Activity of the components. Decibels make the unit matter: EEGLAB's, and so that of the examples the network
        learned from, is microvolt, root mean square over the channels.
    blocks
        Stretches (first sample, last + 1) that no window may leave; the whole recording by default. Blocks shorter
        than a second count only if none is longer; then windows are as long as the longest.

    Returns
    -------
    array of float32, shape (component, 100)

    Raises
    ------
    DataProblem
        If a component is silent or not finite in half of the windows.
    UsageProblem
        If every block is too short: about half a second.
    """
    blocks = _checked(blocks, sources.shape[1])
    length = min(max(end - first for first, end in blocks), int(rate_hz))
    nyquist = int(rate_hz / 2)
    count = min(nyquist, _VALUES)
    if length <= count:
        raise UsageProblem(f"ICLabel needs a block of more than {count} samples; the longest has {length}.")
    # Windows below one second have fewer bins than are asked for: the plug-in goes on into the negative frequencies.
    bins = np.arange(1, count + 1)
    bins = np.minimum(bins, length - bins)
    taper = np.hamming(length)
    unit = 2 / (rate_hz * np.sum(taper**2))

    windows = sum(2 * ((end - first) // length) - 1 for first, end in blocks if end - first >= length)
    # Seven digits of one power are enough, and the median of twice as many bytes takes twice as long.
    power = np.empty((count, windows), dtype=np.float32)
    middle = np.empty((len(sources), count))
    for component, source in enumerate(sources):
        done = 0
        for chunk in _windows(source, blocks, length):
            power[:, done : done + len(chunk)] = _power(chunk * taper, length).T[bins]
            done += len(chunk)
        middle[component] = _median(power)
    _refuse(~(middle.min(axis=1) > 0), "no activity, or values that are not finite, in half of the windows")
    middle *= unit
    if count == nyquist:
        middle[:, -1] /= 2

    # Twice what decibels of power are: the plug-in's own definition, which the network learned.
    level = np.empty((len(sources), _VALUES))
    level[:, :count] = 20 * np.log10(middle)
    level[:, count:] = level[:, count - 1 : count]
    for line_hz in _LINE_HZ:
        line = line_hz - 1
        beside = level[:, [line - 1, line + 1]]
        notched = (beside - level[:, [line]] > _NOTCH_DB).all(axis=1)
        level[notched, line] = beside[notched].mean(axis=1)
    return _SCALE * (level / np.abs(level).max(axis=1, keepdims=True)).astype(np.float32)


def autocorrelations(sources: np.ndarray, rate_hz: float, blocks: Blocks | None = None) -> np.ndarray:
    """Autocorrelation at lags of 10-1000 ms: mean over windows of three seconds, half overlapping, bias removed.

    Signals of five seconds or less, or without a block of three, are taken as they are, and the bias is left in; that
    is the plug-in's way too.

    Parameters
    ----------
    sources : array, shape (component, sample)
        Activity of the components in any unit.
    blocks
        As in :func:`spectra`; blocks shorter than a window do not count where there are windows.

    Returns
    -------
    array of float32, shape (component, 100)

    Raises
    ------
    DataProblem
        If a component is silent or has values that are not finite.
    """
    blocks = _checked(blocks, sources.shape[1])
    lengths = [end - first for first, end in blocks]
    lags = int(rate_hz)
    window = int(rate_hz * _LAG_WINDOW_S)
    windowed = sum(lengths) / rate_hz > _SHORT_S and max(lengths) >= window
    kept = [length if not windowed else window for length in lengths if not windowed or length >= window]
    # Long enough that no lag of interest wraps round onto another.
    size = fft.next_fast_len(max(kept) + lags, real=True)

    total = np.empty((len(sources), size // 2 + 1))
    for component, source in enumerate(sources):
        sums = np.zeros(size // 2 + 1)
        chunks = (
            _windows(source, blocks, window) if windowed else (source[np.newaxis, first:end] for first, end in blocks)
        )
        for chunk in chunks:
            sums += _power(chunk.astype(np.float64), size).sum(axis=0)
        total[component] = sums
    products = fft.irfft(total, size, axis=1)[:, : lags + 1]
    if not windowed:
        products[:, max(kept) :] = 0
    _refuse(~(products[:, 0] > 0), "no activity, or values that are not finite")
    ratio = products / products[:, :1]
    if windowed:
        ratio *= window / (window - np.arange(lags + 1))
    # 100 values a second; the first is lag 0.
    resampled = signal.resample_poly(ratio, 100, lags, axis=1)[:, 1 : _VALUES + 1]
    return _SCALE * resampled.astype(np.float32)


def pieces(blocks: Blocks, rate_hz: float, most_s: float | None) -> list[tuple[int, int]]:
    """Stretches of 12 s, spread evenly over all blocks, that together last ``most_s`` or little less.

    To be given to :func:`spectra` as its blocks.

    A block shorter than that is a stretch of its own. If all blocks together are no longer than ``most_s``, or it is
    None, they come back as they are.

    Raises
    ------
    UsageProblem
        If ``most_s`` is less than one stretch.
    """
    blocks = [(int(first), int(end)) for first, end in blocks]
    if most_s is None or sum(end - first for first, end in blocks) <= most_s * rate_hz:
        return blocks
    if most_s < PIECE_S:
        raise UsageProblem(f"ICLabel needs at least {PIECE_S:g} s of a longer recording, not {most_s:g} s.")
    length = round(PIECE_S * rate_hz)
    candidates = []
    for first, end in blocks:
        number = max(1, (end - first) // length)
        # What is left over stands between the stretches, not at the end.
        starts = np.linspace(first, max(first, end - length), number).astype(int)
        candidates += [(int(start), min(int(start) + length, end)) for start in starts]
    mean = sum(end - first for first, end in candidates) / len(candidates)
    for count in range(min(len(candidates), int(most_s * rate_hz / mean)), 0, -1):
        chosen = [candidates[int((place + 0.5) * len(candidates) / count)] for place in range(count)]
        if sum(end - first for first, end in chosen) <= most_s * rate_hz:
            break
    return chosen


def _checked(blocks: Blocks | None, samples: int) -> list[tuple[int, int]]:
    kept = [(0, samples)] if blocks is None else [(int(first), int(end)) for first, end in blocks if end > first]
    if not kept or samples == 0:
        raise UsageProblem("ICLabel: no samples to measure.")
    if min(first for first, _ in kept) < 0 or max(end for _, end in kept) > samples:
        raise UsageProblem(f"ICLabel: a block leaves the {samples} samples of the recording.")
    return kept


def _refuse(wrong: np.ndarray, found: str) -> None:
    if wrong.any():
        component = int(np.flatnonzero(wrong)[0])
        raise DataProblem(
            f"ICA component {component}", found, "a component that ICLabel can judge", "Look at the recording."
        )


def _windows(source: np.ndarray, blocks: Blocks, length: int) -> Iterator[np.ndarray]:
    """Windows of ``length`` inside each block, half overlapping, (window, sample), views of ``source``.

    First those that begin at multiples of the length, then those between them: both are plain reshapes. As many
    samples at once as a cache holds.
    """
    rows = max(1, _CHUNK // length)
    for first, end in blocks:
        whole = (end - first) // length
        for start, count in ((first, whole), (first + (length + 1) // 2, whole - 1)):
            if count > 0:
                view = source[start : start + count * length].reshape(count, length)
                yield from (view[row : row + rows] for row in range(0, count, rows))


def _power(windows: np.ndarray, size: int) -> np.ndarray:
    """Squared magnitudes (window, bin) of the transform of each window (window, sample), padded to ``size``."""
    transform = fft.rfft(windows, size, axis=1)
    return transform.real**2 + transform.imag**2


def _median(power: np.ndarray) -> np.ndarray:
    """Median of each row, which is put into another order; half the time of numpy's, NaN not looked for."""
    half = power.shape[1] // 2
    power.partition(half, axis=1)
    upper = power[:, half].astype(np.float64)
    return upper if power.shape[1] % 2 else (power[:, :half].max(axis=1) + upper) / 2


@lru_cache(maxsize=16)
def _interpolation(positions: bytes) -> np.ndarray:
    """The matrix (pixel, channel) from weights to a map, for positions (channel, 3) as float64 bytes.

    Biharmonic splines (Sandwell 1987) through the electrodes, laid out flat: direction as seen from above, distance as
    the angle from the vertex, 0.5 at the horizon. A montage that reaches lower is squeezed into the disc.
    """
    x, y, z = np.frombuffer(positions).reshape(-1, 3).T
    angle = np.arctan2(x, y)  # from the nose to the right
    distance = 0.5 - np.arctan2(z, np.hypot(x, y)) / np.pi
    distance = distance * _HEAD_RADIUS / np.clip(_RIM * distance.max(), _HEAD_RADIUS, 1)
    places, mean = _merged(distance * np.exp(1j * angle))  # real part to the nose, imaginary part to the right

    spline = np.linalg.lstsq(_green(np.abs(places[:, np.newaxis] - places)), mean, rcond=None)[0]
    reach = np.abs([places.real.min(), places.real.max(), places.imag.min(), places.imag.max()])
    low_x, high_x, low_y, high_y = np.maximum(reach, _HEAD_RADIUS) * [-1, 1, -1, 1]
    pixels = np.linspace(low_x, high_x, _PIXELS)[:, np.newaxis] + 1j * np.linspace(low_y, high_y, _PIXELS)
    matrix = _green(np.abs(pixels.ravel()[:, np.newaxis] - places)) @ spline
    matrix[np.abs(pixels.ravel()) > _HEAD_RADIUS] = 0
    matrix.flags.writeable = False
    return matrix


def _green(distance: np.ndarray) -> np.ndarray:
    """Green's function of the biharmonic operator in the plane; zero at zero."""
    return distance**2 * (np.log(np.where(distance > 0, distance, 1)) - 1)


def _merged(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Electrodes at one place become one, with the mean of their values: places, and the matrix (place, channel).

    One place means closer than the cube root of the coordinates' rounding, MATLAB's rule for griddata.
    """
    nose, right = (
        np.abs(axis[:, np.newaxis] - axis) < np.spacing(0.5 * np.ptp(axis)) ** (1 / 3)
        for axis in (places.real, places.imag)
    )
    groups: list[list[int]] = []
    left = dict.fromkeys(int(channel) for channel in np.argsort(places.imag, kind="stable"))
    while left:
        channel = next(iter(left))
        group = [other for other in left if nose[channel, other] and right[channel, other]]
        groups.append(group)
        for other in group:
            del left[other]
    mean = np.zeros((len(groups), len(places)))
    for number, group in enumerate(groups):
        mean[number, group] = 1 / len(group)
    return mean @ places, mean

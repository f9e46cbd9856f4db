"""Bad EEG channels and glitches, with the reason in words.

Everything is measured on the signal above 1 Hz, in the recording's own reference (an average would spread a broken
channel over all others), in windows of one second, and summed up by medians: a burst does not condemn a channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eegpipe.clean.settings import BadChannelSettings

_MAD_TO_DEVIATION = 1.4826
# The spread of log amplitudes over channels is taken as at least this (factor 1.35), or a set of equal channels would
# condemn the loudest.
_LEAST_SPREAD = 0.3
# Medians over more windows than this change nothing.
_MOST_WINDOWS = 600


@dataclass(frozen=True)
class BadChannel:
    """``reason`` in words with the figure that decided: ``"flat: 0.0 uV"``."""

    name: str
    reason: str


def windows(blocks: Sequence[tuple[int, int]], length: int) -> np.ndarray:
    """(window, sample) sample numbers of the consecutive windows of ``length`` samples that lie inside one block.

    What is left over at the end of a block is in no window.
    """
    starts = [start for first, end in blocks for start in range(first, end - length + 1, length)]
    return np.array(starts, dtype=np.intp).reshape(-1, 1) + np.arange(length)


def pieces(data_uv: np.ndarray, index: np.ndarray) -> np.ndarray:
    """(channel, window, sample) of ``index`` (window, sample), at most some hundred windows, spread evenly."""
    if len(index) > _MOST_WINDOWS:
        index = index[np.linspace(0, len(index) - 1, _MOST_WINDOWS).round().astype(np.intp)]
    return np.stack([row[index] for row in data_uv])


def find(
    pieces_uv: np.ndarray,
    names: Sequence[str],
    positions_m: np.ndarray,
    marked: Sequence[str],
    settings: BadChannelSettings,
) -> list[BadChannel]:
    """Flat, noisy, outlying, bridged and uncorrelated channels and those marked before, in channel order.

    Parameters
    ----------
    pieces_uv : array, shape (channel, window, sample)
        EEG above 1 Hz, microvolt, not re-referenced, from :func:`pieces`. Without any window only marked channels are
        found.
    positions_m : array, shape (channel, 3)
        Electrode positions, which say who is a neighbour.
    marked
        Channels that the data set itself calls bad.
    """
    found = {channel: "marked bad in the data set" for channel, name in enumerate(names) if name in marked}
    if not pieces_uv.shape[1]:
        return [BadChannel(names[channel], reason) for channel, reason in found.items()]

    def alive() -> list[int]:
        return [channel for channel in range(len(names)) if channel not in found]

    def listed() -> list[BadChannel]:
        return [BadChannel(names[channel], found[channel]) for channel in sorted(found)]

    amplitude_uv = _amplitude(pieces_uv)
    typical_uv = np.median(amplitude_uv[alive()]) if alive() else 0.0
    flat = (amplitude_uv < settings.flat_uv) | (amplitude_uv < settings.flat_ratio * typical_uv)
    for channel in alive():
        if flat[channel]:
            found[channel] = f"flat: {amplitude_uv[channel]:.2f} uV"
    if not alive():
        return listed()

    ratio, deviations = _relative(amplitude_uv, alive(), settings)
    for channel in alive():
        if deviations[channel] > settings.noisy_deviations and names[channel] not in settings.protected:
            found[channel] = f"noisy: {ratio[channel]:.1f} times the typical amplitude"

    # Against the median of the others an electrode beside the reference is as large as any.
    rest = alive()
    ratio, deviations = _relative(_amplitude(pieces_uv - np.median(pieces_uv[rest], axis=0)), rest, settings)
    for channel in rest:
        if deviations[channel] < -settings.noisy_deviations:
            found[channel] = f"outlying: {ratio[channel]:.2f} times the typical amplitude"

    rest = alive()
    if len(rest) > settings.neighbours:
        near = _nearest(positions_m[rest], settings.neighbours)
        best, distance = _best_correlation(pieces_uv[rest], near)
        for channel, correlation in zip(rest, best, strict=True):
            if correlation < settings.correlation:
                found[channel] = f"uncorrelated: {correlation:.2f} with its best neighbour"
        # Gel between two electrodes: their difference is far smaller than any other neighbours' difference.
        distance /= np.median(np.take_along_axis(distance, near, axis=1).min(axis=1))
        np.fill_diagonal(distance, np.inf)
        for channel, other in zip(*np.nonzero(distance < settings.bridged), strict=True):
            pair = (rest[channel], names[rest[other]])
            found.setdefault(pair[0], f"bridged: with {pair[1]} ({distance[channel, other]:.3f} of a usual difference)")
    return listed()


def calm_windows(data_uv: np.ndarray, index: np.ndarray, ratio: float) -> np.ndarray:
    """Which windows hold no glitch: bool (window,). A glitch peaks above ``ratio`` times the median window's peak."""
    if not len(index):
        return np.zeros(0, dtype=bool)
    peaks_uv = np.zeros(len(index))
    for row in data_uv:
        np.maximum(peaks_uv, np.abs(row)[index].max(axis=1), out=peaks_uv)
    return peaks_uv <= ratio * np.median(peaks_uv)


def _amplitude(pieces_uv: np.ndarray) -> np.ndarray:
    """(channel,) robust amplitude, microvolt: median over windows."""
    amplitude_uv = np.empty(len(pieces_uv))
    for channel, piece in enumerate(pieces_uv):
        centre = np.median(piece, axis=1, keepdims=True)
        amplitude_uv[channel] = _MAD_TO_DEVIATION * np.median(np.median(np.abs(piece - centre), axis=1))
    return amplitude_uv


def _relative(
    amplitude_uv: np.ndarray, alive: list[int], settings: BadChannelSettings
) -> tuple[np.ndarray, np.ndarray]:
    """(channel,) each: amplitude against the typical channel's, and its logarithm in robust standard deviations."""
    level = np.log(np.maximum(amplitude_uv, settings.flat_uv or 1e-12))
    level -= np.median(level[alive])
    return np.exp(level), level / max(_MAD_TO_DEVIATION * float(np.median(np.abs(level[alive]))), _LEAST_SPREAD)


def _nearest(positions_m: np.ndarray, neighbours: int) -> np.ndarray:
    """(channel, neighbour) the nearest channels of each."""
    distance = np.linalg.norm(positions_m[:, None] - positions_m[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, axis=1, kind="stable")[:, :neighbours]


def _best_correlation(pieces_uv: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians over windows of the largest absolute correlation with any of the nearest channels (channel,), and of the
    variance of the difference of any two channels (channel, channel), microvolt squared."""
    windows = pieces_uv.shape[1]
    largest = np.empty((windows, len(pieces_uv)))
    distance = np.empty((windows, len(pieces_uv), len(pieces_uv)), dtype=np.float32)
    for window in range(windows):
        piece = pieces_uv[:, window].astype(np.float64)
        piece -= piece.mean(axis=1, keepdims=True)
        covariance = piece @ piece.T / piece.shape[1]
        power = np.diag(covariance)
        distance[window] = power[:, None] + power[None] - 2 * covariance
        length = np.sqrt(power)
        product = np.outer(length, length)
        correlation = np.divide(covariance, product, out=np.zeros_like(covariance), where=product > 0)
        largest[window] = np.abs(np.take_along_axis(correlation, near, axis=1)).max(axis=1)
    return np.median(largest, axis=0), np.median(distance, axis=0).astype(np.float64)

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


def find(
    data_uv: np.ndarray,
    names: Sequence[str],
    positions_m: np.ndarray,
    index: np.ndarray,
    marked: Sequence[str],
    settings: BadChannelSettings,
) -> list[BadChannel]:
    """Flat, noisy and uncorrelated channels and those marked before, in channel order.

    Parameters
    ----------
    data_uv : array, shape (channel, sample)
        EEG above 1 Hz, microvolt, not re-referenced.
    positions_m : array, shape (channel, 3)
        Electrode positions, which say who is a neighbour.
    index : array, shape (window, sample)
        From :func:`windows`. Without any window only marked channels are found.
    marked
        Channels that the data set itself calls bad.
    """
    found = {channel: "marked bad in the data set" for channel, name in enumerate(names) if name in marked}
    if not len(index):
        return [BadChannel(names[channel], reason) for channel, reason in found.items()]

    def alive() -> list[int]:
        return [channel for channel in range(len(names)) if channel not in found]

    amplitude_uv = np.median(_amplitude(data_uv, index), axis=1)
    typical_uv = np.median(amplitude_uv[alive()]) if alive() else 0.0
    flat = (amplitude_uv < settings.flat_uv) | (amplitude_uv < settings.flat_ratio * typical_uv)
    for channel in alive():
        if flat[channel]:
            found[channel] = f"flat: {amplitude_uv[channel]:.2f} uV"

    level = np.log(np.maximum(amplitude_uv, settings.flat_uv or 1e-12))
    if not alive():
        return [BadChannel(names[channel], found[channel]) for channel in sorted(found)]
    centre = np.median(level[alive()])
    spread = max(_MAD_TO_DEVIATION * float(np.median(np.abs(level[alive()] - centre))), _LEAST_SPREAD)
    for channel in alive():
        if level[channel] - centre > settings.noisy_deviations * spread and names[channel] not in settings.protected:
            found[channel] = f"noisy: {np.exp(level[channel] - centre):.1f} times the typical amplitude"

    rest = alive()
    if len(rest) > settings.neighbours:
        best = _best_correlation(data_uv[rest], positions_m[rest], index, settings.neighbours)
        for channel, correlation in zip(rest, best, strict=True):
            if correlation < settings.correlation:
                found[channel] = f"uncorrelated: {correlation:.2f} with its best neighbour"
    return [BadChannel(names[channel], found[channel]) for channel in sorted(found)]


def calm_windows(data_uv: np.ndarray, index: np.ndarray, ratio: float) -> np.ndarray:
    """Which windows hold no glitch: bool (window,). A glitch peaks above ``ratio`` times the median window's peak."""
    peaks_uv = np.array([np.abs(data_uv[:, window]).max() for window in index])
    return peaks_uv <= ratio * np.median(peaks_uv) if len(peaks_uv) else np.zeros(0, dtype=bool)


def _amplitude(data_uv: np.ndarray, index: np.ndarray) -> np.ndarray:
    """(channel, window) robust amplitude, microvolt."""
    amplitude = np.empty((len(data_uv), len(index)))
    for channel, signal in enumerate(data_uv):
        pieces = signal[index]
        centre = np.median(pieces, axis=1, keepdims=True)
        amplitude[channel] = _MAD_TO_DEVIATION * np.median(np.abs(pieces - centre), axis=1)
    return amplitude


def _best_correlation(data_uv: np.ndarray, positions_m: np.ndarray, index: np.ndarray, neighbours: int) -> np.ndarray:
    """(channel,) median over windows of the largest absolute correlation with any of the nearest channels."""
    distance = np.linalg.norm(positions_m[:, None] - positions_m[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    near = np.argsort(distance, axis=1, kind="stable")[:, :neighbours]
    largest = np.empty((len(data_uv), len(index)))
    for number, window in enumerate(index):
        piece = data_uv[:, window]
        piece = piece - piece.mean(axis=1, keepdims=True)
        length = np.linalg.norm(piece, axis=1, keepdims=True)
        piece = np.divide(piece, length, out=np.zeros_like(piece), where=length > 0)
        largest[:, number] = np.abs(np.take_along_axis(piece @ piece.T, near, axis=1)).max(axis=1)
    return np.median(largest, axis=1)

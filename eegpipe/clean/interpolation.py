"""What stands in for bad channels: a fixed mixture of the good ones, as one matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eegpipe.clean.settings import InterpolationSettings

# Centre of the sphere nearest to the 10-05 scalp positions of the channel schema, metres, head frame. Constant, so that
# interpolation does not depend on which channels a recording has.
_HEAD_CENTRE_M = (-0.0008, 0.0146, 0.0417)


def weights(
    names: Sequence[str], positions_m: np.ndarray, good: Sequence[int], settings: InterpolationSettings
) -> np.ndarray:
    """The matrix (channel, good channel) from the good channels to all.

    A good channel is itself. Splines (Perrin 1989) are those of MNE.

    Parameters
    ----------
    positions_m : array, shape (channel, 3)
        Head frame.
    good
        Which of ``names`` are good, ascending.
    """
    matrix = np.zeros((len(names), len(good)))
    matrix[good, np.arange(len(good))] = 1
    bad = [number for number in range(len(names)) if number not in set(good)]
    if bad and settings.method == "spline":
        return _splines(names, positions_m, matrix, bad)
    for number in bad:
        distance_m = np.linalg.norm(positions_m[good] - positions_m[number], axis=1)
        near = np.argsort(distance_m, kind="stable")[: settings.neighbours]
        shares = 1 / np.maximum(distance_m[near], 1e-6)
        matrix[number, near] = shares / shares.sum()
    return matrix


def _splines(names: Sequence[str], positions_m: np.ndarray, matrix: np.ndarray, bad: list[int]) -> np.ndarray:
    """MNE's interpolation is linear: what it makes of unit signals is its matrix."""
    import mne

    info = mne.create_info(list(names), 1.0, "eeg")
    units = mne.io.RawArray(matrix.copy(), info, verbose="error")
    montage = mne.channels.make_dig_montage(dict(zip(names, positions_m, strict=True)), coord_frame="head")
    units.set_montage(montage, verbose="error")
    units.info["bads"] = [names[number] for number in bad]
    units.interpolate_bads(reset_bads=True, origin=_HEAD_CENTRE_M, verbose="error")
    return np.asarray(units.get_data())

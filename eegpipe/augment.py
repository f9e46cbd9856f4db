"""Augmentations of EEG windows (EMOD's public code): whole batches at once, and never in place.

Shapes: B windows, C channels, T samples.
"""

from __future__ import annotations

import numpy as np

NOTHING, NOISE, SHUFFLE, ZEROS = range(4)
# The code draws one of six actions, three of which do nothing.
ONE_OF_SIX = (NOTHING, NOTHING, NOTHING, NOISE, SHUFFLE, ZEROS)
# For two views of one window: doing nothing gives equal views, and shuffling channels with their ids is nothing too.
FOR_VIEWS = (NOISE, ZEROS)

NOISE_SHARE = 0.1  # of the window's standard deviation and mean
SHUFFLED_SHARE = 0.5  # of the channels
ZEROED_SHARE = 0.2  # of the time


def augment(
    x_BCT: np.ndarray, ids_BC: np.ndarray, actions: tuple[int, ...], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Each window after one action, drawn uniformly from ``actions``; inputs are left as they are.

    ``NOISE``: Gaussian noise with 0.1 of the window's mean and standard deviation (over channels and time).
    ``SHUFFLE``: half of the channels change places, together with their ids. ``ZEROS``: a stretch of 20 % of the time
    is 0 in all channels.

    Returns
    -------
    (B, C, T) of the same type and (B, C) ids
    """
    windows, channels, samples = x_BCT.shape
    action_B = np.asarray(actions)[rng.integers(len(actions), size=windows)]
    x_BCT = x_BCT.copy()
    noisy = np.flatnonzero(action_B == NOISE)
    if len(noisy):
        clean = x_BCT[noisy]
        centre, spread = (NOISE_SHARE * part(axis=(1, 2), keepdims=True) for part in (clean.mean, clean.std))
        x_BCT[noisy] = clean + centre + spread * rng.standard_normal(clean.shape, dtype=np.float32)
    # The first half of a random order changes places; the others keep theirs.
    moved = int(channels * SHUFFLED_SHARE)
    chosen = rng.permuted(np.tile(np.arange(channels), (windows, 1)), axis=1)[:, :moved]
    source_BC = np.tile(np.arange(channels), (windows, 1))
    np.put_along_axis(source_BC, np.sort(chosen, axis=1), chosen, axis=1)
    source_BC = np.where((action_B == SHUFFLE)[:, None], source_BC, np.arange(channels))
    x_BCT = np.take_along_axis(x_BCT, source_BC[:, :, None], axis=1)
    ids_BC = np.take_along_axis(ids_BC, source_BC, axis=1)
    length = round(samples * ZEROED_SHARE)
    start = rng.integers(samples - length + 1, size=(windows, 1))
    time = np.arange(samples)
    hidden_BT = (action_B == ZEROS)[:, None] & (time >= start) & (time < start + length)
    return np.where(hidden_BT[:, None], np.float32(0), x_BCT), ids_BC

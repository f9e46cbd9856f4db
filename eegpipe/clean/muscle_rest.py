"""What the removal of components leaves of muscles: told from brain signal by when they contract, and regressed out.

A removed source is the muscle and a little of the brain. A regression of the rest on it would find that brain signal
too. What a muscle adds to the products of rest and source comes and goes with its contractions, and what the brain adds
stays: the difference between contracted and resting seconds holds the muscle alone (the contraction is an instrumental
variable). docs/cleaning.md has figures.
"""

from __future__ import annotations

import numpy as np

# Power of a source in contracted seconds over that in the others. Noise of constant power is below 1.3.
_LEAST_CONTRAST = 2.0


def regress_out(data_uv: np.ndarray, sources: np.ndarray, windows: np.ndarray, least_windows: int) -> None:
    """Take what is in ``data_uv`` (channel, sample) of ``sources`` (source, sample) out of it, in place.

    Parameters
    ----------
    windows : array of int, shape (window, sample)
        Positions of neighbouring samples, about a second each, without boundary or glitch.
    least_windows
        A source counts if it has so many contracted windows, which are those with more than its mean power, and so
        many others, and at least twice the power in the first.
    """
    changes = [_changes(source, windows) for source in sources]
    chosen, instruments = [], []
    for number, change in enumerate(changes):
        power = np.einsum("ws,ws->w", change, change)
        contracted = power > power.mean()
        fewest = min(np.count_nonzero(contracted), np.count_nonzero(~contracted))
        if fewest < max(least_windows, 1) or power[contracted].mean() < _LEAST_CONTRAST * power[~contracted].mean():
            continue
        chosen.append(number)
        instruments.append(((contracted - contracted.mean())[:, None] * change).ravel())
    if not chosen:
        return
    instrument = np.stack(instruments)
    inverse = np.linalg.pinv(np.stack([instrument @ changes[number].ravel() for number in chosen], axis=1))
    used = sources[chosen]
    for row in data_uv:
        weights = inverse @ (instrument @ _changes(row, windows).ravel())
        row -= (weights @ used).astype(data_uv.dtype)


def _changes(row: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """(window, sample - 1) from sample to sample: fast signal counts more, where muscles exceed the brain."""
    return np.diff(row[windows].astype(np.float64), axis=1)

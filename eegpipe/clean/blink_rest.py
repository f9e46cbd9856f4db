"""What the removal of components leaves of blinks: measured where the blinks are, and regressed out.

An ICA makes its sources independent over the whole recording. Where the estimate of a blink's topography is a little
wrong, it balances a rest of the blink in other sources with a little brain signal in this one. Within the blinks the
source is almost the blink alone, so that regression there finds the rest; docs/cleaning.md has figures.
"""

from __future__ import annotations

import numpy as np

_AROUND_S = 0.4


def regress_out(data_uv: np.ndarray, sources: np.ndarray, blinks: np.ndarray, rate_hz: float) -> None:
    """Take what is in ``data_uv`` (channel, sample) of ``sources`` (source, sample) out of it, in place.

    The weights come from 0.4 s before to 0.4 s after each blink, both sides without the window's mean; they are
    applied everywhere, as those of an unmixing are. ``blinks`` : samples of their peaks.
    """
    around = round(_AROUND_S * rate_hz)
    inside = blinks[(blinks >= around) & (blinks < data_uv.shape[1] - around)]
    if not len(inside) or not len(sources):
        return
    window = inside[:, None] + np.arange(-around, around + 1)

    def seen(row: np.ndarray) -> np.ndarray:
        cut = row[window].astype(np.float64)
        return (cut - cut.mean(axis=1, keepdims=True)).ravel()

    within = np.stack([seen(source) for source in sources])
    inverse = np.linalg.pinv(within @ within.T)
    for row in data_uv:
        weights = inverse @ (within @ seen(row))
        row -= (weights @ sources).astype(data_uv.dtype)

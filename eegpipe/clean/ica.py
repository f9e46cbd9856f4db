"""ICA by the likelihood of extended Infomax, maximised with Picard, on as many dimensions as the data have.

Picard (Ablin, Cardoso & Gramfort 2018, ``ortho=False, extended=True``) climbs the same likelihood as extended Infomax
with second-order steps; docs/cleaning.md has both measured. ICA knows no order of samples, so windows with glitches
may be cut out and samples skipped without any filter.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from eegpipe.clean.settings import IcaSettings

if TYPE_CHECKING:
    import mne
    from mne.preprocessing import ICA

METHOD = "picard"
FIT_PARAMS = {"ortho": False, "extended": True}


def rank(data_uv: np.ndarray, ratio: float) -> int:
    """How many dimensions the channels really span.

    Parameters
    ----------
    data_uv : array, shape (channel, sample)
        Referenced to the average: that alone costs one dimension.
    ratio
        An eigenvalue of the covariance counts if it exceeds this share of the eigenvalues' median. The median, not the
        largest: one strong blink would hide small sources. What quantisation leaves of a removed dimension is
        smaller by orders of magnitude.
    """
    eigenvalues = np.linalg.eigvalsh(np.cov(data_uv))
    rounding = eigenvalues[-1] * len(eigenvalues) * np.finfo(np.float64).eps
    real = eigenvalues[eigenvalues > rounding]
    return int(np.sum(real > ratio * np.median(real))) if len(real) else 0


def step(samples: int, components: int, rate_hz: float, settings: IcaSettings) -> int:
    """The largest k for which every k-th sample is still enough, by number for the weights and by rate; at least 1."""
    by_number = samples / (settings.samples_per_weight * components**2)
    return max(1, int(min(by_number, rate_hz / settings.least_rate_hz)))


def fit(raw: mne.io.BaseRaw, keep: np.ndarray, components: int, settings: IcaSettings) -> tuple[ICA, int, bool]:
    """Decompose.

    Parameters
    ----------
    raw
        Good EEG channels only, above 1 Hz, average reference applied.
    keep : array of int, shape (sample,)
        The samples to learn from.
    components
        From :func:`rank`.

    Returns
    -------
    ica : mne.preprocessing.ICA
        Fitted. Applies to any recording of the same channels in the same reference.
    samples : int
        How many samples it has seen.
    converged : bool
        Whether the tolerance was reached.
    """
    import mne
    from mne.preprocessing import ICA

    chosen = keep[:: step(len(keep), components, raw.info["sfreq"], settings)]
    part = mne.io.RawArray(raw.get_data()[:, chosen], raw.info.copy(), verbose="error")
    ica = ICA(
        n_components=components,
        method=METHOD,
        fit_params=FIT_PARAMS | {"tol": settings.tolerance},
        max_iter=settings.most_iterations,
        random_state=settings.random_state,
        verbose="error",
    )
    with warnings.catch_warnings():  # a missing convergence is in the result
        warnings.simplefilter("ignore")
        ica.fit(part, verbose="error")
    return ica, len(chosen), ica.n_iter_ < settings.most_iterations

"""Random numbers: one independent stream for every named thing, and noise with a wanted spectrum.

A stream depends on the seed and on its own name only, never on what was drawn before it. That is why a person's signal
does not change when more people are simulated.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *name: object) -> np.random.Generator:
    """The stream of random numbers called ``name`` (any values that print the same every time)."""
    digest = hashlib.sha256("/".join(map(str, name)).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:16], "little")])


def frequencies(samples: int, rate_hz: float) -> np.ndarray:
    """Frequencies in Hz of the spectrum of ``samples`` real samples, shape (samples // 2 + 1,)."""
    return np.fft.rfftfreq(samples, 1 / rate_hz)


def coloured_noise(random: np.random.Generator, rows: int, samples: int, rate_hz: float, psd: np.ndarray) -> np.ndarray:
    """Gaussian noise with a one-sided power spectral density.

    Parameters
    ----------
    psd : (frequency,) or (rows, frequency), unit²/Hz at :func:`frequencies`.

    Returns
    -------
    (rows, samples) float32, in the unit of the density.
    """
    from scipy import fft  # the readers of a data set are imported with its simulator, and must stay light

    n_frequencies = samples // 2 + 1
    spectrum = random.standard_normal((rows, n_frequencies, 2), dtype=np.float32).view(np.complex64)[..., 0]
    spectrum *= np.sqrt(psd * (rate_hz * samples / 4)).astype(np.float32)
    return fft.irfft(spectrum, samples, axis=-1, overwrite_x=True)

"""What an imperfect unmixing leaves of blinks is found within the blinks and taken out."""

import numpy as np
import pytest

from eegpipe.clean import blink_rest, ica
from eegpipe.clean.ica import Decomposition

RATE_HZ = 100.0


@pytest.fixture
def recording():
    """(brain (4, sample), blink course, topography, peaks): Gaussian blinks of 150 uV in noise of 3 uV."""
    rng = np.random.default_rng(0)
    samples = 60_000
    brain = 3 * rng.normal(size=(4, samples))
    peaks = np.arange(300, samples - 300, 400) + rng.integers(-100, 100, size=len(range(300, samples - 300, 400)))
    course = np.zeros(samples)
    for peak in peaks:
        course[peak - 30 : peak + 31] += 150 * np.exp(-0.5 * (np.arange(-30, 31) / 8) ** 2)
    return brain, course, np.array([1.0, 0.6, 0.2, 0.0]), peaks


def decomposition(unmixing, topography):
    values = dict.fromkeys(Decomposition.__dataclass_fields__)
    return Decomposition(**values | {"unmixing": unmixing[None], "topographies_uv": topography[:, None]})


def left(cleaned, brain, course):
    """Share of the blink's amplitude that is left, over channels."""
    weights = (cleaned - brain) @ course / (course @ course)
    return float(np.sqrt((weights**2).sum()))


def test_a_rest_is_taken_out_and_little_else(recording):
    brain, course, topography, peaks = recording
    data = (brain + topography[:, None] * course).astype(np.float32)
    unmixing = np.array([1.0, 0.05, 0.0, -0.03])  # a little brain signal beside the blink
    found = decomposition(unmixing, topography / (unmixing @ topography) * 0.97)  # ... and 3 % of it stay behind
    sources = ica.courses(found, [0], data)
    np.testing.assert_allclose(sources[0], unmixing @ data, rtol=1e-5, atol=1e-3)
    cleaned = data - (found.topographies_uv @ sources).astype(np.float32)
    before = left(cleaned, brain, course)
    variance = cleaned.var(axis=1)
    blink_rest.regress_out(cleaned, sources, peaks, RATE_HZ)
    assert before > 0.02
    assert left(cleaned, brain, course) < 0.25 * before
    # Channels without the blink's source keep their signal.
    np.testing.assert_allclose(cleaned[1:].var(axis=1), variance[1:], rtol=0.02)


def test_nothing_happens_without_blinks_or_sources(recording):
    brain, course, topography, peaks = recording
    data = (brain + topography[:, None] * course).astype(np.float32)
    same = data.copy()
    blink_rest.regress_out(same, course[None], np.empty(0, dtype=np.intp), RATE_HZ)
    blink_rest.regress_out(same, np.empty((0, data.shape[1])), peaks, RATE_HZ)
    np.testing.assert_array_equal(same, data)

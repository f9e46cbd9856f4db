"""What an imperfect unmixing leaves of muscles is told from brain signal by the contractions, and taken out."""

import numpy as np
import pytest

from eegpipe.clean import muscle_rest

RATE_HZ = 100
SECONDS = 400


@pytest.fixture
def recording():
    """(brain (3, sample), muscle course, windows (second, sample)): contracted in every third second."""
    rng = np.random.default_rng(0)
    brain = np.cumsum(rng.normal(size=(3, SECONDS * RATE_HZ)), axis=1)
    brain -= np.apply_along_axis(lambda row: np.convolve(row, np.ones(50) / 50, mode="same"), 1, brain)
    brain *= 5 / brain.std(axis=1, keepdims=True)
    contracted = np.repeat(np.arange(SECONDS) % 3 == 0, RATE_HZ)
    course = 20 * rng.normal(size=SECONDS * RATE_HZ) * np.where(contracted, 1.0, 0.1)
    return brain, course, np.arange(SECONDS * RATE_HZ).reshape(SECONDS, RATE_HZ)


def test_a_rest_is_taken_out_and_the_brain_stays(recording):
    brain, course, windows = recording
    rest = np.array([0.03, -0.02, 0.0])
    # The source that was removed holds brain signal of the first channel, which a plain regression would take out.
    source = course + 0.3 * brain[0]
    data = (brain + rest[:, None] * course).astype(np.float32)
    plain = data - (np.diff(data) @ np.diff(source) / (np.diff(source) @ np.diff(source)))[:, None] * source
    muscle_rest.regress_out(data, source[None].astype(np.float32), windows, 100)

    def left(cleaned):
        return np.abs((cleaned - brain) @ course / (course @ course))

    assert left(data).max() < 0.2 * np.abs(rest).max()
    assert left(data).max() < 0.5 * left(plain).max()
    np.testing.assert_allclose(data.var(axis=1), brain.var(axis=1), rtol=0.03)


def test_two_muscles_at_different_times_are_told_apart(recording):
    brain, course, windows = recording
    rng = np.random.default_rng(1)
    other = 20 * rng.normal(size=course.size) * np.where(np.repeat(np.arange(SECONDS) % 4 == 1, RATE_HZ), 1.0, 0.1)
    data = (brain + 0.03 * course - 0.04 * other).astype(np.float32)
    sources = np.stack([course + 0.1 * other, other]).astype(np.float32)
    muscle_rest.regress_out(data, sources, windows, 50)
    both = np.stack([course, other])
    weights = np.linalg.solve(both @ both.T, both @ (data - brain).T)
    assert np.abs(weights).max() < 0.008


@pytest.mark.parametrize("why", ["too short", "no contraction", "no source"])
def test_nothing_happens_where_nothing_can_be_known(recording, why):
    brain, course, windows = recording
    data = (brain + 0.03 * course).astype(np.float32)
    same = data.copy()
    steady = np.random.default_rng(2).normal(size=(1, course.size))
    sources = {"too short": course[None], "no contraction": steady, "no source": np.empty((0, course.size))}[why]
    muscle_rest.regress_out(same, sources, windows, 200 if why == "too short" else 50)
    np.testing.assert_array_equal(same, data)

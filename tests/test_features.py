import numpy as np
import pytest

from eegpipe.features import lds_smooth, online_normalise, priors, streams, trials

from planted_segments import planted


@pytest.fixture(scope="module")
def stream():
    return np.random.default_rng(0).normal(loc=50, scale=3, size=(30, 4))


def test_online_normalisation_follows_its_formula(stream):
    mean, variance = np.array([49.0, 50, 51, 52]), np.array([8.0, 9, 10, 0.5])
    expected = []
    for i in range(len(stream)):
        w = 0.99**i
        m = w * mean + (1 - w) * stream[: i + 1].mean(axis=0)
        v = w * variance + (1 - w) * stream[: i + 1].var(axis=0)
        expected.append((stream[i] - m) / np.sqrt(v + 1e-10))
    np.testing.assert_allclose(online_normalise(stream, mean, variance), expected, rtol=1e-9)


def test_online_normalisation_uses_no_later_segment(stream):
    mean, variance = stream.mean(axis=0), stream.var(axis=0)
    changed = stream.copy()
    changed[20:] += 1000
    before, after = (online_normalise(values, mean, variance)[:20] for values in (stream, changed))
    np.testing.assert_array_equal(before, after)


def test_online_normalisation_survives_features_that_never_change():
    constant = np.full((5, 2), 3.0)
    np.testing.assert_array_equal(online_normalise(constant, np.full(2, 3.0), np.zeros(2)), np.zeros((5, 2)))


def test_priors_are_the_mean_of_all_and_the_mean_variance_within_subjects():
    features = np.array([[0.0], [2.0], [10.0], [10.0], [16.0]])
    mean, variance = priors(features, np.array([1, 1, 4, 4, 4]))
    assert mean == pytest.approx(38 / 5)
    assert variance == pytest.approx((1 + 8) / 2)  # variances 1 and (4 + 4 + 16) / 3


def test_smoothing_is_the_posterior_mean_of_a_random_walk(stream):
    # The walk starts at the trial's mean with variance 0.01 and moves with variance 1e-4; noise has variance 1. Then
    # states and observations are jointly Gaussian, and the smoother must give the conditional mean.
    n = len(stream)
    steps = np.arange(n)
    covariance = 0.01 + 1e-4 * np.minimum(steps[:, None], steps[None])
    mean = stream.mean(axis=0)
    expected = mean + covariance @ np.linalg.solve(covariance + np.eye(n), stream - mean)
    np.testing.assert_allclose(lds_smooth(stream), expected, rtol=1e-9)


def test_smoothing_with_other_variances(stream):
    n = len(stream)
    steps = np.arange(n)
    covariance = 2.0 + 0.5 * np.minimum(steps[:, None], steps[None])
    mean = stream.mean(axis=0)
    expected = mean + covariance @ np.linalg.solve(covariance + 0.3 * np.eye(n), stream - mean)
    np.testing.assert_allclose(lds_smooth(stream, 2.0, 0.5, 0.3), expected, rtol=1e-9)


def test_smoothing_sees_later_segments_and_leaves_its_input_alone(stream):
    changed = stream.copy()
    changed[20:] += 1
    kept = changed.copy()
    assert (lds_smooth(changed)[:20] != lds_smooth(stream)[:20]).all()
    np.testing.assert_array_equal(changed, kept)
    np.testing.assert_allclose(lds_smooth(stream[:1]), stream[:1])


def test_streams_and_trials_are_in_order_of_trial_and_time():
    segments = planted(subjects=2, clips=3, per_trial=2, channels=1, seconds=0.1)
    shuffled = segments.select(np.random.default_rng(0).permutation(len(segments)))
    rows = np.flatnonzero(shuffled.stimulus != 1001)
    for groups, length in ((streams(shuffled, rows), 4), (trials(shuffled, rows), 2)):
        assert sorted(np.concatenate(groups)) == rows.tolist()
        for group in groups:
            assert len(group) == length
            assert len(set(shuffled.subject[group])) == 1
            assert (np.diff(shuffled.recording_time[group]) > 0).all()
    assert all(len(set(shuffled.trial[group])) == 1 for group in trials(shuffled, rows))


def test_two_recordings_of_one_session_do_not_interleave():
    segments = planted(subjects=1, clips=2, per_trial=3, channels=1, seconds=0.1)
    segments.recording_time = segments.stimulus_time  # both recordings start at zero
    (only,) = streams(segments, np.arange(6))
    assert segments.trial[only].tolist() == [1, 1, 1, 2, 2, 2]

import numpy as np
import pytest
import torch

from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.models.baseline_settings import LinearSettings, LstmSettings
from eegpipe.models.baselines import (
    BANDS,
    ClassShares,
    MlpSettings,
    class_prior,
    de_features,
    fit_mlp,
    nearest_neighbour,
)
from eegpipe.models.baselines_features import LinearHead, LstmHead, Part


def entropy(variance: float) -> float:
    return 0.5 * np.log(2 * np.pi * np.e * variance)


def sinusoid(frequency_hz: float, amplitude: float, rate_hz: float, seconds: float = 5.0) -> np.ndarray:
    time = np.arange(int(rate_hz * seconds)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * frequency_hz * time + 0.3))[None, None]


@pytest.mark.parametrize("rate_hz", [125.0, 128.0, 200.0, 1000.0])
@pytest.mark.parametrize(("band", "frequency_hz"), enumerate([2.6, 6.0, 11.0, 20.0, 40.0]))
def test_the_entropy_of_a_sinusoid_is_that_of_half_its_squared_amplitude(band, frequency_hz, rate_hz):
    features = de_features(sinusoid(frequency_hz, 6.0, rate_hz), rate_hz)[0]
    assert features[band] == pytest.approx(entropy(6.0**2 / 2), abs=0.01)
    assert all(features[other] < features[band] - 3 for other in range(5) if other != band)


def test_the_rate_decides_the_band():
    window = sinusoid(10.0, 6.0, 125.0)
    assert de_features(window, 125.0)[0].argmax() == 2  # 8-14 Hz
    assert de_features(window, 250.0)[0].argmax() == 3  # the same samples at twice the rate are 20 Hz


def test_the_entropy_of_white_noise_is_that_of_its_share_of_the_band():
    noise = np.random.default_rng(0).normal(scale=10, size=(400, 1, 625))
    variance = np.exp(2 * de_features(noise, 125.0).astype(float)) / (2 * np.pi * np.e)
    expected = [100 * (high - low) / 62.5 for low, high in BANDS]
    np.testing.assert_allclose(variance.mean(axis=0), expected, rtol=0.03)


def test_scale_shifts_entropy_by_its_logarithm_and_an_offset_does_nothing():
    noise = np.random.default_rng(0).normal(size=(3, 2, 500)).astype(np.float32)
    plain = de_features(noise, 100.0)
    np.testing.assert_allclose(de_features(noise * 8, 100.0), plain + np.log(8), atol=1e-4)
    np.testing.assert_allclose(de_features(noise + 300, 100.0), plain, atol=1e-3)


def test_features_are_channel_major_and_windows_independent():
    noise = np.random.default_rng(0).normal(size=(600, 3, 200)).astype(np.float32)
    features = de_features(noise, 100.0)
    assert features.shape == (600, 15)
    np.testing.assert_array_equal(features[550:551, 5:10], de_features(noise[550:551, 1:2], 100.0))


def test_a_flat_channel_stays_finite():
    assert np.isfinite(de_features(np.zeros((1, 2, 500)), 100.0)).all()


@pytest.mark.parametrize(("rate_hz", "samples"), [(80.0, 400), (100.0, 20)])
def test_a_band_that_the_window_cannot_hold_is_refused(rate_hz, samples):
    with pytest.raises(UsageProblem, match="no band"):
        de_features(np.ones((1, 1, samples)), rate_hz)


# -- the classifier ----------------------------------------------------------------------------------------------------


def blobs(n: int, seed: int = 0, d: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    return rng.normal(size=(n, d)) + 2 * np.eye(3, d)[truth], truth


def test_the_network_is_that_of_the_paper():
    fitted = fit_mlp(np.zeros((4, 512)), np.array([0, 1, 2, 0]), 3, MlpSettings(least_steps=1, epochs=1), seed=0)
    shapes = [tuple(weight.shape) for weight in fitted.network.parameters()]
    assert shapes == [(128, 512), (128,), (64, 128), (64,), (3, 64), (3,)]
    kinds = [type(layer).__name__ for layer in fitted.network]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert {layer.p for layer in fitted.network if isinstance(layer, torch.nn.Dropout)} == {0.1}


def test_it_learns_what_can_be_learned():
    fitted = fit_mlp(*blobs(200), 3, MlpSettings(), seed=0)
    features, truth = blobs(300, seed=1)
    probabilities = fitted.probabilities(features)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.8
    losses = [loss for loss, _ in fitted.curve]
    assert losses[-1] < 0.7 * losses[0]


def test_the_seed_alone_decides_and_nothing_else_is_disturbed():
    features, truth = blobs(60)
    settings = MlpSettings(least_steps=20)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = fit_mlp(features, truth, 3, settings, seed=1)
    assert torch.rand(1) == expected
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        second = fit_mlp(features, truth, 3, settings, seed=1)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(first.probabilities(features), second.probabilities(features))
    other = fit_mlp(features, truth, 3, settings, seed=2)
    assert not np.array_equal(first.probabilities(features), other.probabilities(features))


@pytest.mark.parametrize(("n", "epochs"), [(60, 20), (600, 7), (10_000, 2)])
def test_small_training_parts_get_more_epochs(n, epochs):
    settings = MlpSettings(least_steps=20, epochs=2, hidden=(4, 4))
    features, truth = blobs(n, d=3)
    assert len(fit_mlp(features, truth, 3, settings, seed=0).curve) == epochs


def test_a_watched_part_picks_the_epoch():
    features, truth = blobs(100)
    watched = blobs(50, seed=1)
    settings = MlpSettings(least_steps=40, learning_rate=0.02)
    fitted = fit_mlp(features, truth, 3, settings, seed=0, watch=watched)
    accuracies = [accuracy for _, accuracy in fitted.curve]
    assert fitted.epoch == 1 + accuracies.index(max(accuracies))
    assert fitted.epoch < len(accuracies)
    reached = (fitted.probabilities(watched[0]).argmax(axis=1) == watched[1]).mean()
    assert reached == pytest.approx(max(accuracies))
    unwatched = fit_mlp(features, truth, 3, settings, seed=0)
    assert unwatched.epoch == len(unwatched.curve)
    assert [loss for loss, _ in unwatched.curve] == [loss for loss, _ in fitted.curve]


def test_features_that_are_not_finite_are_refused():
    features, truth = blobs(10)
    features[3, 2] = np.nan
    with pytest.raises(DataProblem, match="not finite"):
        fit_mlp(features, truth, 3, MlpSettings(), seed=0)


def test_a_training_that_runs_away_is_refused():
    features, truth = blobs(60)
    with pytest.raises(DataProblem, match=r"epoch \d: found loss (nan|inf), expected a finite loss. Lower its"):
        fit_mlp(features, truth, 3, MlpSettings(least_steps=5, learning_rate=1e30), seed=0)
    part = Part(features, np.split(np.arange(60), 20))
    with pytest.raises(DataProblem, match="Lower its learning_rate"):
        LstmHead(LstmSettings(least_steps=5, learning_rate=1e30)).fit(part, truth, 3, None, 0)


# -- without training --------------------------------------------------------------------------------------------------


def test_the_nearest_neighbour_by_angle_decides():
    known = np.array([[1.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])
    truth = np.array([0, 1, 2])
    asked = np.array([[10.0, 1.0], [0.1, 0.2], [-3.0, 2.0]])
    scores = nearest_neighbour(known, truth, asked, 4)
    assert scores.argmax(axis=1).tolist() == [0, 1, 2]
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    assert (scores[:, 3] == 0).all()  # a class that no neighbour has
    # Cosines of (0.1, 0.2) with the three: 1/sqrt 5, 2/sqrt 5, -1/sqrt 5.
    assert scores[1, 1] / scores[1, 0] == pytest.approx(np.exp(10 / np.sqrt(5)))


def test_the_class_prior():
    assert class_prior(np.array([0, 2, 2, 2]), 4).tolist() == [0.25, 0, 0.75, 0]


def test_shares_and_majority_answer_from_training_labels_alone():
    truth = np.array([2, 1, 2, 1, 2, 0, 1])  # classes 1 and 2 are equally frequent: the first of them
    np.testing.assert_allclose(ClassShares(majority=False).probabilities(truth, 4, 2), [[1 / 7, 3 / 7, 3 / 7, 0]] * 2)
    np.testing.assert_array_equal(ClassShares(majority=True).probabilities(truth, 4, 2), [[0, 1, 0, 0]] * 2)


# -- logistic regression -----------------------------------------------------------------------------------------------


def alone(features: np.ndarray) -> Part:
    """Every segment a trial."""
    return Part(features, [np.array([index]) for index in range(len(features))])


@pytest.mark.parametrize("l2", [0.3, 30.0])
def test_the_regression_stands_where_the_penalised_loss_is_least(l2):
    features, truth = blobs(150)
    fitted = LinearHead(LinearSettings(l2=l2)).fit(alone(features), truth, 3, None, 0)
    weight = torch.tensor(fitted.model.coef_, requires_grad=True)
    intercept = torch.tensor(fitted.model.intercept_, requires_grad=True)
    logits = torch.from_numpy(features) @ weight.T + intercept
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(truth), reduction="sum")
    (loss + l2 / 2 * (weight**2).sum()).backward()
    assert max(float(weight.grad.abs().max()), float(intercept.grad.abs().max())) < 2e-4 * len(features)
    expected = torch.softmax(logits, dim=1).detach().numpy()
    np.testing.assert_allclose(fitted.probabilities(alone(features)), expected, atol=1e-12)
    assert (expected.argmax(axis=1) == truth).mean() > 0.8


def test_a_class_that_is_not_in_the_training_part_gets_no_probability():
    features, truth = blobs(60)
    kept = truth != 1
    fitted = LinearHead(LinearSettings()).fit(alone(features[kept]), truth[kept], 3, None, 0)
    probabilities = fitted.probabilities(alone(features))
    assert (probabilities[:, 1] == 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities[kept].argmax(axis=1) == truth[kept]).mean() > 0.8


def test_a_regression_that_has_not_converged_is_refused():
    with pytest.raises(UsageProblem, match="no convergence in 2 iterations"):
        LinearHead(LinearSettings(l2=1e-6, most_iterations=2)).fit(alone(blobs(60)[0]), blobs(60)[1], 3, None, 0)


# -- the LSTM ----------------------------------------------------------------------------------------------------------


def signs(trials: int, seed: int) -> tuple[Part, np.ndarray]:
    """Three segments a trial, two of which have a sign. The class is whether these are equal: none shows it alone.

    The segments of a trial are not neighbours in the array.
    """
    rng = np.random.default_rng(seed)
    sign = rng.choice([-1.0, 1.0], size=(trials, 3))
    sign[:, 1] = 0
    features = rng.normal(scale=0.3, size=(trials, 3, 4))
    features[..., 0] += sign
    truth = np.repeat((sign[:, 0] == sign[:, 2]).astype(int)[:, None], 3, axis=1)
    order = [np.array([number, trials + number, 2 * trials + number]) for number in range(trials)]
    return Part(features.transpose(1, 0, 2).reshape(-1, 4), order), truth.T.reshape(-1)


QUICK = LstmSettings(hidden=16, learning_rate=0.02, least_steps=300, dropout=0.0)


def test_the_lstm_learns_what_no_segment_shows_by_itself():
    train, truth = signs(80, seed=0)
    test, answers = signs(200, seed=1)
    fitted = LstmHead(QUICK).fit(train, truth, 2, None, 0)
    right = fitted.probabilities(test).argmax(axis=1) == answers
    last = slice(400, None)
    assert right[last].mean() > 0.9
    assert 0.35 < right[:200].mean() < 0.65  # nobody knows at the first segment
    single = fit_mlp(train.features, truth, 2, MlpSettings(least_steps=300), seed=0).probabilities(test.features)
    assert 0.35 < (single.argmax(axis=1) == answers)[last].mean() < 0.65
    np.testing.assert_allclose(fitted.probabilities(test).sum(axis=1), 1)


def test_later_segments_and_other_trials_change_no_answer():
    train, truth = signs(20, seed=0)
    fitted = LstmHead(LstmSettings(least_steps=20)).fit(train, truth, 2, None, 0)
    test, _ = signs(9, seed=1)
    before = fitted.probabilities(test)
    features = test.features.copy()
    features[18:] += 3  # the third segment of each trial
    features[:9][4] += 3  # the first of one
    after = fitted.probabilities(Part(features, test.trials))
    changed = (before != after).any(axis=1)
    assert changed[18:].all()
    assert np.flatnonzero(changed[:18]).tolist() == [4, 13]


def test_trials_of_different_lengths_do_not_disturb_each_other():
    train, truth = signs(20, seed=0)
    fitted = LstmHead(LstmSettings(least_steps=20)).fit(train, truth, 2, None, 0)
    features = np.random.default_rng(0).normal(size=(6, 4))
    together = fitted.probabilities(Part(features, [np.array([0, 1]), np.array([2, 3, 4, 5])]))
    apart = fitted.probabilities(Part(features[:2], [np.array([0, 1])]))
    np.testing.assert_allclose(together[:2], apart, atol=1e-6)


def test_every_segment_of_the_training_part_counts_once_and_padding_never():
    """The first loss of a network that has learned nothing yet: the mean over all segments, whatever the lengths."""
    features, truth = blobs(30, d=4)
    lengths = [1, 9, 20]
    trials = np.split(np.arange(30), np.cumsum(lengths)[:-1])
    still = LstmSettings(learning_rate=1e-12, weight_decay=0.0, dropout=0.0, least_steps=1, epochs=1, batch=2)
    fitted = LstmHead(still).fit(Part(features, trials), truth, 3, None, 0)
    probabilities = fitted.probabilities(Part(features, trials))
    assert fitted.curve[0][0] == pytest.approx(-np.log(probabilities[np.arange(30), truth]).mean(), abs=1e-5)


def test_seed_and_threads_of_the_lstm():
    train, truth = signs(20, seed=0)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    head = LstmHead(LstmSettings(least_steps=20))
    first = head.fit(train, truth, 2, None, 1).probabilities(train)
    assert torch.rand(1) == expected
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        np.testing.assert_array_equal(first, head.fit(train, truth, 2, None, 1).probabilities(train))
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert not np.array_equal(first, head.fit(train, truth, 2, None, 2).probabilities(train))


def test_a_watched_part_picks_the_epoch_of_the_lstm():
    watched = signs(30, seed=1)
    fitted = LstmHead(QUICK).fit(*signs(40, seed=0), 2, watched, 0)
    accuracies = [accuracy for _, accuracy in fitted.curve]
    assert fitted.epoch == 1 + accuracies.index(max(accuracies)) < len(accuracies)
    reached = (fitted.probabilities(watched[0]).argmax(axis=1) == watched[1]).mean()
    assert reached == pytest.approx(max(accuracies))


@pytest.mark.parametrize("head", [LinearHead(LinearSettings()), LstmHead(LstmSettings())])
def test_heads_refuse_features_that_are_not_finite(head):
    features, truth = blobs(10)
    features[3, 2] = np.nan
    with pytest.raises(DataProblem, match="not finite"):
        head.fit(alone(features), truth, 3, None, 0)

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as sk
from torchmetrics.functional import classification as of

from eegpipe import metrics

# Actual class 0: 2 right, 1 wrong; class 1: 3 right.
SMALL = np.array([[2, 1], [0, 3]])


def test_scores_of_a_small_table_by_hand():
    assert metrics.accuracy(SMALL) == pytest.approx(5 / 6)
    assert metrics.balanced_accuracy(SMALL) == pytest.approx((2 / 3 + 1) / 2)
    # By chance: (3 x 2 + 3 x 4) / 36 = 1/2.
    assert metrics.kappa(SMALL) == pytest.approx((5 / 6 - 1 / 2) / (1 - 1 / 2))
    # F1: 2 x 2 / (3 + 2) and 2 x 3 / (3 + 4).
    assert metrics.macro_f1(SMALL) == pytest.approx((4 / 5 + 6 / 7) / 2)
    assert metrics.weighted_f1(np.array([[2, 1], [0, 1]])) == pytest.approx((3 * 4 / 5 + 1 * 2 / 3) / 4)


def test_scores_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.choice(4, 200, p=[0.5, 0.2, 0.2, 0.1])
    answer = np.where(rng.random(200) < 0.5, truth, rng.integers(0, 4, 200))
    probabilities = rng.dirichlet(np.ones(4), 200)
    zero = np.zeros(200, dtype=int)
    confusion = metrics.confusions(truth, answer, zero, zero, (1, 1, 4))[0, 0]
    assert (confusion == sk.confusion_matrix(truth, answer)).all()
    assert metrics.accuracy(confusion) == pytest.approx(sk.accuracy_score(truth, answer))
    assert metrics.balanced_accuracy(confusion) == pytest.approx(sk.balanced_accuracy_score(truth, answer))
    assert metrics.kappa(confusion) == pytest.approx(sk.cohen_kappa_score(truth, answer))
    assert metrics.macro_f1(confusion) == pytest.approx(sk.f1_score(truth, answer, average="macro"))
    assert metrics.weighted_f1(confusion) == pytest.approx(sk.f1_score(truth, answer, average="weighted"))
    assert metrics.auroc(truth, probabilities) == pytest.approx(
        sk.roc_auc_score(truth, probabilities, multi_class="ovr")
    )


def drawn(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities of 300 segments: classes of unequal size, answers somewhat better than chance."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(classes, 300, p=rng.dirichlet(np.full(classes, 4.0)))
    return truth, 0.8 * rng.dirichlet(np.ones(classes), 300) + 0.2 * np.eye(classes)[truth]


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(5))
def test_every_value_of_a_summary_agrees_with_scikit_learn(seed, classes):
    truth, probabilities = drawn(seed, classes)
    answer = probabilities.argmax(axis=1)
    one = np.zeros(300, dtype=int)
    found = metrics.summarise(truth, probabilities, one, one, resamples=0, confidence=0.95, seed=0)
    known = {
        "accuracy": sk.accuracy_score(truth, answer),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, answer),
        "kappa": sk.cohen_kappa_score(truth, answer),
        "macro_f1": sk.f1_score(truth, answer, average="macro"),
        "weighted_f1": sk.f1_score(truth, answer, average="weighted"),
    }
    if classes == 2:
        known["auroc"] = sk.roc_auc_score(truth, probabilities[:, 1])
        known["auprc"] = sk.average_precision_score(truth, probabilities[:, 1])
    else:
        known["auroc"] = sk.roc_auc_score(truth, probabilities, multi_class="ovr", average="macro")
        known["auprc"] = sk.average_precision_score(np.eye(classes)[truth], probabilities, average="macro")
    assert {name: entry["value"] for name, entry in found.items()} == pytest.approx(known, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 5])
def test_every_value_of_a_summary_agrees_with_torchmetrics(classes):
    truth, probabilities = drawn(9, classes)
    one = np.zeros(300, dtype=int)
    found = metrics.summarise(truth, probabilities, one, one, resamples=0, confidence=0.95, seed=0)
    y, p = torch.from_numpy(truth), torch.from_numpy(probabilities)
    known = {
        "accuracy": of.multiclass_accuracy(p, y, classes, average="micro"),
        "balanced_accuracy": of.multiclass_accuracy(p, y, classes, average="macro"),
        "kappa": of.multiclass_cohen_kappa(p, y, classes),
        "macro_f1": of.multiclass_f1_score(p, y, classes, average="macro"),
        "weighted_f1": of.multiclass_f1_score(p, y, classes, average="weighted"),
    }
    if classes == 2:
        known |= {"auroc": of.binary_auroc(p[:, 1], y), "auprc": of.binary_average_precision(p[:, 1], y)}
    else:
        known["auroc"] = of.multiclass_auroc(p, y, classes, average="macro")
        known["auprc"] = of.multiclass_average_precision(p, y, classes, average="macro")
    assert {name: entry["value"] for name, entry in found.items()} == pytest.approx(
        {name: float(value) for name, value in known.items()}, abs=1e-5
    )


def test_a_class_that_never_occurs_does_not_count():
    absent = np.array([[2, 1, 0], [0, 3, 0], [0, 0, 0]])
    assert metrics.balanced_accuracy(absent) == pytest.approx(metrics.balanced_accuracy(SMALL))
    assert metrics.macro_f1(absent) == pytest.approx(metrics.macro_f1(SMALL))
    assert metrics.weighted_f1(absent) == pytest.approx(metrics.weighted_f1(SMALL))
    # It was answered once: its F1 is 0 and counts.
    answered = np.array([[2, 0, 1], [0, 3, 0], [0, 0, 0]])
    assert metrics.macro_f1(answered) == pytest.approx((4 / 5 + 1 + 0) / 3)


def test_nothing_to_score_is_nan():
    assert math.isnan(metrics.accuracy(np.zeros((2, 2))))
    assert math.isnan(metrics.balanced_accuracy(np.zeros((2, 2))))
    assert math.isnan(metrics.kappa(np.array([[5, 0], [0, 0]])))


def test_auroc_and_auprc_by_hand():
    # Positives at ranks 1 and 3 of 4: pairs won 2 + 1 of 4; precision at the positives 1/1 and 2/3.
    truth = np.array([1, 0, 1, 0])
    score = np.array([0.9, 0.8, 0.7, 0.1])
    probabilities = np.column_stack([1 - score, score])
    assert metrics.auroc(truth, probabilities) == pytest.approx(3 / 4)
    assert metrics.auprc(truth, probabilities) == pytest.approx((1 + 2 / 3) / 2)


def test_auroc_leaves_out_classes_without_a_curve():
    truth = np.array([0, 0, 2, 2])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.6, 0.1, 0.3], [0.1, 0.2, 0.7], [0.1, 0.7, 0.2]])
    # Class 0 is ranked perfectly, class 2 wins 3 of 4 pairs, class 1 does not occur.
    assert metrics.auroc(truth, probabilities) == pytest.approx((1 + 3 / 4) / 2)
    assert math.isnan(metrics.auroc(np.zeros(3, dtype=int), np.full((3, 2), 0.5)))


def predictions(right: list[tuple[int, int, int, int]]) -> dict[str, np.ndarray]:
    """(group, subject, right answers, wrong answers) as arrays of a two-class problem whose truth is class 0."""
    group, subject, probability = [], [], []
    for one, who, n_right, n_wrong in right:
        group += [one] * (n_right + n_wrong)
        subject += [who] * (n_right + n_wrong)
        probability += [0.9] * n_right + [0.2] * n_wrong
    first = np.array(probability)
    return {
        "truth": np.zeros(len(first), dtype=int),
        "probabilities": np.column_stack([first, 1 - first]),
        "group": np.array(group),
        "subject": np.array(subject),
    }


def summary(made: dict[str, np.ndarray], **options) -> dict:
    return metrics.summarise(**made, **{"resamples": 500, "confidence": 0.95, "seed": 0} | options)


def test_a_score_is_pooled_in_a_group_and_averaged_over_groups():
    # Group 0: 4 of 5 right, group 1: 1 of 5.
    entry = summary(predictions([(0, 7, 3, 0), (0, 8, 1, 1), (1, 7, 1, 4)]))["accuracy"]
    assert entry["value"] == pytest.approx((0.8 + 0.2) / 2)
    assert entry["groups"] == {"n": 2, "std": 0.3, "lowest": 0.2, "highest": 0.8}


def test_the_interval_is_the_bootstrap_over_subjects():
    counts = [(0, who, right, 10 - right) for who, right in enumerate([9, 5, 7, 2, 10])]
    entry = summary(predictions(counts), resamples=4000)["accuracy"]
    share = np.array([right / 10 for _, _, right, _ in counts])
    drawn = share[np.random.default_rng(1).integers(0, 5, size=(40_000, 5))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert entry["interval"]["low"] == pytest.approx(low, abs=0.02)
    assert entry["interval"]["high"] == pytest.approx(high, abs=0.02)


def test_segments_of_one_subject_do_not_narrow_the_interval():
    few = summary(predictions([(0, who, right, 4 - right) for who, right in enumerate([4, 1, 3, 0])]))
    many = summary(predictions([(0, who, 100 * right, 100 * (4 - right)) for who, right in enumerate([4, 1, 3, 0])]))
    assert few["accuracy"]["interval"] == many["accuracy"]["interval"]


TRIALS = 12
REPETITIONS = 400


def covered(subjects: int, unit: str) -> float:
    """How often the interval holds the true accuracy when subjects are drawn anew; ``unit``: what is resampled.

    A subject's own accuracy is Beta(3, 2), so the true one is 0.6, and people differ far more (0.2) than their trials
    would make them by chance.
    """
    rng = np.random.default_rng(subjects)
    inside = 0
    for repetition in range(REPETITIONS):
        right = rng.binomial(TRIALS, rng.beta(3, 2, size=subjects))
        made = predictions([(0, who, int(count), TRIALS - int(count)) for who, count in enumerate(right)])
        if unit == "segment":
            made["subject"] = np.arange(len(made["subject"]))
        interval = summary(made, resamples=400, seed=repetition)["accuracy"]["interval"]
        inside += interval["low"] <= 0.6 <= interval["high"]
    return inside / REPETITIONS


def band(subjects: int) -> tuple[float, float]:
    """In which share of repetitions a correct interval may hold the truth: the expected one and four standard errors.

    A percentile bootstrap of a mean of n subjects is a normal interval whose variance is divided by n instead of n - 1.
    So 95 % in name are P(|t| < 1.96 sqrt((n - 1) / n)) with n - 1 degrees of freedom: 0.92 for 15, 0.94 for 30.
    """
    expected = 1 - 2 * stats.t.sf(stats.norm.ppf(0.975) * math.sqrt((subjects - 1) / subjects), subjects - 1)
    error = math.sqrt(expected * (1 - expected) / REPETITIONS)
    return expected - 4 * error, expected + 4 * error


@pytest.mark.parametrize("subjects", [15, 30])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(subjects):
    low, high = band(subjects)
    assert low < covered(subjects, "subject") < high


def test_an_interval_over_segments_would_not():
    """The band is narrow enough to tell the two apart: segments of one person are not independent."""
    assert covered(15, "segment") < band(15)[0]


def test_no_interval_without_resamples_or_from_one_subject():
    assert summary(predictions([(0, 0, 2, 1), (0, 1, 1, 2)]), resamples=0)["accuracy"]["interval"] is None
    assert summary(predictions([(0, 0, 2, 1)]))["accuracy"]["interval"] is None


def test_a_wider_confidence_gives_a_wider_interval_and_the_seed_decides():
    made = predictions([(0, who, who, 9 - who) for who in range(9)])
    narrow, wide = (summary(made, confidence=c)["accuracy"]["interval"] for c in (0.5, 0.99))
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]
    assert summary(made) == summary(made)
    first, second = (summary(made, seed=seed)["accuracy"] for seed in (0, 1))
    assert first["value"] == second["value"]
    assert first["interval"] != second["interval"]


def test_an_undefined_score_is_none():
    entry = summary(predictions([(0, 0, 2, 1), (0, 1, 1, 2)]))["auroc"]
    assert entry == {"value": None, "interval": None, "groups": {"n": 1, "std": None, "lowest": None, "highest": None}}


def test_subjects_are_averaged_over_the_groups_that_tested_them():
    scores = metrics.per_subject(**predictions([(0, 7, 3, 1), (1, 7, 1, 3), (0, 9, 1, 0)]))
    assert scores == {7: {"accuracy": 0.5, "balanced_accuracy": 0.5}, 9: {"accuracy": 1.0, "balanced_accuracy": 1.0}}


def test_chance():
    # Training knows class 2 best, the test part has mostly class 0.
    guess = metrics.chance(np.array([0.2, 0.3, 0.5]), np.array([0.7, 0.2, 0.1]))
    assert guess == {"uniform": pytest.approx(1 / 3), "majority": 0.1, "prior": pytest.approx(0.14 + 0.06 + 0.05)}


class TestDealtAnew:
    def test_balanced_folds_have_the_chance_of_guesses(self):
        truth = np.tile([0, 1, 2], 18)
        answer = np.repeat([0, 2, 1], 18)  # of each fold the same
        one = np.zeros(54, int)
        assert metrics.dealt_anew(truth, answer, one, answer, 3) == pytest.approx(1 / 3)

    def test_answers_that_follow_the_folds_score_without_a_signal(self):
        """Whoever prefers in each fold the class that it tests most, or least, needs no signal for it."""
        fold = np.repeat([0, 1], 40)
        truth = np.where(np.arange(80) % 4 == 0, 1 - fold, fold)
        one = np.zeros(80, int)
        assert metrics.dealt_anew(truth, fold, one, fold, 2) == pytest.approx(0.75)
        assert metrics.dealt_anew(truth, 1 - fold, one, fold, 2) == pytest.approx(0.25)

    def test_is_the_mean_over_deals(self):
        rng = np.random.default_rng(0)
        fold = np.sort(rng.integers(5, size=300))
        group = (fold > 2).astype(int)
        truth = rng.choice(3, size=300, p=[0.5, 0.3, 0.2])
        answer = np.where(rng.random(300) < 0.6, truth, fold % 3)
        scores = []
        for _ in range(300):
            dealt = np.concatenate([rng.permutation(answer[fold == one]) for one in range(5)])
            counts = metrics.confusions(truth, dealt, group, np.zeros(300, int), (2, 1, 3))
            scores.append(metrics.balanced_accuracy(counts[:, 0]).mean())
        assert metrics.dealt_anew(truth, answer, group, fold, 3) == pytest.approx(np.mean(scores), abs=0.004)

    def test_right_answers_in_folds_of_one_class_prove_nothing(self):
        truth = np.repeat([0, 1, 2], 10)
        one = np.zeros(30, int)
        assert metrics.dealt_anew(truth, truth, one, truth, 3) == 1
        assert metrics.dealt_anew(truth, truth, one, one, 3) == pytest.approx(1 / 3)

    def test_one_answer_for_all_scores_what_it_scores(self):
        """A class that does not occur is left out of both."""
        truth, one = np.array([0, 0, 1, 0]), np.zeros(4, int)
        assert metrics.dealt_anew(truth, one, one, one, 3) == pytest.approx(0.5)


def test_a_trial_is_the_mean_of_its_segments():
    unit = np.array([5, 2, 5, 2, 5])
    truth = np.array([1, 0, 1, 0, 1])
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.0, 1.0]])
    first, of_trial, mean = metrics.by_trial(unit, truth, probabilities)
    assert first.tolist() == [1, 0]
    assert of_trial.tolist() == [0, 1]
    # Two of three segments of trial 5 say class 0, their mean says class 1.
    np.testing.assert_allclose(mean, [[0.6, 0.4], [0.4, 0.6]])

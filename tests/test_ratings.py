"""Participants' ratings: their scores, the regression that predicts them, and what stands in files and is verified."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import linear_model
from torchmetrics.functional import concordance_corrcoef, spearman_corrcoef

from eegpipe import metrics, ratings
from eegpipe.affect import AffectSource
from eegpipe.arrays import arrays_digest
from eegpipe.evaluate import EvaluateSettings, evaluate, evaluate_target
from eegpipe.loader import Segments, load
from eegpipe.models.baselines import MlpSettings
from eegpipe.predictions import FeatureCache, predict
from eegpipe.protocols import PROTOCOLS, SplitSettings
from eegpipe.results import content_hash
from eegpipe.splits import LeakError, make, write_all
from eegpipe.verify import Check, confirmed, verify

from planted_segments import planted, write_segments

SETTINGS = EvaluateSettings(mlp=MlpSettings(least_steps=10, hidden=(8, 4)), resamples=200)
CLEAN = ("fewshot_subject_stimulus", "kfold_subject_stimulus")
SCORES = ("concordance", "rank_correlation", "within_subject_rank_correlation")


# -- scores ------------------------------------------------------------------------------------------------------------


def once(values) -> np.ndarray:
    return np.ones(len(values))


def test_concordance_by_hand():
    rated = np.array([1.0, 2.0, 3.0])
    # Covariance 1, variances 1, means one apart: 2 / (1 + 1 + 1).
    assert metrics.concordance(rated, rated + 1, once(rated)) == pytest.approx(2 / 3)
    # Half the spread: covariance 1/2, variances 1 and 1/4, means 1 apart: 1 / (1 + 1/4 + 1).
    assert metrics.concordance(rated, rated / 2, once(rated)) == pytest.approx(1 / 2.25)
    assert metrics.concordance(rated, rated, once(rated)) == pytest.approx(1)
    assert metrics.concordance(rated, 4 - rated, once(rated)) == pytest.approx(-1)


def test_rank_correlation_by_hand():
    rated = np.array([1.0, 2.0, 3.0, 4.0])
    # 1 - 6 (0 + 0 + 1 + 1) / (4 x 15)
    assert metrics.rank_correlation(rated, np.array([-3.0, 0.1, 9.0, 5.0]), once(rated)) == pytest.approx(0.8)


@pytest.mark.parametrize("seed", range(5))
def test_scores_agree_with_torchmetrics_and_with_their_formulas(seed):
    rng = np.random.default_rng(seed)
    rated = rng.integers(1, 10, 60) - 5.0  # with ties, as on a scale of nine
    predicted = 0.5 * rated + rng.normal(size=60) + seed
    found = metrics.concordance(rated, predicted, once(rated))
    rho = np.corrcoef(rated, predicted)[0, 1]
    s1, s2 = rated.std(ddof=1), predicted.std(ddof=1)
    m1, m2 = rated.mean(), predicted.mean()
    assert found == pytest.approx(rho * 2 * s1 * s2 / (s1**2 + s2**2 + (m1 - m2) ** 2))
    first, second = torch.from_numpy(predicted), torch.from_numpy(rated)
    assert found == pytest.approx(float(concordance_corrcoef(first, second)))
    ranked = metrics.rank_correlation(rated, predicted, once(rated))
    assert ranked == pytest.approx(float(spearman_corrcoef(first, second)), abs=1e-6)
    assert ranked == pytest.approx(stats.spearmanr(rated, predicted).statistic)


def test_weights_are_repetitions():
    rng = np.random.default_rng(0)
    rated, predicted = rng.integers(0, 5, 30).astype(float), rng.integers(0, 9, 30).astype(float)
    times = rng.integers(0, 4, (7, 30))
    for score in (metrics.concordance, metrics.rank_correlation):
        repeated = [float(score(np.repeat(rated, one), np.repeat(predicted, one), np.ones(one.sum()))) for one in times]
        np.testing.assert_allclose(score(rated, predicted, times.astype(float)), repeated, rtol=1e-12)


def test_what_is_constant_has_no_score():
    varied, constant = np.array([0.1, 0.7, 0.3]), np.full(3, 0.1)
    assert math.isnan(metrics.concordance(constant, varied, once(varied)))
    assert metrics.concordance(varied, constant, once(varied)) == pytest.approx(0)
    for pair in ((constant, varied), (varied, constant)):
        assert math.isnan(metrics.rank_correlation(*pair, once(varied)))
    assert math.isnan(metrics.concordance(varied[:1], varied[:1], once(varied[:1])))
    zero = np.zeros(3, dtype=int)
    options = {"resamples": 20, "confidence": 0.95, "seed": 0}
    for entry in metrics.agreement(constant, varied, zero, np.arange(3), **options).values():
        assert (entry["value"], entry["groups"]["std"]) == (None, None)
    nothing = metrics.agreement(varied[:0], varied[:0], zero[:0], zero[:0], **options)
    assert [entry["value"] for entry in nothing.values()] == [None] * 3


def test_habits_of_people_count_in_pooled_scores_alone():
    """Each person uses a place of the scale of their own, which is known; their single ratings are not."""
    rng = np.random.default_rng(1)
    subject = np.repeat(np.arange(20), 15)
    habit = rng.normal(size=20)[subject]
    rated, predicted = habit + rng.normal(size=300), habit + rng.normal(size=300)
    zero = np.zeros(300, dtype=int)
    found = metrics.agreement(rated, predicted, zero, subject, resamples=300, confidence=0.95, seed=0)
    assert found["concordance"]["interval"]["low"] > 0.2
    assert found["rank_correlation"]["interval"]["low"] > 0.2
    within = found["within_subject_rank_correlation"]
    assert within["interval"]["low"] < 0 < within["interval"]["high"]
    of_people = [stats.spearmanr(rated[subject == s], predicted[subject == s]).statistic for s in range(20)]
    assert within["value"] == pytest.approx(np.mean(of_people), abs=1e-6)


def test_values_are_means_over_groups_and_intervals_the_bootstrap_over_subjects():
    rng = np.random.default_rng(2)
    subject, group = np.tile(np.repeat(np.arange(8), 6), 2), np.repeat([0, 1], 48)
    rated = rng.integers(1, 10, 96).astype(float)
    predicted = 0.3 * rated + rng.normal(size=96)
    found = metrics.agreement(rated, predicted, group, subject, resamples=150, confidence=0.9, seed=5)
    of_groups = [stats.spearmanr(rated[group == g], predicted[group == g]).statistic for g in (0, 1)]
    assert found["rank_correlation"]["value"] == pytest.approx(np.mean(of_groups), abs=1e-6)
    assert found["rank_correlation"]["groups"]["std"] == pytest.approx(np.std(of_groups), abs=1e-6)
    drawn = []
    for times in np.random.default_rng(5).multinomial(8, [1 / 8] * 8, 150):
        rows = [np.repeat(np.flatnonzero(group == g), times[subject[group == g]]) for g in (0, 1)]
        drawn.append(np.mean([stats.spearmanr(rated[mine], predicted[mine]).statistic for mine in rows]))
    low, high = np.percentile(drawn, [5, 95])
    interval = found["rank_correlation"]["interval"]
    assert (interval["low"], interval["high"]) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


# -- the regression ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("trials", "features"), [(40, 12), (40, 90)])
def test_the_penalty_is_that_of_scikit_learn_without_each_clip(trials, features):
    rng = np.random.default_rng(features)
    x = rng.normal(size=(trials, features))
    y = x @ rng.normal(size=(features, 2)) + rng.normal(size=(trials, 2)) * [2, 40]
    x, y = (x - x.mean(0)) / x.std(0), y - y.mean(0)
    clip = rng.integers(0, 6, trials)
    penalties = ratings._PENALTIES * trials
    error = np.zeros((len(penalties), 2))
    for number, penalty in enumerate(penalties):
        for one in np.unique(clip):
            out = clip == one
            model = linear_model.Ridge(alpha=penalty, fit_intercept=False).fit(x[~out], y[~out])
            error[number] += ((y[out] - model.predict(x[out])) ** 2).sum(0)
    chosen = ratings.chosen_penalties(x, y, clip)
    np.testing.assert_array_equal(chosen, penalties[error.argmin(0)])
    assert chosen[0] < chosen[1]
    # Where each trial has its own clip, this is the usual choice.
    usual = linear_model.RidgeCV(penalties, fit_intercept=False, alpha_per_target=True).fit(x, y)
    np.testing.assert_allclose(ratings.chosen_penalties(x, y, np.arange(trials)), usual.alpha_)


def told(values: np.ndarray, per_trial: int, clips: int) -> ratings.Reports:
    """``values`` (trial, 2) of trials whose clips go round."""
    trial = np.repeat(np.arange(len(values)), per_trial)
    return ratings.Reports(np.repeat(values, per_trial, axis=0).astype(np.float32), trial, trial % clips)


def test_planted_ratings_are_recovered_and_segments_without_one_left_out():
    rng = np.random.default_rng(3)
    values = rng.uniform(-2, 2, size=(60, 2))
    x = np.repeat(values @ rng.normal(size=(2, 10)), 3, axis=0) + 0.1 * rng.normal(size=(180, 10))
    reports = told(values, 3, 12)
    rows = np.arange(120)
    fitted = ratings.fit(x[rows], reports, rows)
    np.testing.assert_allclose(fitted.predict(x[120:]), np.repeat(values[40:], 3, axis=0), atol=0.6)
    # The numbers of others say nothing: as if their segments were not there.
    reports.values[30:60] = np.nan
    x[30:60] = 1e6
    known = np.setdiff1d(rows, np.arange(30, 60))
    again, without = ratings.fit(x[rows], reports, rows), ratings.fit(x[known], reports, known)
    np.testing.assert_array_equal(again.weights, without.weights)


def test_predictions_stay_on_the_scale():
    rng = np.random.default_rng(4)
    values = rng.uniform(-4, 4, size=(30, 2))
    x = np.repeat(values, 2, axis=0)
    fitted = ratings.fit(x, told(values, 2, 10), np.arange(60))
    assert np.abs(fitted.predict(1000 * x)).max() == 4


def test_knowing_nothing_gives_zero_over_folds_because_the_constant_is_no_mean():
    """Clips are rated as one likes, the signal is noise; every clip is tested once, by the others."""
    rng = np.random.default_rng(5)
    found = {"middle": [], "mean": []}
    for _ in range(60):
        values = np.tile(rng.normal(size=(12, 2)), (5, 1)) + 0.3 * rng.normal(size=(60, 2))
        reports, x = told(values, 1, 12), rng.normal(size=(60, 20))
        clip = reports.clip
        answers = {"middle": np.zeros(60), "mean": np.zeros(60)}
        for fold in range(4):
            test = np.flatnonzero(clip % 4 == fold)
            train = np.flatnonzero(clip % 4 != fold)
            answers["middle"][test] = ratings.fit(x[train], reports, train).predict(x[test])[:, 0]
            answers["mean"][test] = answers["middle"][test] + values[train, 0].mean()
        for name, answer in answers.items():
            found[name].append(metrics.rank_correlation(values[:, 0], answer, np.ones(60)))
    assert abs(np.mean(found["middle"])) < 3 * np.std(found["middle"]) / math.sqrt(60)
    assert np.mean(found["mean"]) < -0.3


# -- in an evaluation --------------------------------------------------------------------------------------------------


def reporting(strength: float, *, shared: bool = True, seed: int = 0, **options) -> Segments:
    """Segments whose power follows valence and arousal by ``strength``; ``shared``: people rate a clip alike."""
    segments = planted("nothing", seed=seed, **options)
    rng = np.random.default_rng(seed + 100)
    clips, subjects = len(segments.stimulus_names), len(segments.subject_names)
    rated = np.tile(rng.uniform(-3, 3, size=(clips, 2)), (subjects, 1, 1)) * shared
    rated = np.clip(rated + rng.normal(size=rated.shape), -4, 4)
    own = rated[segments.subject, segments.stimulus - 1000]
    # Entropy is the logarithm of an amplitude, so it is linear in what stands in the exponent.
    loads = np.stack([np.linspace(-1, 1, segments.eeg.shape[1]), np.linspace(1, -1, segments.eeg.shape[1]) ** 2])
    segments.eeg *= np.exp(strength * own @ loads).astype(np.float32)[:, :, None]
    segments.valence, segments.arousal = own.astype(np.float32).T
    segments.affect_source = np.full(len(segments), AffectSource.SELF_REPORT, dtype=np.int8)
    return segments


def scored(segments, out: Path, protocols=CLEAN, *, method="de", **options) -> dict:
    splits = [make(protocol, segments, settings=SplitSettings(groups=2)) for protocol in protocols]
    content = evaluate(method, segments, splits, out / "m.json", out / "p", settings=SETTINGS, **options)
    return content["protocols"]


def test_ratings_that_the_signal_has_are_found(tmp_path):
    for entry in scored(reporting(0.3, seed=1), tmp_path).values():
        for rating in ratings.RATINGS:
            found = entry["ratings"][rating]
            assert (found["n_subjects"], found["n_trials"], found["chance"]) == (6, 72, 0)
            for score in SCORES:
                assert found[score]["value"] > 0.6
                assert found[score]["interval"]["low"] > 0.4
                assert found[score]["groups"]["n"] == entry["n_groups"]


def test_random_ratings_cover_zero(tmp_path):
    """Drawn for each trial: where people rate a clip alike, an interval over people does not hold for other clips."""
    for entry in scored(reporting(0.0, shared=False, subjects=8, seed=1), tmp_path).values():
        for rating in ratings.RATINGS:
            for score in SCORES:
                interval = entry["ratings"][rating][score]["interval"]
                assert interval["low"] <= 0 <= interval["high"]


def test_rows_without_the_shared_classifier_have_no_ratings(tmp_path):
    every = ("fewshot_subject", "zeroshot_subject", "mdjpt_fewshot", "art_within")
    segments = reporting(0.1)
    assert [name for name, entry in scored(segments, tmp_path, every).items() if "ratings" in entry] == [
        "fewshot_subject",
        "art_within",
    ]
    (entry,) = scored(segments, tmp_path, every[:1], method="de_linear").values()
    assert "ratings" not in entry
    assert not any(ratings.covers(name) for name in PROTOCOLS if "zeroshot" in name or name.startswith("mdjpt"))


@pytest.mark.parametrize("source", [AffectSource.CLIP_NORM, AffectSource.WORD_NORM])
def test_norms_are_no_ratings_and_change_no_byte(source, tmp_path):
    segments = reporting(0.1)
    segments.affect_source[:] = source
    without = planted("nothing")
    without.eeg = segments.eeg
    for name, one in (("norms", segments), ("none", without)):
        scored(one, tmp_path / name)
    names = [path.relative_to(tmp_path / "none") for path in (tmp_path / "none").rglob("*") if path.is_file()]
    assert len(names) > 3
    for name in names:
        assert (tmp_path / "none" / name).read_bytes() == (tmp_path / "norms" / name).read_bytes()
    assert "ratings" not in (tmp_path / "norms/m.json").read_text()
    with np.load(tmp_path / "norms/p/predictions.npz") as arrays:
        assert not any("valence" in name for name in arrays)


def predicted(segments, protocol: str, workers: int = 1) -> ratings.Rated:
    split = make(protocol, segments, settings=SplitSettings(groups=1))
    features = FeatureCache(segments, None, SETTINGS)
    found = predict(split, segments, features, SETTINGS, 0, lambda *_, **__: None, workers).rated
    assert found is not None
    return found


def test_ratings_of_the_test_part_change_no_prediction():
    segments = reporting(0.1)
    split = make("fewshot_subject", segments, settings=SplitSettings(groups=1))
    tested = np.isin(segments.subject, [segments.subject_names.index(name) for name in split.folds[0].test.subjects])
    other = segments.select(np.arange(len(segments)))
    other.valence[tested] *= -1
    other.affect_source[np.flatnonzero(tested)[:9]] = AffectSource.UNKNOWN
    before, after = predicted(segments, "fewshot_subject"), predicted(other, "fewshot_subject")
    np.testing.assert_array_equal(before.predicted, after.predicted)
    assert np.isnan(after.reported).any(axis=1).sum() == 9
    assert not np.array_equal(before.reported, after.reported)
    other.valence[~tested] *= -1
    assert not np.array_equal(before.predicted, predicted(other, "fewshot_subject").predicted)


def test_the_number_of_processes_changes_nothing(tmp_path):
    segments = reporting(0.1)
    for name, workers in (("one", 1), ("three", 3)):
        scored(segments, tmp_path / name, workers=workers)
    for name in ("m.json", "p/predictions.npz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()


def test_a_regression_that_looks_at_other_test_segments_is_found(tmp_path, monkeypatch):
    honest = ratings.Ridge.predict
    monkeypatch.setattr(ratings.Ridge, "predict", lambda self, x: honest(self, x) - honest(self, x).mean(axis=0))
    with pytest.raises(LeakError, match="change with other test segments"):
        scored(reporting(0.1), tmp_path)


# -- stored and verified -----------------------------------------------------------------------------------------------


STORE, FOLDS, METRICS = "data/segments/test/demo.zarr", "data/splits/demo", "metrics/demo/de.json"
ARRAYS = "plots/demo/de/predictions.npz"
PROTOCOL = "fewshot_subject_stimulus"


@pytest.fixture(scope="module", name="original")
def make_original(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("original")
    segments = reporting(0.1, subjects=4, clips=9, per_trial=2)
    segments.affect_source[:2] = AffectSource.UNKNOWN
    segments.valence[:2] = segments.arousal[:2] = np.nan
    write_segments(root / STORE, segments)
    settings = SplitSettings(protocols=(PROTOCOL, "zeroshot_subject"), groups=2)
    write_all(load(root / STORE), root / FOLDS, settings=settings)
    places = (root / STORE, root / FOLDS, root / METRICS, (root / ARRAYS).parent)
    evaluate_target("de", *places, settings=SETTINGS, seed=3, workers=1)
    return root


@pytest.fixture(name="project")
def copy_project(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "project"))


def signed(project: Path, change) -> list[Check]:
    """Change the arrays as a careful forger, with digests that fit again; failed checks."""
    with np.load(project / ARRAYS) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez_compressed(project / ARRAYS, **arrays)
    content = json.loads((project / METRICS).read_text())
    content["files"]["predictions"] = arrays_digest(arrays)
    content["hash"] = content_hash(content)
    (project / METRICS).write_text(json.dumps(content, indent=2) + "\n")
    checks = verify(project / METRICS)
    assert not confirmed(checks)
    return [check for check in checks if check.ok is False]


def test_ratings_are_stored_and_confirmed(original):
    checks = verify(original / METRICS)
    assert [str(check) for check in checks if not check.ok] == []
    assert f"{PROTOCOL}: the participants' ratings" in {check.what for check in checks}
    entry = json.loads((original / METRICS).read_text())["protocols"][PROTOCOL]["ratings"]
    with np.load(original / ARRAYS) as arrays:
        names = {name for name in arrays if "valence" in name or "arousal" in name}
        assert names == {f"{PROTOCOL}/{name}" for name in ("valence", "arousal", "rated_valence", "rated_arousal")}
        columns = {name: arrays[f"{PROTOCOL}/{name}"] for name in ("valence", "rated_valence", "group", "subject")}
        trial = arrays[f"{PROTOCOL}/trial"]
    assert columns["valence"].dtype == columns["rated_valence"].dtype == np.float32
    of_groups = []
    for group in np.unique(columns["group"]):
        mine = (columns["group"] == group) & ~np.isnan(columns["rated_valence"])
        keys = np.stack([columns["subject"][mine], trial[mine]])
        pairs = [(keys == key[:, None]).all(axis=0) for key in np.unique(keys, axis=1).T]
        rated = np.array([columns["rated_valence"][mine][one].mean() for one in pairs])
        mean = np.array([columns["valence"][mine][one].mean(dtype=float) for one in pairs])
        of_groups.append(stats.spearmanr(rated, mean).statistic)
    assert entry["valence"]["rank_correlation"]["value"] == pytest.approx(np.mean(of_groups), abs=1e-6)
    assert entry["valence"]["n_trials"] == 4 * 9 - 1


def test_an_altered_prediction_of_a_rating(project):
    def better(arrays):
        rated = arrays[f"{PROTOCOL}/rated_arousal"]
        arrays[f"{PROTOCOL}/arousal"] = np.where(np.isnan(rated), 0, rated).astype(np.float32)

    failed = signed(project, better)
    assert failed
    assert all(check.what.startswith((f"{PROTOCOL}.ratings.arousal", f"{PROTOCOL}: values")) for check in failed)


def test_an_altered_rating(project):
    def other(arrays):
        arrays[f"{PROTOCOL}/rated_valence"][3] += 0.5

    assert f"{PROTOCOL}: the participants' ratings" in {check.what for check in signed(project, other)}


def test_ratings_that_were_left_out(project):
    def without(arrays):
        for name in ("valence", "arousal", "rated_valence", "rated_arousal"):
            del arrays[f"{PROTOCOL}/{name}"]

    content = json.loads((project / METRICS).read_text())
    del content["protocols"][PROTOCOL]["ratings"]
    (project / METRICS).write_text(json.dumps(content))
    (failed,) = signed(project, without)
    assert (failed.what, failed.found) == (f"{PROTOCOL}: the participants' ratings", "none")


def test_ratings_where_there_are_none(project):
    def more(arrays):
        for name in ("valence", "arousal", "rated_valence", "rated_arousal"):
            arrays[f"zeroshot_subject/{name}"] = np.zeros(len(arrays["zeroshot_subject/row"]), dtype=np.float32)

    assert "zeroshot_subject: the participants' ratings" in {check.what for check in signed(project, more)}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("valence", None),
        ("valence", lambda values: values[:-1]),
        ("valence", lambda values: values * np.nan),
        ("arousal", lambda values: values + 9),
        ("rated_arousal", lambda values: values.astype(int)),
        ("rated_arousal", lambda values: values + np.inf),
    ],
)
def test_ratings_of_another_form(name, change, project):
    def spoil(arrays):
        values = arrays.pop(f"{PROTOCOL}/{name}")
        if change is not None:
            with np.errstate(invalid="ignore"):
                arrays[f"{PROTOCOL}/{name}"] = change(values)

    failed = signed(project, spoil)
    assert "ratings of" in next(check for check in failed if check.what == "arrays").found


def test_a_score_that_was_edited(project):
    content = json.loads((project / METRICS).read_text())
    content["protocols"][PROTOCOL]["ratings"]["valence"]["concordance"]["value"] = 0.9
    content["hash"] = content_hash(content)
    (project / METRICS).write_text(json.dumps(content))
    failed = [check for check in verify(project / METRICS) if check.ok is False]
    assert [check.what for check in failed] == [f"{PROTOCOL}.ratings.valence.concordance.value"]


def test_only_the_tested_need_ratings():
    """Others may rate, for a target whose people did not: there is nothing to compare with."""
    segments = reporting(0.1)
    split = make("fewshot_subject", segments, settings=SplitSettings(groups=1))
    tested = np.isin(segments.subject, [segments.subject_names.index(name) for name in split.folds[0].test.subjects])
    silent = replace(segments, affect_source=np.where(tested, AffectSource.WORD_NORM, AffectSource.SELF_REPORT))
    features = FeatureCache(silent, None, SETTINGS)
    assert predict(split, silent, features, SETTINGS, 0, lambda *_, **__: None).rated is None

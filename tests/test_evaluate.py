import csv
import json
from typing import get_args

import numpy as np
import pytest

from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.evaluate import EvaluateSettings, evaluate, evaluate_target, summary_rows
from eegpipe.models.baseline_settings import BASELINES, BaselineName, BaselineSettings, LinearSettings, LstmSettings
from eegpipe.models.baselines import MlpSettings, de_features
from eegpipe.models.baselines_features import LinearHead, LstmHead
from eegpipe.predictions import FeatureCache, predict
from eegpipe.protocols import USUAL as PROTOCOLS
from eegpipe.protocols import SplitSettings
from eegpipe.splits import LeakError, make, write_all
from eegpipe.store import StoreHeader, TrialSegments, write_store

from planted_segments import condition, planted, rated

SETTINGS = EvaluateSettings(mlp=MlpSettings(least_steps=60, learning_rate=2e-3), resamples=200)
DRAWS = SplitSettings(groups=3)
CLEAN = ("fewshot_subject_stimulus", "zeroshot_subject_stimulus")


class Recorder:
    """An encoder of differential entropies that remembers what it was given. It saw one other data set."""

    across = True

    def __init__(self, **seen):
        self.manifest = {"datasets": {"other": {"store": "x", "subjects": ["01"], "stimuli": ["other/01"]}} | seen}
        self.given = []

    def features(self, segments):
        self.given.append(
            (
                {segments.subject_names[index] for index in segments.subject},
                {segments.stimulus_names[int(key)] for key in segments.stimulus},
            )
        )
        return de_features(segments.eeg, segments.rate_hz)


def all_splits(segments):
    return [make(protocol, segments, settings=DRAWS) for protocol in PROTOCOLS]


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """For each planted effect: the segments, the metrics of all protocols and their folder."""
    result = {}
    for effect in ("class", "clip", "nothing"):
        segments = planted(effect)
        out = tmp_path_factory.mktemp(effect)
        content = evaluate("de", segments, all_splits(segments), out / "m.json", out / "p", settings=SETTINGS, seed=1)
        result[effect] = (segments, content, out)
    return result


def accuracies(scored, effect):
    return {name: entry["accuracy"] for name, entry in scored[effect][1]["protocols"].items()}


# -- what the protocols measure ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_effect_that_all_subjects_share_is_found(protocol, scored):
    entry = scored["class"][1]["protocols"][protocol]
    assert entry["accuracy"]["value"] > 0.6
    assert entry["accuracy"]["interval"]["low"] > max(entry["chance"].values())
    assert entry["auroc"]["value"] > 0.8
    assert entry["trial_level"]["accuracy"]["value"] > 0.6


@pytest.mark.parametrize("effect", ["clip", "nothing"])
@pytest.mark.parametrize("protocol", CLEAN)
def test_random_labels_give_chance_where_protocols_are_leak_free(protocol, effect, scored):
    assert scored[effect][1]["protocols"][protocol]["leak_free"]
    assert 0.15 < accuracies(scored, effect)[protocol]["value"] < 0.42


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name not in CLEAN])
def test_knowing_the_clip_is_enough_where_clips_are_shared(protocol, scored):
    # The labels are random; only the clip has an effect. This is the leak that these protocols are marked for.
    assert not scored["clip"][1]["protocols"][protocol]["leak_free"]
    assert accuracies(scored, "clip")[protocol]["value"] > 0.6


def test_random_labels_of_each_subject_give_chance_under_every_clean_protocol(tmp_path):
    rng = np.random.default_rng(3)
    segments = planted("clip", subjects=8)
    valence = {
        (subject, clip): float(rng.choice([-1, 1]))
        for subject in segments.subject_names
        for clip in segments.stimulus_names.values()
    }
    own = rated(segments, valence)
    splits = [make(protocol, own, settings=DRAWS) for protocol in PROTOCOLS if protocol != "mdjpt_fewshot"]
    content = evaluate("de", own, splits, tmp_path / "m.json", tmp_path, settings=SETTINGS)
    assert content["classes"]["names"] == ["low valence", "high valence"]
    assert "self-report" in content["classes"]["definition"]
    for entry in content["protocols"].values():
        assert 0.38 < entry["accuracy"]["value"] < 0.62


def test_a_condition_is_scored_leak_free_without_clips(tmp_path):
    segments = condition(subjects=6)
    content = evaluate("de", segments, make("fewshot_subject", segments, seed=0), tmp_path / "m.json", tmp_path)
    entry = content["protocols"]["fewshot_subject"]
    assert entry["leak_free"]
    assert entry["disjoint"]["stimulus"] == "not applicable"
    assert entry["accuracy"]["value"] > 0.8


# -- what a row says ---------------------------------------------------------------------------------------------------


def test_a_row_counts_what_it_was_computed_from(scored):
    entry = scored["class"][1]["protocols"]["fewshot_subject_stimulus"]
    assert {name: entry[name] for name in ("n_groups", "n_folds")} == {"n_groups": 3, "n_folds": 12}
    # 6 subjects x 12 clips x 3 segments; each subject is tested by some group.
    assert {name: entry[name] for name in ("n_subjects", "n_trials", "n_segments")} == {
        "n_subjects": 6,
        "n_trials": 72,
        "n_segments": 216,
    }
    assert entry["chance"]["uniform"] == pytest.approx(1 / 3, abs=1e-6)


def test_published_terms_are_marked(scored):
    entry = scored["class"][1]["protocols"]["mdjpt_fewshot"]
    assert entry["test_selects"]
    assert not entry["leak_free"]
    assert set(entry["transductive"]) == {"causal_normalisation", "lds_smoothing", "priors_over_all_subjects"}
    assert len(entry["leaks"]) == 3


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"smoothing": "lds"}, "smoothed within a test trial"), ({"encoder_batch": "session"}, "whole session")],
)
def test_a_use_of_test_data_that_the_split_does_not_name_costs_the_mark(changed, named, tmp_path):
    segments = planted("class")
    split = make("fewshot_subject_stimulus", segments, settings=SplitSettings(groups=1))
    quick = EvaluateSettings(mlp=MlpSettings(least_steps=1, epochs=1), resamples=0, **changed)
    content = evaluate("mdjpt", segments, split, tmp_path / "m.json", tmp_path, encoder=Recorder(), settings=quick)
    entry = content["protocols"]["fewshot_subject_stimulus"]
    assert not entry["leak_free"]
    assert any(named in leak for leak in entry["leaks"])


def test_normalisation_by_the_training_part_uses_nothing_of_the_test_subjects(tmp_path):
    segments = planted("class")
    split = make("fewshot_subject_stimulus", segments, settings=SplitSettings(groups=1))
    settings = EvaluateSettings(mlp=SETTINGS.mlp, normalisation="training")
    content = evaluate("de", segments, split, tmp_path / "m.json", tmp_path, settings=settings)
    entry = content["protocols"]["fewshot_subject_stimulus"]
    assert entry["transductive"] == {}
    assert entry["leak_free"]
    assert entry["accuracy"]["value"] > 0.5


# -- that it is so -----------------------------------------------------------------------------------------------------


HEADS = {"shared": None, "linear": LinearHead(LinearSettings()), "lstm": LstmHead(LstmSettings(least_steps=30))}
MINE = [("shared", name) for name in ("fewshot_subject", "fewshot_subject_stimulus", "mdjpt_fewshot")]
MINE += [(head, name) for head in ("linear", "lstm") for name in ("fewshot_subject", "fewshot_subject_stimulus")]


def run(segments, protocol, head="shared", **options):
    split = make(protocol, segments, settings=SplitSettings(groups=1, **options))
    features = FeatureCache(segments, None, SETTINGS, HEADS[head])
    return predict(split, segments, features, SETTINGS, 0, lambda *_, **__: None)


def test_labels_of_the_test_part_change_no_prediction_but_where_test_selects():
    segments = planted("class")
    split = make("fewshot_subject", segments, settings=SplitSettings(groups=1))
    tested = np.isin(segments.subject, [segments.subject_names.index(name) for name in split.folds[0].test.subjects])
    swapped = segments.select(np.arange(len(segments)))
    swapped.label = np.where(tested, (swapped.label + 1) % 3, swapped.label).astype(np.int16)
    for head, protocol in MINE:
        if protocol == "fewshot_subject_stimulus":
            continue  # no clip fold of the swapped labels has every class
        before, after = run(segments, protocol, head), run(swapped, protocol, head)
        equal = protocol != "mdjpt_fewshot"
        assert (before.row == after.row).all()
        assert np.array_equal(before.probabilities, after.probabilities) == equal


@pytest.mark.parametrize(("head", "protocol"), MINE)
def test_signals_of_one_test_subject_reach_no_other_but_through_published_priors(head, protocol):
    segments = planted("class")
    before = run(segments, protocol, head)
    loud = segments.select(np.arange(len(segments)))
    one = segments.subject[before.row[0]]
    loud.eeg[loud.subject == one] *= 5
    after = run(loud, protocol, head)
    others = segments.subject[before.row] != one
    assert np.array_equal(before.probabilities[others], after.probabilities[others]) == (protocol != "mdjpt_fewshot")


@pytest.mark.parametrize("head", HEADS)
def test_later_segments_change_no_earlier_prediction_in_clean_protocols(head):
    segments = planted("class")
    before = run(segments, "fewshot_subject", head)
    changed = segments.select(np.arange(len(segments)))
    last = changed.trial == 12
    tested = np.isin(changed.subject, np.unique(segments.subject[before.row]))
    changed.eeg[last & tested] *= 5
    after = run(changed, "fewshot_subject", head)
    earlier = segments.trial[before.row] != 12
    np.testing.assert_array_equal(before.probabilities[earlier], after.probabilities[earlier])
    assert not np.array_equal(before.probabilities[~earlier], after.probabilities[~earlier])


def test_an_encoder_is_never_given_clips_of_both_parts_together(tmp_path):
    segments = planted("class")
    splits = [make(protocol, segments, settings=DRAWS) for protocol in CLEAN]
    encoder = Recorder()
    quick = EvaluateSettings(mlp=MlpSettings(least_steps=1, epochs=1), resamples=0)
    evaluate("mdjpt", segments, splits, tmp_path / "m.json", tmp_path, encoder=encoder, settings=quick)
    assert all(len(subjects) == 1 for subjects, _ in encoder.given)
    parts = [set(part.stimuli) for split in splits for fold in split.folds for part in (fold.train, fold.test)]
    assert all(clips in parts for _, clips in encoder.given)
    # Each subject needs four test parts and their four complements, computed once for all groups and protocols.
    assert len(encoder.given) == 6 * 8


def test_a_validation_subject_picks_the_epoch(tmp_path):
    segments = planted("class")
    split = make("fewshot_subject", segments, settings=SplitSettings(groups=2, validation="subject"))
    evaluate("de", segments, split, tmp_path / "m.json", tmp_path, settings=SETTINGS)
    with (tmp_path / "training_curve.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 60
    assert all(0 <= float(row["watched_accuracy"]) <= 1 for row in rows)
    result = run(segments, "fewshot_subject", validation="subject")
    assert len(np.unique(segments.subject[result.row])) == 4  # the validation subject is not tested


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_encoder_that_saw_a_test_subject_is_refused_before_any_work(protocol, tmp_path):
    segments = planted()
    encoder = Recorder(demo={"store": "x", "subjects": ["06"], "stimuli": []})
    split = make(protocol, segments, seed=0)
    assert any("06" in fold.test.subjects for fold in split.folds)
    with pytest.raises(LeakError, match=r"pre-trained on 1 subject\(s\) of the test part: 06"):
        evaluate("mdjpt", segments, split, tmp_path / "m.json", tmp_path / "p", encoder=encoder)
    assert encoder.given == []
    assert not any(tmp_path.iterdir())


def test_requests_that_make_no_sense_are_refused(tmp_path):
    segments = planted(per_trial=1)
    split = make("fewshot_subject", segments, seed=0)
    for method, encoder, splits, text in (
        ("mdjtp", None, split, "Did you mean 'mdjpt'"),
        ("mdjpt", None, split, "needs a pre-trained model"),
        ("de", Recorder(), split, "takes no model"),
        ("de", None, [], "at least one split"),
        ("de", None, [split, split], "each protocol once"),
        ("de_linear", None, make("zeroshot_subject", segments), "No protocol is left for de_linear on demo. zeroshot"),
    ):
        with pytest.raises(UsageProblem, match=text):
            evaluate(method, segments, splits, tmp_path / "m.json", tmp_path, encoder=encoder)


def test_a_part_without_windows_is_one_error(tmp_path):
    """A fifth of one window of each class is none."""
    segments = planted(per_trial=1, clips=3)
    with pytest.raises(DataProblem, match=r"art_within on demo, fold \S+: test part: found no segment"):
        evaluate("de", segments, make("art_within", segments), tmp_path / "m.json", tmp_path)


def test_a_split_of_another_store_is_refused(tmp_path):
    split = make("fewshot_subject", planted(subjects=7, per_trial=1), seed=0)
    with pytest.raises(DataProblem, match="Make the split again"):
        evaluate("de", planted(per_trial=1), split, tmp_path / "m.json", tmp_path)


def test_features_that_are_not_finite_are_refused_by_name(tmp_path):
    segments = planted(per_trial=1)
    encoder = Recorder()
    encoder.features = lambda given: np.full((len(given), 3), np.nan)
    with pytest.raises(DataProblem, match="features of demo, subject 0"):
        evaluate(
            "mdjpt", segments, make("fewshot_subject", segments, seed=0), tmp_path / "m.json", tmp_path, encoder=encoder
        )


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_same_evaluation_writes_the_same_bytes(scored, tmp_path):
    segments, _, out = scored["nothing"]
    splits = all_splits(segments)[:3]
    for name in ("a", "b"):
        evaluate("de", segments, splits, tmp_path / name / "m.json", tmp_path / name, settings=SETTINGS, seed=1)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    tables = ["confusion.csv", "fewshot.csv", "m.json", "per_subject.csv", "predictions.npz", "training_curve.csv"]
    assert names == tables
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    # Protocols do not influence each other.
    fewer, all_of_them = (json.loads((path / "m.json").read_text())["protocols"] for path in (tmp_path / "a", out))
    assert fewer == {name: all_of_them[name] for name in fewer}


def test_stored_predictions_give_the_metrics_again(scored):
    segments, content, out = scored["class"]
    assert content == json.loads((out / "m.json").read_text())
    stored = np.load(out / "p" / "predictions.npz")
    assert stored["classes"].tolist() == ["calm", "fear", "joy"]
    for protocol, entry in content["protocols"].items():
        truth = stored[f"{protocol}/truth"]
        assert (truth == segments.label[stored[f"{protocol}/row"]]).all()
        assert (stored[f"{protocol}/subject"] == segments.subject[stored[f"{protocol}/row"]]).all()
        right = stored[f"{protocol}/probabilities"].argmax(axis=1) == truth
        group = stored[f"{protocol}/group"]
        of_groups = [right[group == one].mean() for one in np.unique(group)]
        assert entry["accuracy"]["value"] == pytest.approx(np.mean(of_groups), abs=1e-6)
        assert entry["accuracy"]["groups"]["std"] == pytest.approx(np.std(of_groups), abs=1e-6)


def test_plots_agree_with_the_metrics(scored):
    _, content, out = scored["class"]
    with (out / "p" / "confusion.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert {row["protocol"] for row in rows} == {"fewshot_subject_stimulus"}
    assert len(rows) == 3 * 4 * 12  # groups x test subjects x clips
    right = np.mean([row["actual"] == row["predicted"] for row in rows])
    entry = content["protocols"]["fewshot_subject_stimulus"]
    assert right == pytest.approx(entry["trial_level"]["accuracy"]["value"], abs=1e-6)
    with (out / "p" / "per_subject.csv").open() as lines:
        mine = [row for row in csv.DictReader(lines) if row["protocol"] == "zeroshot_subject"]
    assert [row["subject"] for row in mine] == ["01", "02", "03", "04", "05", "06"]
    mean = np.mean([float(row["accuracy"]) for row in mine])
    assert mean == pytest.approx(content["protocols"]["zeroshot_subject"]["accuracy"]["value"], abs=1e-5)
    with (out / "p" / "training_curve.csv").open() as lines:
        curve = [row for row in csv.DictReader(lines) if row["protocol"] == "fewshot_subject"]
    assert [int(row["epoch"]) for row in curve] == list(range(1, 61))
    assert float(curve[-1]["loss"]) < float(curve[0]["loss"])
    assert {row["watched_accuracy"] for row in curve} == {""}


def test_summary_rows_put_rivals_together(scored):
    content = scored["class"][1]
    rows = summary_rows([content | {"method": "mdjpt"}, content, {"loss": 1}, content | {"target": "another"}])
    assert len(rows) == 3 * len(PROTOCOLS)
    assert [row["target"] for row in rows[: len(PROTOCOLS)]] == ["another"] * len(PROTOCOLS)
    assert [(row["protocol"], row["method"]) for row in rows[len(PROTOCOLS) :][:3]] == [
        ("fewshot_subject_stimulus", "de"),
        ("fewshot_subject_stimulus", "mdjpt"),
        ("fewshot_subject", "de"),
    ]
    entry = content["protocols"]["fewshot_subject_stimulus"]
    assert rows[0]["accuracy"] == entry["accuracy"]["value"]
    assert rows[0]["leak_free"] is True
    assert rows[0]["chance"] == entry["chance"]["uniform"]


def test_from_files(tmp_path):
    segments = condition()
    rows = [
        np.flatnonzero((segments.subject == who) & (segments.trial == trial)) for who in range(4) for trial in (1, 2)
    ]
    trials = [
        TrialSegments(
            eeg=segments.eeg[mine],
            channels=segments.channels,
            subject=segments.subject_names[segments.subject[mine[0]]],
            session="1",
            trial=int(segments.trial[mine[0]]),
            stimulus=segments.stimulus_names[int(segments.stimulus[mine[0]])],
            stimulus_time=segments.stimulus_time[mine],
            recording_time=segments.recording_time[mine],
            label=segments.labels[segments.label[mine[0]]],
        )
        for mine in rows
    ]
    store = tmp_path / "eegmat.zarr"
    write_store(store, trials, StoreHeader("eegmat", "test", segments.rate_hz, segments.labels))
    with pytest.raises(UsageProblem, match="no split manifests"):
        evaluate_target("de", store, tmp_path, tmp_path / "m.json", tmp_path / "p")
    write_all(segments, tmp_path / "splits", settings=DRAWS)
    content = evaluate_target("de", store, tmp_path / "splits", tmp_path / "m.json", tmp_path / "p", settings=SETTINGS)
    assert list(content["protocols"]) == ["fewshot_subject", "zeroshot_subject", "mdjpt_fewshot"]
    assert set(content["not_applicable"]) == set(CLEAN)
    assert content["hashes"]["model"] is None


# -- fine-tuning -------------------------------------------------------------------------------------------------------


class Tuner:
    """Stands for a method's fine-tuning: remembers what it was given and answers by the nearest class mean of power."""

    across = False
    manifest = Recorder().manifest | {"method": "emod"}

    def __init__(self):
        self.given = []

    def described(self):
        return {"finetune": {"epochs": 1}}

    def fit(self, train, truth, n_classes, watch, seed):
        self.given.append((train, watch, seed))
        features = de_features(train.eeg, train.rate_hz)
        centres = np.stack([features[truth == one].mean(axis=0) for one in range(n_classes)])
        return Nearest(centres)


class Nearest:
    curve = ((1.0, None), (0.5, None))

    def __init__(self, centres):
        self.centres = centres

    def probabilities(self, segments):
        features = de_features(segments.eeg, segments.rate_hz)
        nearness = -((features[:, None] - self.centres) ** 2).sum(axis=2)
        weights = np.exp(nearness - nearness.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)


def test_fine_tuning_is_given_the_training_part_and_scored_on_the_test_part(tmp_path):
    segments, tuner = planted("class"), Tuner()
    splits = [
        make(protocol, segments, settings=SplitSettings(groups=2, validation="subject")) for protocol in PROTOCOLS
    ]
    quick = EvaluateSettings(resamples=50)
    content = evaluate("emod_finetuned", segments, splits, tmp_path / "m.json", tmp_path, tuner=tuner, settings=quick)
    assert list(content["protocols"]) == ["fewshot_subject_stimulus", "fewshot_subject"]
    assert {name for name, why in content["not_applicable"].items() if "Fine-tuning" in why} == set(PROTOCOLS) - set(
        content["protocols"]
    )
    folds = [fold for split in splits[:2] for fold in split.folds]
    assert len(tuner.given) == len(folds)
    for (train, watch, _), fold in zip(tuner.given, folds, strict=True):
        for given, part in ((train, fold.train), (watch[0], fold.validation)):
            assert {given.subject_names[index] for index in given.subject} == set(part.subjects)
            assert {given.stimulus_names[int(key)] for key in given.stimulus} == set(part.stimuli)
    assert len({seed for *_, seed in tuner.given}) == len(folds)
    for entry in content["protocols"].values():
        assert entry["transductive"] == {}
        assert entry["accuracy"]["value"] > 0.6
    assert content["protocols"]["fewshot_subject_stimulus"]["leak_free"]
    assert content["settings"] == {"finetune": {"epochs": 1}, "resamples": 50, "confidence": 0.95}
    with (tmp_path / "training_curve.csv").open() as lines:
        assert [row["loss"] for row in csv.DictReader(lines)] == ["1.0", "0.5"] * 2


def test_fine_tuning_that_scales_over_a_session_says_so(tmp_path):
    segments, tuner = planted("class", subjects=4), Tuner()
    tuner.across = True
    split = make("fewshot_subject", segments, settings=SplitSettings(groups=1))
    content = evaluate("emod_finetuned", segments, split, tmp_path / "m.json", tmp_path, tuner=tuner)
    assert list(content["protocols"]["fewshot_subject"]["transductive"]) == ["encoder_batch"]


def test_an_encoder_that_saw_a_test_subject_is_not_fine_tuned(tmp_path):
    segments, tuner = planted(), Tuner()
    tuner.manifest = Recorder(demo={"store": "x", "subjects": ["06"], "stimuli": []}).manifest
    split = make("fewshot_subject", segments, seed=0)
    with pytest.raises(LeakError, match="pre-trained on"):
        evaluate("emod_finetuned", segments, split, tmp_path / "m.json", tmp_path, tuner=tuner)
    assert tuner.given == []


@pytest.mark.parametrize(
    ("method", "options", "text"),
    [
        ("emod_finetuned", {"encoder": Recorder()}, "needs a pre-trained model to be fine-tuned"),
        ("emod", {"tuner": Tuner()}, "needs a frozen encoder"),
        ("emod_finetuned", {}, "needs a pre-trained model"),
        ("art_finetuned", {"tuner": Tuner()}, "The method is 'art_finetuned', the model was pre-trained by 'emod'"),
        ("de", {"tuner": Tuner()}, "takes no model"),
    ],
)
def test_method_and_model_belong_together(method, options, text, tmp_path):
    segments = planted(per_trial=1)
    with pytest.raises(UsageProblem, match=text):
        evaluate(method, segments, make("fewshot_subject", segments, seed=0), tmp_path / "m", tmp_path, **options)


def test_an_encoder_whose_features_stand_alone_uses_nothing_of_a_session(tmp_path):
    """EMOD's features do not depend on other segments: computed once for a subject, and the row says so."""
    segments, encoder = planted("class", subjects=4), Recorder()
    encoder.across = False
    quick = EvaluateSettings(mlp=MlpSettings(least_steps=1, epochs=1), resamples=0, normalisation="training")
    splits = [make(protocol, segments, settings=DRAWS) for protocol in CLEAN]
    content = evaluate("emod", segments, splits, tmp_path / "m.json", tmp_path, encoder=encoder, settings=quick)
    assert all(entry["transductive"] == {} for entry in content["protocols"].values())
    assert len(encoder.given) == 4


# -- baselines with a classifier of their own --------------------------------------------------------------------------

OWN = BaselineSettings(lstm=LstmSettings(least_steps=60, learning_rate=5e-3))


def test_the_names_of_baselines_are_the_same_everywhere():
    assert tuple(BASELINES) == get_args(BaselineName)


def uneven():
    """One class has half of the clips."""
    segments = planted("class")
    clip = segments.trial - 1
    segments.label = np.where(clip < 6, 1, np.where(clip < 9, 0, 2)).astype(np.int16)
    return segments


@pytest.mark.parametrize("method", ["majority", "prior"])
def test_answers_without_the_signal_score_what_chance_says(method, tmp_path):
    segments = uneven()
    content = evaluate(method, segments, all_splits(segments), tmp_path / "m.json", tmp_path, settings=SETTINGS)
    assert list(content["protocols"]) == ["fewshot_subject_stimulus", "fewshot_subject"]
    assert set(content["not_applicable"]) == set(PROTOCOLS) - set(content["protocols"])
    for entry in content["protocols"].values():
        assert entry["transductive"] == {}
        assert entry["accuracy"]["value"] == pytest.approx(entry["chance"]["majority"], abs=1e-6)
        assert entry["balanced_accuracy"]["value"] == pytest.approx(1 / 3)
        assert entry["chance"]["dealt"] == entry["balanced_accuracy"]["value"]
        assert entry["trial_level"]["accuracy"]["value"] == pytest.approx(0.5)
        assert entry["auroc"]["value"] == pytest.approx(0.5)
    with np.load(tmp_path / "predictions.npz") as stored:
        rows = np.unique(stored["fewshot_subject/probabilities"], axis=0)
    np.testing.assert_allclose(rows, [[0, 1, 0] if method == "majority" else [0.25, 0.5, 0.25]])
    assert content["settings"] == {"resamples": SETTINGS.resamples, "confidence": SETTINGS.confidence}
    with (tmp_path / "training_curve.csv").open() as lines:
        assert list(csv.DictReader(lines)) == []


@pytest.mark.parametrize(("method", "own"), [("de_linear", "linear"), ("de_lstm", "lstm")])
def test_other_classifiers_of_entropy_go_through_the_same_splits(method, own, tmp_path):
    segments = planted("class")
    splits = all_splits(segments)
    for name in ("a", "b"):
        content = evaluate(
            method, segments, splits, tmp_path / name / "m.json", tmp_path / name, settings=SETTINGS, baseline=OWN
        )
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert list(content["protocols"]) == ["fewshot_subject_stimulus", "fewshot_subject"]
    assert set(content["not_applicable"]) == set(PROTOCOLS) - set(content["protocols"])
    assert all("A classifier of its own" in reason for reason in content["not_applicable"].values())
    past = ["earlier_segments"] if method == "de_lstm" else []
    for split, entry in zip(splits, content["protocols"].values(), strict=False):
        assert entry["split"] == split.hash
        assert list(entry["transductive"]) == ["causal_normalisation", *past]
        assert entry["accuracy"]["value"] > 0.6
    assert content["protocols"]["fewshot_subject_stimulus"]["leak_free"]
    assert own in content["settings"]
    assert "mlp" not in content["settings"]


@pytest.mark.parametrize("method", ["prior", "de_linear", "eegnet"])
def test_baselines_take_no_model(method, tmp_path):
    segments = planted(per_trial=1)
    split = make("fewshot_subject", segments, seed=0)
    with pytest.raises(UsageProblem, match=f"The method '{method}' takes no model"):
        evaluate(method, segments, split, tmp_path / "m.json", tmp_path, encoder=Recorder())

"""A leak of each kind, planted, and what stops it.

The assertions themselves, unit by unit, are in test_splits.py and test_protocols.py; that clean protocols score at
chance where only a leak could score, and that the evaluation as written lets nothing through, in test_evaluate.py. Here
each kind is planted in a whole evaluation, also by a hand that signs the manifest again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eegpipe import audit, predictions
from eegpipe.evaluate import EvaluateSettings, evaluate, evaluate_target
from eegpipe.features import lds_smooth, trials
from eegpipe.loader import load
from eegpipe.models.art_settings import DEMO, ArtTraining
from eegpipe.models.baselines import MlpSettings, de_features
from eegpipe.models.emod_settings import EmodConfig, EmodTraining
from eegpipe.parts import Fold, Part
from eegpipe.predictions import FeatureCache, predict
from eegpipe.protocols import PROTOCOLS, TRANSDUCTIVE, SplitSettings
from eegpipe.splits import LeakError, Split, assert_claims, make, write_all
from eegpipe.train import Encoder, pretrain

from planted_segments import condition, in_sessions, planted, write_segments

EMOD = EmodConfig(hidden=8, heads=2, norm_groups=2, depth=1, ffn=8, projection=8, tokens_per_s=2, per_region=1)
QUICK = EvaluateSettings(mlp=MlpSettings(least_steps=1, epochs=1, hidden=(8, 4)), resamples=0)


@pytest.fixture(scope="module")
def segments():
    return planted("class", subjects=4, clips=9, per_trial=3)


def drawn(segments, protocol: str) -> Split:
    return make(protocol, segments, settings=SplitSettings(groups=1))


def scored(segments, split, tmp_path, *, method="de", settings=QUICK, **options) -> dict:
    content = evaluate(method, segments, split, tmp_path / "m.json", tmp_path / "p", settings=settings, **options)
    return content["protocols"][split.protocol]


def refused(segments, split, tmp_path, text: str, **options) -> None:
    """A :class:`LeakError` before anything is written."""
    with pytest.raises(LeakError, match=text):
        scored(segments, split, tmp_path, **options)
    assert not any(tmp_path.iterdir())


def resigned(split: Split, tmp_path, **changed) -> Split:
    """The manifest with other content and a hash that fits: as somebody would forge it."""
    path = tmp_path / "forged" / "split.json"
    path.parent.mkdir()
    replace(split, **changed).save(path)
    loaded = Split.load(path)
    path.unlink()
    path.parent.rmdir()
    return loaded


def with_first(split: Split, **parts: Part) -> tuple[Fold, ...]:
    return (replace(split.folds[0], **parts), *split.folds[1:])


# -- what is on both sides ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["fewshot_subject", "loso", "emod_faced"])
def test_the_same_subject(protocol, tmp_path):
    segments = planted("class", dataset="faced", subjects=6, clips=9, per_trial=2)
    split = drawn(segments, protocol)
    fold = split.folds[0]
    both = replace(fold.train, subjects=(*fold.train.subjects, fold.test.subjects[0]))
    forged = resigned(split, tmp_path, folds=with_first(split, train=both))
    refused(segments, forged, tmp_path, rf"1 subject\(s\) both in training and in test: {fold.test.subjects[0]}")


def test_the_same_subject_as_validation(tmp_path, segments):
    """The epoch would be chosen on a tested subject."""
    split = make("fewshot_subject", segments, settings=SplitSettings(groups=1, validation="subject"))
    fold = split.folds[0]
    watching = replace(fold.validation, subjects=fold.test.subjects[:1])
    forged = resigned(split, tmp_path, folds=with_first(split, validation=watching))
    refused(segments, forged, tmp_path, r"1 subject\(s\) both in training and in test")


@pytest.mark.parametrize("protocol", ["fewshot_subject_stimulus", "zeroshot_subject_stimulus", "loso_stimulus"])
def test_the_same_clip_where_clips_are_said_to_be_apart(protocol, tmp_path, segments):
    split = drawn(segments, protocol)
    fold = split.folds[0]
    both = replace(fold.train, stimuli=(*fold.train.stimuli, fold.test.stimuli[0]))
    forged = resigned(split, tmp_path, folds=with_first(split, train=both))
    refused(segments, forged, tmp_path, rf"1 stimulus\(s\) both in training and in test: {fold.test.stimuli[0]}")


def test_the_same_trial(tmp_path):
    """Each clip is seen in two sessions, so that sharing it is allowed; sharing a trial is not."""
    segments = in_sessions(planted("class", subjects=4, clips=9, per_trial=2), 2)
    split = drawn(segments, "within_trial_blocked")
    assert (split.disjoint["stimulus"], split.disjoint["trial"]) == (False, True)
    fold = split.folds[0]
    both = replace(
        fold.train,
        trials=(*fold.train.trials, fold.test.trials[0]),
        stimuli=tuple({*fold.train.stimuli, *fold.test.stimuli}),
    )
    forged = resigned(split, tmp_path, folds=with_first(split, train=both))
    refused(segments, forged, tmp_path, rf"1 trial\(s\) both in training and in test: .*{fold.test.trials[0]}")


def test_the_same_session(tmp_path):
    segments = in_sessions(planted("class", subjects=4, clips=9, per_trial=2), 2)
    split = drawn(segments, "within_session_blocked")
    both = replace(split.folds[0].train, sessions=("1", "2"))
    forged = resigned(split, tmp_path, folds=with_first(split, train=both))
    refused(segments, forged, tmp_path, r"session\(s\) both in training and in test")


@pytest.mark.parametrize(("step", "caught"), [(1.0, False), (0.9, True)])
def test_overlapping_windows(step, caught, tmp_path, segments):
    """Windows of one trial on both sides: refused by a protocol that says they share no sample, if they do."""
    overlapping = segments.select(np.arange(len(segments)))
    overlapping.stimulus_time = segments.stimulus_time * step
    split = drawn(overlapping, "art_within")
    assert split.disjoint["window"] is False
    forged = resigned(split, tmp_path, disjoint=dict(split.disjoint) | {"window": True})
    if caught:
        refused(overlapping, forged, tmp_path, r"trial\(s\) with windows that share samples")
    else:
        assert not scored(overlapping, forged, tmp_path)["leak_free"]


# -- what a manifest says of itself ------------------------------------------------------------------------------------


CLEAN = {"leaks": (), "leak_free": True}


@pytest.mark.parametrize(
    ("protocol", "claim", "text"),
    [
        ("fewshot_subject", CLEAN, "does not name the leak 'the same clips are on both sides"),
        ("fewshot_subject", {"leak_free": True}, r"leak_free is True beside 1 leak\(s\)"),
        (
            "fewshot_subject",
            CLEAN | {"disjoint": {"subject": True, "stimulus": "not applicable", "trial": True}},
            "says",
        ),
        ("fewshot_subject", CLEAN | {"disjoint": {"subject": True, "trial": True}}, "says 'None' of stimulus"),
        (
            "fewshot_subject",
            CLEAN | {"disjoint": {"subject": True, "stimulus": True, "trial": True}},
            r"stimulus\(s\) both in training and in test",
        ),
        ("fewshot_subject", {"test_selects": True}, "test data chooses the epoch"),
        ("mdjpt_fewshot", {"test_selects": False}, "test data does not choose the epoch"),
        ("mdjpt_fewshot", CLEAN, "does not name the leak"),
        ("mdjpt_zeroshot", CLEAN, "does not name the leak"),
        ("fewshot_subject_stimulus", {"transductive": tuple(TRANSDUCTIVE)}, "which the protocol does not"),
        (
            "fewshot_subject_stimulus",
            {"disjoint": {"subject": True, "stimulus": False, "trial": True}},
            "share what the protocol keeps apart: stimulus",
        ),
        ("emod_seed", CLEAN, "does not name the leak"),
        ("art_within", CLEAN, "does not name the leak"),
    ],
)
def test_a_manifest_that_hides_its_leak(protocol, claim, text, tmp_path):
    segments = planted("class", dataset="seed", subjects=4, clips=9, per_trial=2)
    if protocol == "emod_seed":
        segments = in_sessions(segments, 3)
    refused(segments, resigned(drawn(segments, protocol), tmp_path, **claim), tmp_path, text)


def test_a_fewshot_split_under_the_name_of_a_stricter_protocol(tmp_path, segments):
    split = drawn(segments, "fewshot_subject")
    forged = resigned(split, tmp_path, protocol="fewshot_subject_stimulus")
    refused(segments, forged, tmp_path, "share what the protocol keeps apart: stimulus")


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "cross_dataset"])  # test_across.py
def test_manifests_as_they_are_drawn_hide_nothing(protocol):
    name = {"emod_faced": "faced", "emod_seedv": "seed_v", "emod_seed": "seed"}
    dataset = next(
        (data for start, data in name.items() if protocol.startswith(start + "_") or protocol == start), "demo"
    )
    segments = planted("class", dataset=dataset, subjects=6, clips=15, per_trial=1, channels=1, seconds=0.1)
    assert_claims(drawn(in_sessions(segments, 3), protocol), condition=False)


def test_clips_do_not_apply_only_where_the_class_is_the_condition():
    segments = condition()
    split = drawn(segments, "fewshot_subject")
    assert split.disjoint["stimulus"] == "not applicable"
    assert_claims(split, condition=True)
    with pytest.raises(LeakError, match="'not applicable' of stimulus"):
        assert_claims(split, condition=False)


# -- normalisation and smoothing over test data ------------------------------------------------------------------------


def scaled_over_all(treated, raw, rows, segments):  # noqa: ARG001
    """z-scores over training and test part together."""
    known = np.concatenate(list(raw.values()))
    return {part: (values - known.mean(axis=0)) / known.std(axis=0) for part, values in raw.items()}


def scaled_over_the_test_part(treated, raw, rows, segments):  # noqa: ARG001
    test = raw["test"]
    return treated | {"test": (test - test.mean(axis=0)) / test.std(axis=0)}


def scaled_over_each_test_session(treated, raw, rows, segments):
    """As published code often does: a session is z-scored by all of itself, later segments included."""
    test = raw["test"].copy()
    for owner in np.unique(segments.subject[rows["test"]]):
        mine = segments.subject[rows["test"]] == owner
        test[mine] = (test[mine] - test[mine].mean(axis=0)) / test[mine].std(axis=0)
    return treated | {"test": test}


def smoothed_within_test_trials(treated, raw, rows, segments):  # noqa: ARG001
    test = treated["test"].copy()
    for trial in trials(segments, rows["test"]):
        at = np.searchsorted(rows["test"], trial)
        test[at] = lds_smooth(test[at])
    return treated | {"test": test}


def smoothed_across_parts(treated, raw, rows, segments):  # noqa: ARG001
    """Means of neighbours in time over all segments of a subject, whichever part they are in."""
    parts = [part for part in rows if len(rows[part])]
    joined = np.concatenate([treated[part] for part in parts])
    positions = np.concatenate([rows[part] for part in parts])
    result = joined.copy()
    for owner in np.unique(segments.subject[positions]):
        mine = np.flatnonzero(segments.subject[positions] == owner)
        mine = mine[np.argsort(positions[mine])]
        padded = np.concatenate([joined[mine[:1]], joined[mine], joined[mine[-1:]]])
        result[mine] = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    lengths = np.cumsum([len(treated[part]) for part in parts])[:-1]
    return treated | dict(zip(parts, np.split(result, lengths), strict=True))


TRAINING, OTHERS = (f"change the treated features of {whose}" for whose in ("the train part", "other test segments"))
ANSWERS = "test segments change with other test segments"


@pytest.mark.parametrize("normalisation", ["causal", "training"])
@pytest.mark.parametrize(
    ("leak", "protocol", "text"),
    [
        (scaled_over_all, "fewshot_subject_stimulus", TRAINING),
        (scaled_over_all, "zeroshot_subject", TRAINING),
        (scaled_over_all, "within_trial_blocked", TRAINING),
        (scaled_over_the_test_part, "fewshot_subject_stimulus", OTHERS),
        (scaled_over_each_test_session, "fewshot_subject_stimulus", OTHERS),
        (scaled_over_each_test_session, "loso", OTHERS),
        (smoothed_within_test_trials, "fewshot_subject_stimulus", OTHERS),
        (smoothed_within_test_trials, "within_trial_blocked", OTHERS),
        (smoothed_across_parts, "within_trial_blocked", TRAINING),
    ],
)
def test_a_treatment_that_reaches_over_test_data(leak, protocol, text, normalisation, tmp_path, segments, monkeypatch):
    split = drawn(segments, protocol)
    settings = replace(QUICK, normalisation=normalisation, mlp=MlpSettings(least_steps=40, learning_rate=5e-3))
    scored(segments, split, tmp_path / "honest", settings=settings)
    honest = predictions.treated

    def treated(raw, rows, segments, settings, *, published):
        return leak(honest(raw, rows, segments, settings, published=published), raw, rows, segments)

    monkeypatch.setattr(predictions, "treated", treated)
    (tmp_path / "planted").mkdir()
    refused(segments, split, tmp_path / "planted", text, settings=settings)


def test_what_is_declared_is_no_leak_but_costs_the_mark(tmp_path, segments):
    """The same smoothing, asked for by its setting: the probe passes, and the row is not leak free."""
    split = drawn(segments, "fewshot_subject_stimulus")
    assert scored(segments, split, tmp_path)["leak_free"]
    row = scored(segments, split, tmp_path, settings=replace(QUICK, smoothing="lds"))
    assert not row["leak_free"]
    assert "lds_smoothing" in row["transductive"]


def test_published_terms_pass_under_their_own_name_only(tmp_path, segments):
    for protocol in ("mdjpt_fewshot", "mdjpt_zeroshot"):
        row = scored(segments, drawn(segments, protocol), tmp_path)
        assert not row["leak_free"]
        assert "priors_over_all_subjects" in row["transductive"]


class WholeTest:
    """A classifier of features that compares each test segment with the mean of all of them, and does not say so."""

    reads_past = False

    def fit(self, train, truth, n_classes, watch, seed):  # noqa: ARG002
        self.centres = np.stack([train.features[truth == one].mean(axis=0) for one in range(n_classes)])
        self.curve = []
        return self

    def probabilities(self, part):
        offset = part.features - part.features.mean(axis=0)
        nearness = -((offset[:, None] - self.centres) ** 2).mean(axis=2)
        weights = np.exp(nearness - nearness.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)


class EachAlone(WholeTest):
    def probabilities(self, part):
        pieces = [super(EachAlone, self).probabilities(replace(part, features=row[None])) for row in part.features]
        return np.concatenate(pieces)


@pytest.mark.parametrize(("head", "leaks"), [(WholeTest(), True), (EachAlone(), False)])
def test_a_classifier_that_reads_the_whole_test_part(head, leaks, segments):
    features = FeatureCache(segments, None, QUICK, head)
    arguments = (drawn(segments, "fewshot_subject"), segments, features, QUICK, 0, lambda *_, **__: None)
    if leaks:
        with pytest.raises(LeakError, match=ANSWERS):
            predict(*arguments)
    else:
        predict(*arguments)


class Tuner:
    """Stands for a method's own training: the nearest class mean of powers, scaled over ``scope`` of the test part."""

    manifest = {"datasets": {"other": {"store": "x", "subjects": ["01"], "stimuli": []}}, "method": "emod"}  # noqa: RUF012
    curve = ()

    def __init__(self, scope: str, *, across: bool) -> None:
        self.scope = scope
        self.across = across

    def described(self):
        return {}

    def powers(self, segments, scope: str):
        values = de_features(segments.eeg, segments.rate_hz)
        owner = {"all": np.zeros(len(values)), "subject": segments.subject, "one": np.arange(len(values))}[scope]
        for one in np.unique(owner):
            values[owner == one] -= values[owner == one].mean(axis=0 if scope != "one" else None)
        return values

    def fit(self, train, truth, n_classes, watch, seed):  # noqa: ARG002
        powers = self.powers(train, self.scope)
        self.centres = np.stack([powers[truth == one].mean(axis=0) for one in range(n_classes)])
        return self

    def probabilities(self, segments):
        nearness = -((self.powers(segments, self.scope)[:, None] - self.centres) ** 2).mean(axis=2)
        weights = np.exp(nearness - nearness.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("scope", "across", "leaks"),
    [
        ("one", False, False),
        ("subject", True, False),
        ("subject", False, True),
        ("all", False, True),
        ("all", True, True),
    ],
)
def test_a_methods_own_training_that_scales_over_test_data(scope, across, leaks, tmp_path, segments):
    split, tuner = drawn(segments, "fewshot_subject_stimulus"), Tuner(scope, across=across)
    if leaks:
        refused(segments, split, tmp_path, ANSWERS, method="emod_finetuned", tuner=tuner)
        return
    row = scored(segments, split, tmp_path, method="emod_finetuned", tuner=tuner)
    assert list(row["transductive"]) == (["encoder_batch"] if across else [])


@pytest.fixture(scope="module")
def target(tmp_path_factory, segments):
    """The segments as a store, with splits; an encoder that scales over sessions and one that does not."""
    out = tmp_path_factory.mktemp("target")
    write_segments(out / "demo.zarr", segments)
    write_all(segments, out / "splits", protocols=["fewshot_subject_stimulus"], settings=SplitSettings(groups=1))
    source = planted("class", dataset="other", subjects=3, clips=6, per_trial=3, seed=1)
    training = ArtTraining(epochs=0, steps_per_epoch=1)
    pretrain([source], out / "art", config=replace(DEMO, batch_items=64), settings=training, seed=0, threads=1)
    return out


def from_files(target, tmp_path, model: str = "art") -> dict:
    places = (target / "demo.zarr", target / "splits", tmp_path / "m.json", tmp_path / "p")
    return evaluate_target(model, *places, model=target / model, settings=QUICK)


def test_an_encoder_that_scales_over_sessions_and_says_that_it_does_not(target, tmp_path, monkeypatch):
    row = from_files(target, tmp_path / "honest")["protocols"]["fewshot_subject_stimulus"]
    assert "encoder_batch" in row["transductive"]
    monkeypatch.setattr(Encoder, "across", False)
    with pytest.raises(LeakError, match="says that it looks at each segment alone"):
        from_files(target, tmp_path / "planted")
    assert not (tmp_path / "planted").exists()


def test_an_encoder_that_looks_at_each_segment_alone_passes(segments):
    class Powers:
        across = False

        def features(self, given):
            return de_features(given.eeg, given.rate_hz)

    audit.assert_alone(Powers(), segments)


# -- an encoder that knows the tested ----------------------------------------------------------------------------------


def test_an_encoder_that_was_pre_trained_on_the_tested_subjects(target, tmp_path):
    """With real files, and under another name of the data set: the store is recognised by its digest."""
    known = load(target / "demo.zarr")
    for name in ("demo", "renamed"):
        folder = target / name / "emod"
        source = replace(known, dataset=name)
        source = replace(source, valence=np.linspace(-3, 3, len(known), dtype=np.float32))
        source = replace(source, arousal=np.zeros(len(known), dtype=np.float32))
        pretrain([source], folder, config=EMOD, settings=EmodTraining(epochs=0), seed=0, threads=1)
        places = (target / "demo.zarr", target / "splits", tmp_path / "m.json", tmp_path / "p")
        for method in ("emod", "emod_finetuned"):
            with pytest.raises(LeakError, match=r"pre-trained on \d subject\(s\) of the test part"):
                evaluate_target(method, *places, model=folder, settings=QUICK)
    assert not any(tmp_path.iterdir())


# -- what chooses the epoch --------------------------------------------------------------------------------------------


def test_an_epoch_that_test_labels_choose_changes_predictions(segments, monkeypatch):
    """Shows that the check of test_evaluate.py sees it: there, other labels of the test part change no prediction."""
    split = drawn(segments, "fewshot_subject")
    tested = np.isin(segments.subject, [segments.subject_names.index(name) for name in split.folds[0].test.subjects])
    swapped = segments.select(np.arange(len(segments)))
    swapped.label = np.where(tested, (swapped.label + 1) % 3, swapped.label).astype(np.int16)
    settings = replace(QUICK, mlp=MlpSettings(least_steps=60, learning_rate=5e-3))

    def answers(data):
        features = FeatureCache(data, None, settings)
        return predict(split, data, features, settings, 0, lambda *_, **__: None).probabilities

    assert np.array_equal(answers(segments), answers(swapped))
    honest = predictions._shared_classifier

    def chosen_on_test(split, *arguments):
        return honest(replace(split, test_selects=True), *arguments)

    monkeypatch.setattr(predictions, "_shared_classifier", chosen_on_test)
    assert not np.array_equal(answers(segments), answers(swapped))

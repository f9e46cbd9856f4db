"""Protocols beyond the usual five: who and what is apart, whom they apply to, and that a leak shows in the score."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.evaluate import EvaluateSettings, evaluate
from eegpipe.loader import Segments
from eegpipe.models.baselines import MlpSettings, de_features
from eegpipe.parts import Fold, Part
from eegpipe.protocols import PROTOCOLS, USUAL, NotApplicable, SplitSettings, clean_counterpart
from eegpipe.splits import LeakError, Split, assert_disjoint, assert_unseen, make, part_mask, write_all

from planted_segments import condition, in_sessions, planted, rated

# One that needs several data sets is in test_across.py.
NEW = [name for name in PROTOCOLS if name not in USUAL and name != "cross_dataset"]
WATCHED = SplitSettings(validation="subject")


def small(dataset: str = "demo", *, effect="nothing", subjects: int = 6, clips: int = 12, **options) -> Segments:
    return planted(effect, dataset=dataset, subjects=subjects, clips=clips, channels=1, seconds=0.1, **options)


def seed_v() -> Segments:
    """15 trials a session, each five of them with every class."""
    return in_sessions(small("seed_v", effect="class", clips=15), 3, other_clips=True)


def home(protocol: str) -> Segments:
    """Made-up segments of a data set that the protocol applies to."""
    if "seedv" in protocol:
        return seed_v()
    if "emod_seed" in protocol:
        return in_sessions(small("seed"), 3)
    if "faced" in protocol:
        return small("faced", subjects=8)
    return in_sessions(small(), 2)


@pytest.fixture(scope="module")
def homes() -> dict[str, Segments]:
    return {protocol: home(protocol) for protocol in NEW}


@pytest.fixture(scope="module")
def splits(homes) -> dict[str, Split]:
    return {protocol: make(protocol, segments, seed=0) for protocol, segments in homes.items()}


def unit_names(segments: Segments, mask: np.ndarray, unit: str) -> set[tuple[int, ...]]:
    columns = {
        "subject": (segments.subject,),
        "session": (segments.subject, segments.session),
        "stimulus": (segments.stimulus,),
        "trial": (segments.subject, segments.session, segments.trial, segments.stimulus),
    }[unit]
    return set(zip(*(column[mask].tolist() for column in columns), strict=True))


# -- who and what is apart ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", NEW)
def test_parts_are_as_disjoint_as_the_manifest_says(protocol, homes, splits):
    segments, split = homes[protocol], splits[protocol]
    shared = dict.fromkeys(("subject", "session", "stimulus", "trial"), False)
    for fold in split.folds:
        train, watched, test = (part_mask(fold, part, segments) for part in ("train", "validation", "test"))
        assert train.any()
        assert test.any()
        assert not (train & watched).any()
        assert not ((train | watched) & test).any()
        assert set(segments.label[train]) == {0, 1, 2}
        for unit in shared:
            shared[unit] |= bool(unit_names(segments, train | watched, unit) & unit_names(segments, test, unit))
        assert_disjoint(fold, segments, [unit for unit, apart in split.disjoint.items() if apart is True])
    assert {unit: split.disjoint[unit] for unit in shared} == {unit: not value for unit, value in shared.items()}
    assert all(split.disjoint[unit] is True for unit in PROTOCOLS[protocol].apart)


@pytest.mark.parametrize("protocol", NEW)
def test_a_group_tests_nothing_twice(protocol, homes, splits):
    segments, folds = homes[protocol], splits[protocol].folds
    assert {fold.group for fold in folds} == {"all"}
    times = sum(part_mask(fold, "test", segments).astype(int) for fold in folds)
    everything = PROTOCOLS[protocol].kind != "parts" and protocol != "art_within"
    assert times.max() == 1
    assert bool(times.min()) == everything
    if protocol == "art_within":
        assert times.sum() == pytest.approx(0.2 * len(segments), rel=0.15)


LEAK_FREE = {
    "mdjpt_zeroshot": False,
    "loso_stimulus": True,
    "loso": False,
    "kfold_subject_stimulus": True,
    "kfold_subject": False,
    "within_session_blocked_stimulus": True,
    "within_session_blocked": False,  # both sessions show the same clips
    "within_trial_blocked_stimulus": True,
    "within_trial_blocked": False,
    "art_within": False,
    "emod_faced_stimulus": True,
    "emod_faced": False,
    "emod_seedv_subject": True,
    "emod_seedv": False,
    "emod_seed_subject_stimulus": True,
    "emod_seed": False,
}


@pytest.mark.parametrize("protocol", NEW)
def test_only_protocols_without_a_leak_are_called_leak_free(protocol, splits):
    split = splits[protocol]
    assert split.leak_free == LEAK_FREE[protocol] == (not split.leaks)
    assert not split.test_selects


def test_each_leak_of_a_paper_is_named(splits):
    def named(protocol: str) -> list[bool]:
        text = " ".join(splits[protocol].leaks)
        words = (
            "same clips",
            "same subjects",
            "windows of one trial",
            "samples in common",
            "all subjects, tested ones",
        )
        return [one in text for one in words]

    assert named("mdjpt_zeroshot") == [True, False, False, False, True]
    assert named("art_within") == [True, False, True, True, False]
    assert named("emod_faced") == [True, False, False, False, False]
    assert named("emod_seedv") == [False, True, False, False, False]
    assert named("emod_seed") == [True, True, False, False, False]


def test_where_sessions_show_other_clips_whole_sessions_and_trials_are_leak_free():
    segments = in_sessions(small(), 2, other_clips=True)
    for protocol in ("within_session_blocked", "within_trial_blocked"):
        assert make(protocol, segments, seed=0).leak_free
        with pytest.raises(NotApplicable, match=f"{protocol} keeps clips apart already"):
            make(f"{protocol}_stimulus", segments, seed=0)


def test_every_leaky_protocol_has_a_counterpart_that_is_leak_free_somewhere(splits):
    free = {name for name, split in splits.items() if split.leak_free}
    free |= {"fewshot_subject_stimulus", "zeroshot_subject_stimulus", "cross_dataset"}
    for protocol in PROTOCOLS:
        found = clean_counterpart(protocol, free)
        assert (found is None) == (protocol in free), protocol
        assert found is None or PROTOCOLS[found].kind == PROTOCOLS[protocol].kind
    # The next in line where the first one is leaky in this data set, and none where no one is clean.
    assert clean_counterpart("art_within", {"within_trial_blocked"}) == "within_trial_blocked"
    assert clean_counterpart("art_within", {"within_trial_blocked_stimulus"}) == "within_trial_blocked_stimulus"
    assert clean_counterpart("art_within", {"fewshot_subject_stimulus"}) is None


# -- how they are drawn ------------------------------------------------------------------------------------------------


def test_trials_of_a_subject_are_dealt_with_each_class_on_both_sides():
    segments = small(clips=15)
    split = make("within_trial_blocked", segments, seed=0)
    assert len(split.folds) == 6 * 5
    for fold in split.folds:
        assert len(fold.test.trials) == 3
        assert len(fold.train.trials) == 12
        assert set(segments.label[part_mask(fold, "test", segments)]) == {0, 1, 2}
    by_subject = {fold.test.subjects: fold.test.stimuli for fold in split.folds if fold.name.endswith("trials-1")}
    assert len(set(by_subject.values())) > 1  # each subject's trials are drawn anew
    few = make("within_trial_blocked", small(clips=6), seed=0)
    assert len(few.folds) == 6 * 2  # two trials of each class


def test_a_subject_without_two_trials_of_a_class_is_left_out_by_name():
    segments = small(subjects=4, clips=8, n_classes=2)
    valence = {
        (subject, clip): -1.0 if clip.endswith(("1", "3") if subject != "02" else "1") else 1.0
        for subject in segments.subject_names
        for clip in segments.stimulus_names.values()
    }
    own = rated(segments, valence)
    split = make("within_trial_blocked", own, seed=0)
    assert {fold.test.subjects for fold in split.folds} == {("01",), ("03",), ("04",)}
    assert any(note.startswith("left out") and note.endswith(": 02") for note in split.notes)
    with pytest.raises(NotApplicable, match="no subject with two trials of every class"):
        make("within_trial_blocked", own.select(own.subject == 1), seed=0)


def test_a_session_is_tested_by_the_others(splits):
    for fold in splits["within_session_blocked"].folds:
        assert sorted(fold.train.sessions + fold.test.sessions) == ["1", "2"]
        assert fold.train.subjects == fold.test.subjects
    assert len(splits["within_session_blocked"].folds) == 6 * 2
    assert len(splits["within_session_blocked_stimulus"].folds) == 6 * 2 * 4  # four clips of each class


@pytest.mark.parametrize("protocol", ["within_session_blocked", "within_session_blocked_stimulus"])
@pytest.mark.parametrize("settings", [SplitSettings(), WATCHED])
def test_a_session_of_one_trial_leaves_the_subject_out(protocol, settings, homes):
    """With clips apart the other sessions may then hold nothing at all to train with."""
    segments = homes[protocol]
    kept = segments.select((segments.subject != 1) | (segments.session != 1) | (segments.trial == 1))
    split = make(protocol, kept, settings=settings)
    assert {fold.test.subjects for fold in split.folds} == {("01",), ("03",), ("04",), ("05",), ("06",)}
    assert any(note.startswith("left out") and note.endswith(": 02") for note in split.notes)


def test_subjects_go_round_in_turn_or_in_folds(splits):
    assert [fold.test.subjects for fold in splits["loso"].folds] == [(f"{number:02d}",) for number in range(1, 7)]
    tested = [name for fold in splits["kfold_subject"].folds for name in fold.test.subjects]
    assert sorted(tested) == [f"{number:02d}" for number in range(1, 7)]
    assert len(splits["kfold_subject"].folds) == 5
    three = make("kfold_subject", home("kfold_subject"), settings=SplitSettings(subject_folds=3))
    assert [len(fold.test.subjects) for fold in three.folds] == [2, 2, 2]


@pytest.mark.parametrize("protocol", ["loso_stimulus", "kfold_subject_stimulus", "zeroshot_subject_stimulus"])
def test_a_subject_without_clips_of_a_fold_is_tested_in_the_others(protocol, tmp_path):
    """Trials are missing, or were rated in the middle: an empty test part has no chance and no score."""
    segments = planted(subjects=3, clips=6, n_classes=2, per_trial=1, channels=2)
    first = make(protocol, segments, seed=0).folds[0]
    (name,) = first.test.subjects
    kept = segments.select(~part_mask(first, "test", segments))
    split = make(protocol, kept, seed=0)
    assert len(split.folds) == 3 * 3 - 1
    tested = np.sum([part_mask(fold, "test", kept) for fold in split.folds], axis=0)
    assert (tested == 1).all()
    assert sum(fold.test.subjects == (name,) for fold in split.folds) == 2
    assert scored(kept, [protocol], tmp_path)["protocols"][protocol]["n_subjects"] == 3


def test_a_fifth_of_the_windows_of_each_class_is_drawn():
    segments = small(clips=12, per_trial=5)
    split = make("art_within", segments, seed=0)
    for fold in split.folds:
        test = part_mask(fold, "test", segments)
        assert np.bincount(segments.label[test]).tolist() == [4, 4, 4]  # a fifth of 4 trials of 5 windows
        whole = part_mask(fold, "train", segments) | test
        assert set(segments.subject[whole]) == {segments.subject_names.index(fold.test.subjects[0])}
        assert whole.sum() == 60
    other = make("art_within", segments, seed=1)
    assert (part_mask(other.folds[0], "test", segments) != part_mask(split.folds[0], "test", segments)).any()
    order = np.random.default_rng(0).permutation(len(segments))
    drawn = part_mask(split.folds[0], "test", segments)
    assert (part_mask(split.folds[0], "test", segments.select(order)) == drawn[order]).all()


def test_emods_parts_of_faced_are_the_papers_with_the_papers_subjects():
    segments = planted(dataset="faced", subjects=123, clips=6, per_trial=1, channels=1, seconds=0.1)
    split = make("emod_faced", segments, seed=0)
    (fold,) = split.folds
    names = segments.subject_names
    assert (fold.train.subjects, fold.validation.subjects, fold.test.subjects) == (
        names[:80],
        names[80:100],
        names[100:],
    )
    assert any("the paper's subjects" in note for note in split.notes)
    fewer = make("emod_faced", home("emod_faced"), seed=0)
    counts = [len(part.subjects) for part in (fewer.folds[0].train, fewer.folds[0].validation, fewer.folds[0].test)]
    assert counts == [6, 1, 1]
    assert any("proportion" in note and "of 8, 6 train" in note for note in fewer.notes)
    with pytest.raises(DataProblem, match="at least 3"):
        make("emod_faced", small("faced", subjects=2), seed=0)


def test_emods_parts_of_seed_v_are_trials_and_of_seed_sessions(homes, splits):
    (fold,) = splits["emod_seedv"].folds
    segments = homes["emod_seedv"]
    for part, numbers in (("train", range(1, 6)), ("validation", range(6, 11)), ("test", range(11, 16))):
        mask = part_mask(fold, part, segments)
        assert set(segments.trial[mask]) == set(numbers)
        assert len(unit_names(segments, mask, "session")) == 6 * 3
    (fold,) = splits["emod_seed"].folds
    assert (fold.train.sessions, fold.validation.sessions, fold.test.sessions) == (("1",), ("2",), ("3",))
    for protocol in ("emod_seedv_subject", "emod_seed_subject_stimulus"):
        for fold in splits[protocol].folds:
            parts = (fold.train.subjects, fold.validation.subjects, fold.test.subjects)
            assert sorted(name for part in parts for name in part) == sorted(segments.subject_names)


@pytest.mark.parametrize(
    "protocol", ["loso_stimulus", "kfold_subject", "within_trial_blocked", "within_session_blocked"]
)
def test_validation_is_taken_from_the_training_part(protocol, homes, splits):
    segments = homes[protocol]
    watched = make(protocol, segments, settings=WATCHED)
    for before, fold in zip(splits[protocol].folds, watched.folds, strict=True):
        assert before.validation is None
        train, chosen = (part_mask(fold, part, segments) for part in ("train", "validation"))
        assert set(segments.label[chosen]) == {0, 1, 2}
        assert ((train | chosen) == part_mask(before, "train", segments)).all()
        assert (part_mask(fold, "test", segments) == part_mask(before, "test", segments)).all()
        assert_disjoint(fold, segments, [unit for unit, apart in watched.disjoint.items() if apart is True])


# -- what a data set allows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "segments", "reason"),
    [
        ("within_session_blocked", small(), "one session"),
        ("within_session_blocked_stimulus", small(), "one session"),
        ("within_trial_blocked_stimulus", small(), "no subject saw a clip twice"),
        ("within_trial_blocked", small(clips=3), "two trials of every class"),
        ("within_trial_blocked", condition(), "two trials of every class"),
        ("loso_stimulus", condition(), "class is the condition"),
        ("loso_stimulus", small(clips=3), "one clip of the class"),
        ("emod_faced", small(), "EMOD for FACED and mean nothing in demo"),
        ("emod_seedv", small("seed"), "EMOD for SEED-V and mean nothing in seed"),
        ("emod_seedv", small("seed_v", clips=9), "lacks trials"),
        ("emod_seed", small("seed"), "three sessions, seed has 1 here"),
    ],
)
def test_a_protocol_that_makes_no_sense_is_refused_with_its_reason(protocol, segments, reason):
    with pytest.raises(NotApplicable, match=reason):
        make(protocol, segments, seed=0)


def test_only_what_is_asked_for_is_written(tmp_path):
    segments = small(subjects=4)
    wanted = SplitSettings(protocols=("art_within", "within_session_blocked"))
    assert [path.name for path in write_all(segments, tmp_path, settings=wanted)] == ["art_within.json"]
    assert (tmp_path / "not_applicable.tsv").read_text().splitlines()[1:] == [
        "within_session_blocked\tdemo has one session of each subject, so there is no other one to test on."
    ]
    assert [path.name for path in write_all(segments, tmp_path, protocols=["loso"])] == ["loso.json"]
    assert [path.name for path in tmp_path.glob("*.json")] == ["loso.json"]
    with pytest.raises(UsageProblem, match="Did you mean 'loso'"):
        write_all(segments, tmp_path, protocols=["losso"])


# -- hashes and files --------------------------------------------------------------------------------------------------

IN_A_FRESH_PROCESS = """
from eegpipe.splits import make
from test_protocols import NEW, home
print(*(make(protocol, home(protocol), seed=0).hash for protocol in NEW))
"""


def test_a_fresh_process_draws_the_same(splits):
    environment = os.environ | {"PYTHONHASHSEED": "20"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", IN_A_FRESH_PROCESS]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert printed == [split.hash for split in splits.values()]


@pytest.mark.parametrize("protocol", NEW)
def test_the_hash_follows_the_trials_and_nothing_else(protocol, homes, splits):
    segments, known = homes[protocol], splits[protocol].hash
    order = np.random.default_rng(0).permutation(len(segments))
    assert make(protocol, segments.select(order), seed=0).hash == known
    assert make(protocol, segments.select(segments.stimulus_time == 0), seed=0).hash == known  # another windowing
    everything = SplitSettings(protocols=tuple(PROTOCOLS))
    assert make(protocol, segments, settings=everything).hash == known  # what else is made does not matter
    missing = (segments.subject != 3) | (segments.stimulus != 1000)
    assert make(protocol, segments.select(missing), seed=0).hash != known


@pytest.mark.parametrize("protocol", NEW)
def test_a_manifest_comes_back_from_its_file(protocol, tmp_path, splits):
    split = splits[protocol]
    split.save(tmp_path / "split.json")
    loaded = Split.load(tmp_path / "split.json")
    assert loaded.hash == split.hash
    assert loaded.folds == split.folds


def test_a_changed_draw_of_windows_changes_the_hash_and_an_unknown_entry_is_refused(tmp_path, splits):
    split = splits["art_within"]
    test = split.folds[0].test
    moved = replace(split.folds[0], test=replace(test, windows=replace(test.windows, seed=1)))
    assert replace(split, folds=(moved, *split.folds[1:])).hash != split.hash
    path = tmp_path / "split.json"
    split.save(path)
    content = json.loads(path.read_text())
    content["folds"][0]["test"]["recordings"] = ["1"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataProblem, match="unknown entry recordings"):
        Split.load(path)


# -- assertions --------------------------------------------------------------------------------------------------------


def test_an_overlap_of_sessions_trials_and_windows_is_an_error():
    segments = in_sessions(small(), 2)
    clips = tuple(segments.stimulus_names.values())

    def fold(train: Part, test: Part) -> Fold:
        return Fold("made", "group", train, None, test)

    one, two = Part(("01",), clips, ("1",)), Part(("01",), clips, ("2",))
    assert_disjoint(fold(one, two), segments, ("session", "trial", "window"))
    with pytest.raises(LeakError, match=r"stimulus"):
        assert_disjoint(fold(one, two), segments, ("stimulus",))
    trials = tuple(f"1/{number}/demo/{number:02d}" for number in range(1, 13))
    first, last = Part(("01",), clips, None, trials[:7]), Part(("01",), clips, None, trials[7:])
    assert_disjoint(fold(first, last), segments, ("stimulus", "trial", "window"))
    with pytest.raises(LeakError, match=r"1 session\(s\).*: 01/1"):
        assert_disjoint(fold(first, last), segments, ("session",))
    with pytest.raises(LeakError, match=r"1 trial\(s\) both in training and in test: 01/1/7/demo/07"):
        assert_disjoint(fold(first, replace(last, trials=trials[6:])), segments, ("trial",))
    with pytest.raises(LeakError, match=r"1 trial\(s\) with windows that share samples.*01/1/7/demo/07"):
        assert_disjoint(fold(first, replace(last, trials=trials[6:])), segments, ("window",))


def test_windows_that_touch_share_no_sample_and_windows_that_overlap_do():
    segments = small(clips=12, per_trial=5)
    (fold, *_) = make("art_within", segments, seed=0).folds
    assert_disjoint(fold, segments, ("window",))  # one window begins where the other ends
    with pytest.raises(LeakError, match="trial"):
        assert_disjoint(fold, segments, ("trial",))
    overlapping = segments.select(np.arange(len(segments)))
    overlapping.stimulus_time = segments.stimulus_time * 0.9
    with pytest.raises(LeakError, match="share samples"):
        assert_disjoint(fold, overlapping, ("window",))


def test_a_name_that_the_store_lacks_is_an_error():
    segments = small()
    clips = tuple(segments.stimulus_names.values())
    for part in (Part(("01",), clips, ("9",)), Part(("01",), clips, None, ("1/99/demo/01",))):
        with pytest.raises(DataProblem, match="the name"):
            part_mask(Fold("made", "group", part, None, part), "train", segments)


def knowing(segments: Segments, **more) -> dict:
    seen = {"store": "x", "subjects": list(segments.subject_names), "stimuli": list(segments.stimulus_names.values())}
    return {"datasets": {segments.dataset: seen}} | more


@pytest.mark.parametrize("protocol", NEW)
def test_an_encoder_that_saw_test_subjects_is_refused_unless_that_was_asked_for(protocol, homes, splits):
    segments, split = homes[protocol], splits[protocol]
    asked = knowing(segments, tested_too=segments.dataset, labels="none")
    for manifest in (knowing(segments), knowing(segments, labels="none"), asked | {"labels": "valence"}, asked):
        if protocol == "art_within" and manifest is asked:
            assert_unseen(manifest, segments, split.folds[0], split)
        else:
            with pytest.raises(LeakError, match="pre-trained on"):
                assert_unseen(manifest, segments, split.folds[0], split)


# -- evaluation --------------------------------------------------------------------------------------------------------

SETTINGS = EvaluateSettings(mlp=MlpSettings(least_steps=60, learning_rate=2e-3), resamples=50)


class Whole:
    """An encoder of differential entropies that has seen the target by request."""

    across = True

    def __init__(self, segments: Segments) -> None:
        self.manifest = knowing(segments, tested_too=segments.dataset, labels="none")

    def features(self, segments: Segments) -> np.ndarray:
        return de_features(segments.eeg, segments.rate_hz)


def scored(segments: Segments, protocols, out: Path, method: str = "de", **options) -> dict:
    splits = [make(protocol, segments, seed=0) for protocol in protocols]
    return evaluate(method, segments, splits, out / "m.json", out, settings=SETTINGS, seed=1, **options)


@pytest.mark.parametrize("protocol", NEW)
def test_each_protocol_is_scored_and_finds_what_all_subjects_share(protocol, tmp_path):
    names = {"faced": "faced", "seedv": "seed_v", "emod_seed": "seed"}
    dataset = next((name for word, name in names.items() if word in protocol), "demo")
    clips = 15 if dataset == "seed_v" else 9
    segments = planted("class", dataset=dataset, subjects=4, clips=clips, per_trial=2)
    if dataset != "faced":
        sessions = 3 if "seed" in dataset else 2
        segments = in_sessions(segments, sessions, other_clips=dataset == "seed_v")
    entry = scored(segments, [protocol], tmp_path)["protocols"][protocol]
    assert entry["leak_free"] == LEAK_FREE[protocol]
    assert entry["balanced_accuracy"]["value"] > 0.6
    assert entry["chance"]["uniform"] == pytest.approx(1 / 3, abs=1e-6)
    assert entry["n_groups"] == 1
    rows = (tmp_path / "per_subject.csv").read_text().splitlines()
    assert len(rows) == 1 + entry["n_subjects"]
    if PROTOCOLS[protocol].kind == "parts":  # the validation part chose the epoch
        curve = (tmp_path / "training_curve.csv").read_text().splitlines()[1]
        assert 0 <= float(curve.split(",")[3]) <= 1


def test_a_drift_of_each_trial_scores_where_trials_are_shared_and_nowhere_else(tmp_path):
    """Labels are random and no affect is planted. Windows of a trial are alike; that is all there is to learn."""
    segments = planted("trial", subjects=6, clips=15, per_trial=6, seed=2)
    content = scored(segments, ["within_trial_blocked", "art_within", "loso_stimulus"], tmp_path)
    rows = content["protocols"]
    assert rows["art_within"]["balanced_accuracy"]["value"] > 0.8
    assert rows["art_within"]["balanced_accuracy"]["interval"]["low"] > 0.7
    for clean in ("within_trial_blocked", "loso_stimulus"):
        assert rows[clean]["leak_free"]
        assert 0.2 < rows[clean]["balanced_accuracy"]["value"] < 0.45
    assert not rows["art_within"]["leak_free"]
    assert rows["art_within"]["chance"]["uniform"] == rows["within_trial_blocked"]["chance"]["uniform"]


def test_the_published_treatment_belongs_to_mdjpts_protocols_alone(tmp_path):
    segments = planted("class", subjects=4, clips=9, per_trial=2)
    rows = scored(segments, ["mdjpt_zeroshot", "zeroshot_subject"], tmp_path)["protocols"]
    published = {"causal_normalisation", "lds_smoothing", "priors_over_all_subjects"}
    assert set(rows["mdjpt_zeroshot"]["transductive"]) == published
    assert set(rows["zeroshot_subject"]["transductive"]) == {"causal_normalisation"}
    assert rows["mdjpt_zeroshot"]["accuracy"]["value"] != rows["zeroshot_subject"]["accuracy"]["value"]


def test_an_encoder_that_knows_the_target_by_request_is_scored_where_a_protocol_says_so(tmp_path):
    segments = planted("class", subjects=4, clips=9, per_trial=2)
    encoder = Whole(segments)
    content = scored(segments, ["art_within", "within_trial_blocked"], tmp_path, method="art", encoder=encoder)
    assert list(content["protocols"]) == ["art_within"]
    assert "encoder_knows_target" in content["protocols"]["art_within"]["transductive"]
    assert "by request" in content["not_applicable"]["within_trial_blocked"]
    encoder.manifest = {"datasets": {}, "labels": "none"}
    content = scored(segments, ["art_within", "within_trial_blocked"], tmp_path, method="art", encoder=encoder)
    assert "encoder_knows_target" not in content["protocols"]["art_within"]["transductive"]


def test_an_encoder_over_whole_sessions_costs_a_within_subject_row_its_mark(tmp_path):
    segments = planted("class", subjects=4, clips=9, per_trial=2)
    encoder = Whole(segments)
    encoder.manifest = {"datasets": {}, "labels": "none"}
    split = make("within_trial_blocked", segments, seed=0)
    for batch, free in (("part", True), ("session", False)):
        settings = replace(SETTINGS, encoder_batch=batch)
        content = evaluate("art", segments, split, tmp_path / "m.json", tmp_path, encoder=encoder, settings=settings)
        assert content["protocols"]["within_trial_blocked"]["leak_free"] == free


class Tuner:
    """Remembers the parts that it was given, and answers with the shares of the classes."""

    across = False
    manifest = {"datasets": {}, "method": "art"}  # noqa: RUF012

    def __init__(self) -> None:
        self.given: list[tuple[set[str], bool]] = []

    def described(self) -> dict:
        return {}

    def fit(self, train, truth, n_classes, watch, seed):  # noqa: ARG002
        self.given.append(({train.subject_names[index] for index in train.subject}, watch is not None))
        self.share = np.bincount(truth, minlength=n_classes) / len(truth)
        self.curve = []
        return self

    def probabilities(self, segments):
        return np.tile(self.share, (len(segments), 1))


def test_fine_tuning_runs_within_each_subject_and_on_emods_parts(tmp_path):
    segments = planted("class", dataset="faced", subjects=4, clips=9, per_trial=2, channels=1)
    tuner = Tuner()
    wanted = ["within_trial_blocked", "art_within", "emod_faced", "mdjpt_zeroshot"]
    content = scored(segments, wanted, tmp_path, method="art_finetuned", tuner=tuner)
    assert list(content["protocols"]) == wanted[:3]
    assert "Fine-tuning" in content["not_applicable"]["mdjpt_zeroshot"]
    within, art, emod = tuner.given[:12], tuner.given[12:16], tuner.given[16:]
    assert all(len(subjects) == 1 and not watched for subjects, watched in [*within, *art])
    assert [(len(subjects), watched) for subjects, watched in emod] == [(2, True)]

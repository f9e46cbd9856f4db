import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.protocols import PROTOCOLS as ALL
from eegpipe.protocols import USUAL as PROTOCOLS
from eegpipe.protocols import NotApplicable, SplitSettings, clip_folds
from eegpipe.splits import Fold, LeakError, Part, Split, assert_disjoint, assert_unseen, make, part_mask, write_all
from eegpipe.trials import Trial, find_classes, trial_table

from planted_segments import condition, planted, rated

CLIPS_APART = [name for name in PROTOCOLS if ALL[name].clips_apart]


@pytest.fixture(scope="module")
def segments():
    return planted(subjects=8, per_trial=2, channels=1, seconds=0.1)


@pytest.fixture(scope="module")
def splits(segments):
    return {protocol: make(protocol, segments, seed=0) for protocol in PROTOCOLS}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_group_tests_each_trial_of_its_test_subjects_once(protocol, segments, splits):
    for group in {fold.group for fold in splits[protocol].folds}:
        folds = [fold for fold in splits[protocol].folds if fold.group == group]
        times = sum(part_mask(fold, "test", segments).astype(int) for fold in folds)
        tested = {name for fold in folds for name in fold.test.subjects}
        expected = [segments.subject_names[index] in tested for index in segments.subject]
        assert times.tolist() == [int(value) for value in expected]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_parts_are_as_disjoint_as_the_manifest_says(protocol, segments, splits):
    split = splits[protocol]
    assert split.disjoint == {"subject": True, "stimulus": protocol in CLIPS_APART, "trial": True}
    for fold in split.folds:
        train, test = part_mask(fold, "train", segments), part_mask(fold, "test", segments)
        assert train.any()
        assert test.any()
        assert not set(segments.subject[train]) & set(segments.subject[test])
        assert bool(set(segments.stimulus[train]) & set(segments.stimulus[test])) == (protocol not in CLIPS_APART)
        assert set(segments.label[train]) == {0, 1, 2}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_only_protocols_without_a_leak_are_called_leak_free(protocol, splits):
    split = splits[protocol]
    assert split.leak_free == (protocol in CLIPS_APART)
    assert split.leak_free == (not split.leaks)
    assert split.test_selects == (protocol == "mdjpt_fewshot")
    assert ("priors_over_all_subjects" in split.transductive) == (protocol == "mdjpt_fewshot")


def test_fewshot_groups_are_small_different_and_the_same_in_every_fewshot_protocol(splits):
    groups = {
        protocol: {fold.group: fold.train.subjects for fold in splits[protocol].folds}
        for protocol in ("fewshot_subject", "fewshot_subject_stimulus", "mdjpt_fewshot")
    }
    assert groups["fewshot_subject"] == groups["fewshot_subject_stimulus"] == groups["mdjpt_fewshot"]
    chosen = list(groups["fewshot_subject"].values())
    assert len(chosen) == len(set(chosen)) == 6
    assert {len(group) for group in chosen} == {2}  # a quarter of 8
    # Each of the 8 subjects trains once or twice in 6 groups of 2.
    assert set(Counter(name for group in chosen for name in group).values()) == {1, 2}


@pytest.mark.parametrize(
    ("dataset", "subjects", "size"), [("seed", 8, 2), ("seed", 35, 7), ("deap", 10, 3), ("faced", 123, 31)]
)
def test_the_size_of_a_training_group_is_the_share_of_the_paper(dataset, subjects, size):
    segments = planted(dataset=dataset, subjects=subjects, per_trial=1, channels=1, seconds=0.1)
    assert {len(fold.train.subjects) for fold in make("fewshot_subject", segments, seed=0).folds} == {size}


def test_with_the_subjects_of_the_paper_the_groups_are_those_of_the_paper():
    segments = planted(dataset="seed", subjects=15, per_trial=1, channels=1, seconds=0.1)
    groups = [fold.train.subjects for fold in make("fewshot_subject", segments, seed=3).folds]
    # Positions from 0 in the code: {5,6,4} {10,8,14} {1,3,11} {2,7,0} {4,13,1} {14,11,12}.
    assert groups[0] == ("05", "06", "07")
    assert groups[5] == ("12", "13", "15")
    random = make("fewshot_subject", segments, settings=SplitSettings(seed=3, groups=5))
    assert [fold.train.subjects for fold in random.folds] != groups[:5]


@pytest.mark.parametrize(("wanted", "found"), [(None, 4), (3, 3), (9, 4)])
def test_each_clip_fold_holds_each_class(segments, wanted, found):
    """Four clips a class: four folds hold each class equally often, three do not."""
    split = make("fewshot_subject_stimulus", segments, settings=SplitSettings(clip_folds=wanted))
    clips = {fold.test.stimuli for fold in split.folds}
    assert len(clips) == found
    label = {
        segments.stimulus_names[int(key)]: int(y) for key, y in zip(segments.stimulus, segments.label, strict=True)
    }
    for fold in clips:
        assert set(Counter(label[name] for name in fold).values()) <= ({1} if found == 4 else {1, 2})
        assert {label[name] for name in fold} == {0, 1, 2}


@pytest.mark.parametrize(
    ("per_class", "found"), [((5, 5, 5), 5), ((3, 3, 4), 3), ((12, 12, 8), 4), ((2, 3), 2), ((7, 7), 3)]
)
def test_as_many_clip_folds_as_deal_the_classes_out_evenly(per_class, found):
    clips = [(label, number) for label, count in enumerate(per_class) for number in range(count)]
    table = [Trial("01", "1", place, f"demo/{label}-{number}", label) for place, (label, number) in enumerate(clips)]
    stimuli, names = [trial.stimulus for trial in table], [str(label) for label in range(len(per_class))]
    folds = clip_folds("demo", table, stimuli, names, SplitSettings())
    assert len(folds) == found
    assert sorted(name for fold in folds for name in fold) == sorted(stimuli)


def test_zero_shot_looks_for_neighbours_among_all_other_subjects(segments, splits):
    for fold in splits["zeroshot_subject"].folds:
        assert len(fold.test.subjects) == 1
        assert sorted(fold.train.subjects + fold.test.subjects) == sorted(segments.subject_names)


def test_a_validation_subject_is_taken_from_the_training_group(segments):
    plain = make("fewshot_subject_stimulus", segments, seed=0)
    watched = make("fewshot_subject_stimulus", segments, settings=SplitSettings(validation="subject"))
    for before, fold in zip(plain.folds, watched.folds, strict=True):
        assert before.validation is None
        assert sorted(fold.train.subjects + fold.validation.subjects) == sorted(before.train.subjects)
        assert len(fold.validation.subjects) == 1
        assert fold.test == before.test
        assert not set(fold.validation.stimuli) & set(fold.test.stimuli)


# -- what a data set allows --------------------------------------------------------------------------------------------


def test_where_the_class_is_the_condition_clips_do_not_matter():
    split = make("fewshot_subject", condition(), seed=0)
    assert split.disjoint["stimulus"] == "not applicable"
    assert split.leak_free
    assert any("condition" in note for note in split.notes)
    with pytest.raises(NotApplicable, match="condition"):
        make("fewshot_subject_stimulus", condition(), seed=0)
    assert not make("mdjpt_fewshot", condition(), seed=0).leak_free


def test_one_clip_per_class_is_no_condition():
    segments = planted(clips=3, per_trial=1, channels=1, seconds=0.1)
    assert not make("fewshot_subject", segments, seed=0).leak_free
    with pytest.raises(NotApplicable, match="one clip of the class"):
        make("fewshot_subject_stimulus", segments, seed=0)


def test_a_training_part_without_a_class_is_an_error():
    # Subject 01 and 02 like everything: any group of the two lacks low valence.
    segments = planted(subjects=3, clips=4, n_classes=2, per_trial=1, channels=1, seconds=0.1)
    valence = {
        (subject, clip): 1.0 if subject != "03" or clip.endswith(("1", "2")) else -1.0
        for subject in segments.subject_names
        for clip in segments.stimulus_names.values()
    }
    with pytest.raises(DataProblem, match="no trial of low valence"):
        make("fewshot_subject", rated(segments, valence), seed=0)


def test_too_few_subjects_is_an_error():
    segments = planted(subjects=2, per_trial=1, channels=1, seconds=0.1)
    with pytest.raises(DataProblem, match="found 2 with a class, expected at least 3"):
        make("fewshot_subject", segments, seed=0)
    with pytest.raises(DataProblem, match="at least 2"):
        make("zeroshot_subject", segments.select(segments.subject == 0), seed=0)


def test_valence_by_self_report_leaves_the_middle_out():
    segments = planted(subjects=4, clips=6, n_classes=2, per_trial=2, channels=1, seconds=0.1)
    valence = {
        (subject, clip): float(number % 3) - 1
        for subject in segments.subject_names
        for number, clip in enumerate(segments.stimulus_names.values())
    }
    own = rated(segments, valence)
    classes = find_classes(own)
    assert classes.names == ("low valence", "high valence")
    assert classes.of_segment[:12].tolist() == [0, 0, -1, -1, 1, 1, 0, 0, -1, -1, 1, 1]
    split = make("fewshot_subject", own, seed=0)
    assert split.classes["trials"] == [8, 8]
    assert split.classes["trials_left_out"] == 8
    assert not any(clip.endswith(("02", "05")) for fold in split.folds for clip in fold.test.stimuli)


def test_ratings_that_are_no_self_report_are_not_predicted():
    segments = planted(per_trial=1, channels=1, seconds=0.1)
    segments.label[:] = -1
    segments.valence = np.where(segments.stimulus % 2, 1.0, -1.0).astype(np.float32)
    segments.affect_source[:] = 3  # the norm of a word
    with pytest.raises(DataProblem, match="self-reports"):
        find_classes(segments)


def test_labels_win_over_ratings_and_only_those_that_occur_count(segments):
    some = segments.select(segments.label != 1)
    assert find_classes(some).names == ("calm", "joy")
    assert set(find_classes(some).of_segment) == {0, 1}


def test_a_trial_with_two_classes_is_an_error(segments):
    torn = segments.select(np.arange(len(segments)))
    torn.label[0] = (torn.label[0] + 1) % 3
    with pytest.raises(DataProblem, match="more than one class"):
        trial_table(torn, find_classes(torn))


def test_unknown_names_get_a_suggestion(segments):
    with pytest.raises(UsageProblem, match="Did you mean 'fewshot_subject'"):
        make("fewshot_subjet", segments, seed=0)
    with pytest.raises(UsageProblem, match="Did you mean 'valence'"):
        find_classes(segments, "valenz")


# -- hashes and files --------------------------------------------------------------------------------------------------

IN_A_FRESH_PROCESS = """
import sys
from eegpipe.protocols import USUAL as PROTOCOLS
from eegpipe.splits import make
from planted_segments import planted
segments = planted(subjects=8, per_trial=2, channels=1, seconds=0.1)
print(*(make(protocol, segments, seed=0).hash for protocol in PROTOCOLS))
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize("hash_seed", ["0", "1", "20"])
def test_a_fresh_process_draws_the_same(hash_seed, splits):
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", IN_A_FRESH_PROCESS]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert printed == [split.hash for split in splits.values()]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_hash_follows_the_trials_and_nothing_else(protocol, segments, splits):
    known = splits[protocol].hash
    rng = np.random.default_rng(0)
    assert make(protocol, segments.select(rng.permutation(len(segments))), seed=0).hash == known
    assert make(protocol, segments.select(segments.stimulus_time == 0), seed=0).hash == known  # another windowing
    assert make(protocol, segments, seed=1).hash != known
    missing = (segments.subject != 3) | (segments.stimulus != 1000)
    assert make(protocol, segments.select(missing), seed=0).hash != known
    other = segments.select(np.arange(len(segments)))
    other.label = (other.label + 1) % 3
    assert make(protocol, other, seed=0).hash != known


def test_the_hash_follows_every_field(splits):
    split = splits["fewshot_subject"]
    fold = dataclasses.replace(split.folds[0], train=Part(("01", "02"), split.folds[0].train.stimuli))
    changed = [
        dataclasses.replace(split, folds=(fold, *split.folds[1:])),
        dataclasses.replace(split, leak_free=True),
        dataclasses.replace(split, trials_digest="0"),
    ]
    assert len({split.hash, *(other.hash for other in changed)}) == 4


def test_a_manifest_comes_back_from_its_file(tmp_path, segments):
    split = make("fewshot_subject_stimulus", segments, settings=SplitSettings(validation="subject"))
    split.save(tmp_path / "split.json")
    loaded = Split.load(tmp_path / "split.json")
    assert loaded.hash == split.hash
    assert loaded.folds == split.folds
    assert json.loads((tmp_path / "split.json").read_text())["hash"] == split.hash
    assert [path.name for path in tmp_path.iterdir()] == ["split.json"]


def test_an_edited_manifest_is_refused(tmp_path, splits):
    path = tmp_path / "split.json"
    splits["fewshot_subject"].save(path)
    text = path.read_text()
    path.write_text(text.replace('"leak_free": false', '"leak_free": true'))
    with pytest.raises(DataProblem, match=r"split\.json: hash"):
        Split.load(path)
    path.write_text(text[:100])
    with pytest.raises(DataProblem, match="no split manifest"):
        Split.load(path)


def test_a_split_of_other_trials_is_refused(segments, splits):
    split = splits["fewshot_subject"]
    split.check(segments)
    with pytest.raises(DataProblem, match="The store has changed"):
        split.check(segments.select(segments.subject != 0))


def test_write_all_writes_what_applies_and_says_why_the_rest_does_not(tmp_path, segments):
    assert [path.stem for path in write_all(segments, tmp_path, seed=0)] == list(PROTOCOLS)
    assert (tmp_path / "not_applicable.tsv").read_text() == "protocol\treason\n"
    kept = write_all(condition(), tmp_path, seed=0)
    assert [path.stem for path in kept] == [name for name in PROTOCOLS if name not in CLIPS_APART]
    assert sorted(path.name for path in tmp_path.glob("*.json")) == sorted(path.name for path in kept)
    reasons = (tmp_path / "not_applicable.tsv").read_text().splitlines()[1:]
    assert [line.split("\t")[0] for line in reasons] == CLIPS_APART


# -- assertions --------------------------------------------------------------------------------------------------------


def fold_of(train: Part, test: Part, validation: Part | None = None) -> Fold:
    return Fold("made", "group", train, validation, test)


def test_an_overlap_of_each_kind_is_an_error(segments):
    clips = tuple(segments.stimulus_names.values())
    same_clips = fold_of(Part(("01",), clips[:6]), Part(("02",), clips[5:]))
    same_subject = fold_of(Part(("01", "02"), clips[:6]), Part(("02",), clips[6:]))
    same_trial = fold_of(Part(("01", "02"), clips[:6]), Part(("02",), clips[5:]))
    watched = fold_of(Part(("01",), clips[:6]), Part(("02",), clips[6:]), Part(("02",), clips[:6]))
    apart = fold_of(Part(("01",), clips[:6]), Part(("02",), clips[6:]))
    assert_disjoint(apart, segments)
    with pytest.raises(LeakError, match=r"1 stimulus\(s\) both in training and in test: demo/06"):
        assert_disjoint(same_clips, segments)
    assert_disjoint(same_clips, segments, ("subject", "trial"))
    with pytest.raises(LeakError, match=r"subject\(s\).*: 02"):
        assert_disjoint(same_subject, segments)
    assert_disjoint(same_subject, segments, ("stimulus", "trial"))
    with pytest.raises(LeakError, match=r"trial\(s\).*: 02/1/6/demo/06"):
        assert_disjoint(same_trial, segments, ("trial",))
    with pytest.raises(LeakError, match="subject"):
        assert_disjoint(watched, segments)
    with pytest.raises(UsageProblem, match="kind of unit"):
        assert_disjoint(apart, segments, ("stimuls",))


def seen(name: str = "other", *, store: str = "x", subjects=(), stimuli=()) -> dict:
    return {"datasets": {name: {"store": store, "subjects": list(subjects), "stimuli": list(stimuli)}}}


def test_an_encoder_that_saw_a_test_subject_is_refused_by_every_protocol(segments, splits):
    for split in splits.values():
        fold = split.folds[0]
        with pytest.raises(LeakError, match="pre-trained on 1 subject"):
            assert_unseen(seen("demo", subjects=fold.test.subjects[:1]), segments, fold, split)
        with pytest.raises(LeakError, match="pre-trained on 1 subject"):
            assert_unseen(
                seen("renamed", store=segments.digest, subjects=fold.test.subjects[:1]), segments, fold, split
            )
        assert_unseen(seen("demo", subjects=fold.train.subjects), segments, fold, split)
        # Subject 01 of another data set is another person.
        assert_unseen(seen(subjects=fold.test.subjects), segments, fold, split)


def test_an_encoder_that_saw_a_test_clip_is_refused_where_clips_are_apart(segments, splits):
    for protocol, split in splits.items():
        fold = split.folds[0]
        manifest = seen("demo", subjects=fold.train.subjects[:1], stimuli=fold.test.stimuli[:1])
        if protocol in CLIPS_APART:
            with pytest.raises(LeakError, match="pre-trained on 1 clip"):
                assert_unseen(manifest, segments, fold, split)
        else:
            assert_unseen(manifest, segments, fold, split)


def test_a_model_without_a_list_of_what_it_saw_is_refused(segments, splits):
    split = splits["fewshot_subject"]
    for manifest in ({}, {"datasets": {"demo": {"store": "x"}}}, {"datasets": ["demo"]}):
        with pytest.raises(DataProblem, match=r"manifest\.json"):
            assert_unseen(manifest, segments, split.folds[0], split)


def test_a_part_that_names_nobody_is_an_error(segments):
    fold = fold_of(Part(("99",), ("demo/01",)), Part(("01",), ("demo/02",)))
    with pytest.raises(DataProblem, match="the name 99"):
        part_mask(fold, "train", segments)


def test_what_is_predicted_can_be_said_for_single_data_sets(segments):
    names = segments.stimulus_names.values()
    liked = {
        (person, clip): float(2 * (n % 2) - 1) for person in segments.subject_names for n, clip in enumerate(names)
    }
    there = rated(segments, liked)
    named = SplitSettings(groups=1, target_of={there.dataset: "valence"})
    split = make("fewshot_subject", there, settings=named)
    assert split.settings["target"] == "valence"
    assert "target_of" not in split.settings
    assert split.classes["names"] == list(find_classes(there, "valence").names)
    other = SplitSettings(groups=1, target_of={"another": "valence"})
    assert make("fewshot_subject", segments, settings=other).settings["target"] == "auto"

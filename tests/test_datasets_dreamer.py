"""DREAMER: cells in structs in cells, uint8 scores, one file for all."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from scipy.io import savemat

from eegpipe import datasets
from eegpipe.bids import convert
from eegpipe.datasets import dreamer
from eegpipe.datasets.formats import mat5
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording

import vendor_files

VARIANT = dreamer.DATASET.variants[0]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("dreamer")
    vendor_files.dreamer(root, vendor_files.dreamer_content())
    return root


def read(root, index=0):
    return VARIANT.read(root, VARIANT.discover(root).entries[index])


def read_all(root) -> dict[str, Recording | DataProblem]:
    found = VARIANT.read_together(root, VARIANT.discover(root).entries)
    return {entry.id.subject: outcome for entry, outcome in found}


@pytest.fixture
def damaged(tmp_path):
    """Write a changed file of one subject and three clips, and return the refusal."""

    def damage(change, **marks) -> DataProblem:
        content = vendor_files.dreamer_content(subjects=1, clips=3)
        change(content)
        vendor_files.dreamer(tmp_path, content, subjects=1, clips=3, **marks)
        with pytest.raises(DataProblem) as caught:
            read(tmp_path)
        return caught.value

    return damage


def test_signal_and_events(tree):
    assert [one.name for one in datasets.recognise(tree)] == ["dreamer", "mat"]
    recording = read(tree, 1)
    eeg = vendor_files.dreamer_content()["Data"][0, 1]["EEG"]
    assert recording.raw.ch_names == vendor_files.EPOC
    assert len(recording.blocks) == 36
    for number, (first, last) in enumerate(recording.blocks):
        part = ("baseline", "stimuli")[number % 2]
        signal_uv = (recording.raw.get_data()[:, first:last] * 1e6).astype(np.float32)
        np.testing.assert_array_equal(signal_uv, eeg[part][number // 2, 0].T.astype(np.float32))
    kinds = [event.kind for event in sorted(recording.events, key=lambda event: event.onset_s)]
    assert kinds.count("baseline") == kinds.count("stimulus") == 18
    first, second = recording.stimuli[:2]
    assert (first.onset_s, first.duration_s, second.onset_s) == (2, 3, 7)
    assert (first.stimulus, first.label, second.label) == ("dreamer/01", "calmness", "surprise")
    assert (recording.sex, recording.age) == ("F", 23)


def test_small_integers_do_not_wrap(tree):
    scores = vendor_files.dreamer_content()["Data"][0, 0]
    assert scores["ScoreValence"].dtype == np.uint8
    assert scores["ScoreValence"].min() < 3
    for event in read(tree).stimuli:
        valence, arousal = (float(scores[name][event.trial - 1, 0]) for name in ("ScoreValence", "ScoreArousal"))
        assert event.ratings["valence"] == valence
        assert event.affect.valence == (valence - 3) * 2
        assert event.affect.arousal == (arousal - 3) * 2


@pytest.fixture
def built(monkeypatch) -> list[int]:
    """The places of the subjects whose arrays are taken into memory, in order."""
    places: list[int] = []
    original = mat5.walk

    def walk(*arguments, **named):
        for part in original(*arguments, **named):
            if isinstance(part.value, mat5.Struct):
                places.append(part.place)
            yield part

    monkeypatch.setattr(mat5, "walk", walk)
    return places


def test_all_subjects_come_from_one_pass_and_equal_those_read_alone(tree, built):
    together = read_all(tree)
    assert built == [0, 1]
    for index, (subject, recording) in enumerate(together.items()):
        alone = read(tree, index)
        assert (recording.id.subject, alone.id.subject, subject) == (f"{index + 1:02d}",) * 3
        np.testing.assert_array_equal(recording.raw.get_data(), alone.raw.get_data())
        assert recording.events == alone.events
        assert (recording.sex, recording.age) == (alone.sex, alone.age)


def test_a_subject_is_yielded_before_the_next_one_is_taken_into_memory(tree, built):
    seen = []
    for entry, _ in VARIANT.read_together(tree, VARIANT.discover(tree).entries):
        seen.append((entry.id.subject, list(built)))
    assert seen == [("01", [0]), ("02", [0, 1])]


def test_subjects_that_are_converted_already_are_not_built(tree, tmp_path, built):
    first = convert(dreamer.DATASET, tree, tmp_path / "bids", workers=1)
    assert [outcome.status for outcome in first] == ["done", "done"]
    (tmp_path / "bids/sub-01/eeg/sub-01_task-emotion_eeg.eeg").unlink()
    built.clear()
    second = convert(dreamer.DATASET, tree, tmp_path / "bids", workers=1)
    assert [outcome.status for outcome in second] == ["done", "kept"]
    assert built == [0]


def test_constants_before_the_data_are_read_too(tmp_path):
    content = vendor_files.dreamer_content(subjects=1, clips=3)
    data = content.pop("Data")
    vendor_files.dreamer(tmp_path, {**content, "Data": data}, subjects=1, clips=3)
    assert read(tmp_path).raw.n_times == 3 * 5 * 128


def test_a_wrong_constant_behind_the_data_refuses_every_subject(tmp_path):
    content = vendor_files.dreamer_content(clips=3)
    content["EEG_SamplingRate"] = 256
    vendor_files.dreamer(tmp_path, content, clips=3)
    entries = VARIANT.discover(tmp_path).entries
    with pytest.raises(DataProblem, match="EEG_SamplingRate: found 256, expected 128"):
        list(VARIANT.read_together(tmp_path, entries))
    outcomes = convert(dreamer.DATASET, tmp_path, tmp_path / "bids", workers=1)
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]
    assert list((tmp_path / "bids").glob("sub-*")) == []


def test_people_are_the_cells_in_order(tmp_path):
    content = vendor_files.dreamer_content(subjects=2, clips=3)
    vendor_files.dreamer(tmp_path, content, clips=3)
    vendor_files.mark(tmp_path, subjects=2, people=[7, 12], trials=3, trial_s=[3] * 3)
    assert {subject: one.age for subject, one in read_all(tmp_path).items()} == {"07": 22, "12": 23}


def test_a_replaced_file_is_read_anew(tmp_path):
    content = vendor_files.dreamer_content(subjects=1, clips=3)
    vendor_files.dreamer(tmp_path, content, subjects=1, clips=3)
    assert read(tmp_path).age == 22
    content["Data"][0, 0]["Age"] = "41"
    vendor_files.dreamer(tmp_path, content, subjects=1, clips=3)
    assert read(tmp_path).age == 41


def test_a_broken_subject_does_not_spoil_the_others(tmp_path):
    content = vendor_files.dreamer_content(subjects=2, clips=3)
    del content["Data"][0, 0]["ScoreArousal"]
    vendor_files.dreamer(tmp_path, content, clips=3)
    with pytest.raises(DataProblem, match=r"Data\{1\}"):
        read(tmp_path, 0)
    assert read(tmp_path, 1).id.subject == "02"
    outcomes = read_all(tmp_path)
    assert "ScoreArousal" in outcomes["01"].expected
    assert outcomes["02"].id.subject == "02"


def test_a_subject_that_breaks_the_format_does_not_spoil_the_others(tmp_path):
    content = vendor_files.dreamer_content(subjects=3, clips=3)
    file = vendor_files.dreamer(tmp_path, content, subjects=3, clips=3)
    savemat(file, {"DREAMER": content})  # not compressed, so that a byte can be found
    damaged = bytearray(file.read_bytes())
    second = damaged.index(b"ScoreDominance", damaged.index(b"ScoreDominance") + 20)
    damaged[second - 60 : second] = b"\xff" * 60
    file.write_bytes(damaged)
    outcomes = read_all(tmp_path)
    assert [type(one) for one in outcomes.values()] == [Recording, DataProblem, Recording]
    assert outcomes["02"].where == "DREAMER.mat: Data{2}"


def test_changed_bytes_never_end_in_anything_but_a_recording_or_a_refusal(tmp_path):
    content = vendor_files.dreamer_content(subjects=2, clips=3, clip_s=1, baseline_s=1)
    file = vendor_files.dreamer(tmp_path, content, clips=3, clip_s=1)
    savemat(file, {"DREAMER": content})
    good, draw = file.read_bytes(), random.Random(0)
    heads = [match.start() for match in re.finditer(rb"\x0e\x00\x00\x00", good) if match.start() % 8 == 0]
    outcomes: list[type] = []
    for _ in range(80):
        changed = bytearray(good)
        for _ in range(draw.choice([1, 4])):
            changed[draw.choice(heads) + draw.randrange(48)] = draw.randrange(256)
        file.write_bytes(changed[: draw.choice([len(good)] * 4 + [draw.randrange(len(good))])])
        try:
            outcomes += [type(one) for one in read_all(tmp_path).values()]
        except DataProblem:
            outcomes.append(type(None))  # the file as a whole
    assert set(outcomes) == {Recording, DataProblem, type(None)}


def test_a_subject_that_claims_too_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    vendor_files.dreamer(tmp_path, vendor_files.dreamer_content(subjects=1, clips=3), subjects=1, clips=3)
    monkeypatch.setattr(dreamer.reader, "_LARGEST", 100_000)
    with pytest.raises(DataProblem, match=r"Data\{1\}: found an array .* at most 100000 are right"):
        read(tmp_path)


def set_clip(part, clip, array):
    def change(content):
        content["Data"][0, 0]["EEG"][part][clip - 1, 0] = array

    return change


def set_field(name, value):
    def change(content):
        content["Data"][0, 0][name] = value

    return change


@pytest.mark.parametrize(
    ("change", "where", "told"),
    [
        (lambda content: content.pop("EEG_SamplingRate"), "DREAMER", "nearest ECG_SamplingRate"),
        (lambda content: content.update(EEG_SamplingRate=256), "DREAMER.EEG_SamplingRate", "256"),
        (lambda content: content.update(noOfSubjects=2), "DREAMER.noOfSubjects", "2"),
        (
            lambda content: content.update(EEG_Electrodes=vendor_files.cells(vendor_files.EPOC[::-1])),
            "DREAMER.EEG_Electrodes",
            "AF4 F8",
        ),
        (lambda content: content.update(Data=np.zeros((1, 1))), "Data", "numbers of shape (1, 1)"),
        (set_clip("stimuli", 2, vendor_files.noise(14, 384)), "Data{1}.EEG.stimuli{2}", "shape (14, 384)"),
        (set_clip("stimuli", 2, vendor_files.noise(300, 14)), "Data{1}.EEG.stimuli{2}", "300 samples"),
        (set_clip("stimuli", 3, np.full((384, 14), np.nan)), "Data{1}.EEG.stimuli{3}", "NaN"),
        (set_clip("baseline", 1, vendor_files.noise(256, 14) * 1e-6), "Data{1}.EEG.baseline{1}", "as if in volt"),
        (set_clip("baseline", 1, "text"), "Data{1}.EEG.baseline{1}", "a text"),
        (set_field("ScoreValence", np.array([[1], [0], [5]])), "Data{1}.ScoreValence", "0 for clip 2"),
        (set_field("ScoreArousal", np.array([[1], [2.5], [5]])), "Data{1}.ScoreArousal", "2.5 for clip 2"),
        (set_field("ScoreDominance", np.array([[1], [5]])), "Data{1}.ScoreDominance", "2 scores"),
        (set_field("EEG", 3.0), "Data{1}.EEG", "numbers of shape (1, 1)"),
    ],
)
def test_what_is_refused(damaged, change, where, told):
    problem = damaged(change)
    assert problem.where.startswith(f"DREAMER.mat: {where}")
    assert told in problem.found


def test_real_durations_are_expected_without_the_marker(tmp_path):
    content = vendor_files.dreamer_content(subjects=1, clip_s=0.1, baseline_s=0.1)
    content["noOfSubjects"] = 23
    content["Data"] = np.repeat(content["Data"], 23, axis=1)
    vendor_files.dreamer(tmp_path, content)
    (tmp_path / "eegpipe-simulated.json").unlink()
    with pytest.raises(DataProblem) as caught:
        read(tmp_path)
    assert caught.value.where == "DREAMER.mat: Data{1}.EEG.baseline{1}"
    assert caught.value.expected == "61 s at 128 Hz"


def test_truncated_and_absent_files(tmp_path):
    file = vendor_files.dreamer(tmp_path, vendor_files.dreamer_content())
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(DataProblem, match="cannot be read"):
        read(tmp_path)
    file.unlink()
    assert dreamer.DATASET.recognise(tmp_path) is None
    assert "DREAMER.mat" in VARIANT.discover(tmp_path).problems[0].found

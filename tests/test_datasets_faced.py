"""FACED: ratings by video, mastoids apart, both archives in one folder."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from eegpipe import datasets
from eegpipe.affect import AffectSource
from eegpipe.datasets import faced
from eegpipe.errors import DataProblem

import vendor_files


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("faced")
    vendor_files.faced(root)
    return root


@pytest.fixture
def one(tmp_path):
    vendor_files.faced(tmp_path, subjects=1)
    return tmp_path


def read(root, index=0):
    return faced.DATASET.read(root, faced.DATASET.discover(root).entries[index])


def refusal(root) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read(root)
    return caught.value


def test_ratings_are_matched_by_video(tree, tmp_path):
    recording = read(tree, 1)
    scores = vendor_files.faced_remarks(tmp_path / "r" / "After_remarks.mat", seed=1)
    rows = loadmat(tmp_path / "r" / "After_remarks.mat")["After_remark"]
    assert [int(row["vid"].item()) for row in rows.ravel()] != list(range(1, 29)), "the test needs a shuffled file"
    assert [event.trial for event in recording.stimuli] == list(range(1, 29))
    for event in recording.stimuli:
        score = scores[event.trial].ravel()
        assert event.stimulus == f"faced/{event.trial:02d}"
        assert list(event.ratings.values()) == score.tolist()
        assert list(event.ratings) == list(faced.DATASET.ratings)
        assert event.affect.valence == pytest.approx((score[9] - 3.5) * 8 / 7)
        assert event.affect.arousal == pytest.approx((score[8] - 3.5) * 8 / 7)
        assert event.affect.source is AffectSource.SELF_REPORT
    assert (recording.id.subject, recording.sex, recording.age) == ("001", "F", 21)


def test_signal_channels_and_labels(tree):
    recording = read(tree, 0)
    array = vendor_files.noise(28, 32, 500, seed=0)
    assert recording.raw.get_channel_types() == ["eeg"] * 30 + ["misc"] * 2
    assert recording.raw.ch_names[28:] == ["O1", "O2", "A2", "A1"]
    for (first, last), block in zip(recording.blocks, array, strict=True):
        signal_uv = (recording.raw.get_data()[:, first:last] * 1e6).astype(np.float32)
        np.testing.assert_array_equal(signal_uv, block.astype(np.float32))
    labels = [event.label for event in recording.stimuli]
    assert (labels[0], labels[3], labels[6], labels[9]) == ("anger", "disgust", "fear", "sadness")
    assert labels[12:16] == ["neutral"] * 4
    assert (labels[16], labels[19], labels[22], labels[27]) == ("amusement", "inspiration", "joy", "tenderness")
    # The signal is the end of the clip.
    assert recording.stimuli[22].stimulus_offset_s == pytest.approx(34.13 - 2)


def test_layouts(tree, tmp_path):
    assert datasets.recognise(tree).name == "faced"
    found = faced.DATASET.discover(tree)
    assert not found.problems
    assert found.entries[0].files == (
        "Processed_data/sub000.pkl",
        "Data/Data/sub000/After_remarks.mat",
        "Recording_info.csv",
    )
    shutil.copytree(tree / "Data" / "Data", tmp_path / "Data")
    shutil.copytree(tree / "Processed_data", tmp_path / "Processed_data")
    shutil.copy(tree / "eegpipe-simulated.json", tmp_path)
    found = faced.DATASET.discover(tmp_path)
    assert found.entries[0].files == ("Processed_data/sub000.pkl", "Data/sub000/After_remarks.mat")
    assert not found.problems


def test_without_ratings_the_words_speak(one):
    shutil.rmtree(one / "Data")
    found = faced.DATASET.discover(one)
    assert "no After_remarks.mat for sub000" in found.problems[0].found
    event = read(one).stimuli[0]
    assert event.ratings == {}
    assert event.affect.source is AffectSource.WORD_NORM
    # The folder of the signals alone is a legal request, too.
    assert len(faced.DATASET.discover(one / "Processed_data").entries) == 1


def test_missing_and_extra_files(one):
    shutil.copy(one / "Processed_data" / "sub000.pkl", one / "Processed_data" / "sub007.pkl")
    (one / "Processed_data" / "sub001.pkl.pkl").write_bytes(b"")
    vendor_files.mark(one, subjects=3, trials=28, trial_s=[2])
    found = faced.DATASET.discover(one)
    assert [problem.found for problem in found.problems] == ["no sub001.pkl, sub002.pkl", "also sub007.pkl"]
    assert [entry.id.subject for entry in found.entries] == ["000"]
    assert "sub001.pkl.pkl" in found.notes[0]


def remark(root, video=None, **changes):
    file = root / "Data" / "Data" / "sub000" / "After_remarks.mat"
    rows = loadmat(file)["After_remark"]
    for row in rows.ravel():
        if video is None or int(row["vid"].item()) == video:
            for name, value in changes.items():
                row[name] = value
    savemat(file, {"After_remark": rows})
    return file


def test_wrong_ratings_are_refused(one):
    score = np.full((1, 12), 3.0)
    score[0, 8] = 7.5
    file = remark(one, 5, score=score)
    assert refusal(one).found == "arousal 7.5"
    remark(one, 5, score=score[:, :11])
    assert "11 scores" in refusal(one).found
    remark(one, 5, score=np.full((1, 12), 3.0), vid=np.uint8(6))
    assert "each of 1 to 28 once" in refusal(one).expected
    savemat(file, {"After_remark": loadmat(file)["After_remark"][:27]})
    assert "27 rows" in refusal(one).found
    savemat(file, {"Before_remark": 1.0})
    assert "nearest Before_remark" in refusal(one).found


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (vendor_files.noise(28, 30, 500), "(28, 30, 500)"),
        (vendor_files.noise(28, 32, 500) * 1e-6, "as if in volt"),
        (vendor_files.noise(28, 32, 500) * 3000, "a typical spread"),  # the release is said to hold one such file
        (vendor_files.noise(28, 32, 500).astype(int), "int64"),
    ],
)
def test_wrong_arrays_are_refused(one, array, told):
    vendor_files.numpy1_pickle(one / "Processed_data" / "sub000.pkl", array)
    problem = refusal(one)
    assert problem.where.startswith("Processed_data/sub000.pkl")
    assert told in problem.found
    assert "microvolt" in problem.expected or "float64" in problem.expected


def test_nan_names_video_and_channel(one):
    array = vendor_files.noise(28, 32, 500)
    array[20, 30, 3] = np.nan
    vendor_files.numpy1_pickle(one / "Processed_data" / "sub000.pkl", array)
    problem = refusal(one)
    assert problem.where.endswith("video 21")
    assert "channel A2" in problem.found

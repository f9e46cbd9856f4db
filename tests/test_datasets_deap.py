"""DEAP: Python-2 pickles, ratings by column, peripheral channels."""

from __future__ import annotations

import numpy as np
import pytest

from eegpipe import datasets
from eegpipe.datasets import deap
from eegpipe.errors import DataProblem

import vendor_files


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("deap")
    vendor_files.deap(root)
    return root


@pytest.fixture
def damaged(tmp_path):
    """A tree of one subject, and a function that rewrites it: damage(data=..., labels=...) -> the refusal."""
    folder = vendor_files.deap(tmp_path, subjects=1)
    content = vendor_files.deap_subject(folder / "s01.dat", trials=4, trial_s=5)

    def damage(**changes) -> DataProblem:
        written = {key: value for key, value in (content | changes).items() if value is not None}
        vendor_files.python2_pickle(folder / "s01.dat", written)
        with pytest.raises(DataProblem) as caught:
            deap.DATASET.read(tmp_path, deap.DATASET.discover(tmp_path).entries[0])
        return caught.value

    return damage


def test_the_doubled_folder_is_read_from_either_end(tree):
    for root in (tree, tree / "data_preprocessed_python"):
        assert datasets.recognise(root).name == "deap"
        assert deap.DATASET.discover(root).entries[0].files[0].endswith("data_preprocessed_python/s01.dat")
    assert not deap.DATASET.discover(tree).problems


def test_signal_events_and_ratings(tree, tmp_path):
    found = deap.DATASET.discover(tree)
    recording = deap.DATASET.read(tree, found.entries[1])
    written = vendor_files.deap_subject(tmp_path / "s02.dat", trials=4, trial_s=5, seed=2)
    assert recording.id.stem == "sub-02_task-emotion"
    assert recording.boundaries == [640, 1280, 1920]
    for trial, (first, last) in enumerate(recording.blocks):
        signal_uv = (recording.raw.get_data()[:36, first:last] * 1e6).astype(np.float32)
        np.testing.assert_array_equal(signal_uv, written["data"][trial, :36].astype(np.float32))
        others = recording.raw.get_data()[36:, first:last].astype(np.float32)
        np.testing.assert_array_equal(others, written["data"][trial, 36:].astype(np.float32))
    for trial, event in enumerate(recording.stimuli):
        valence, arousal, dominance, liking = written["labels"][trial]
        assert event.ratings == {"valence": valence, "arousal": arousal, "dominance": dominance, "liking": liking}
        assert event.affect.valence == pytest.approx(valence - 5)
        assert event.affect.arousal == pytest.approx(arousal - 5)
        assert event.onset_s == trial * 5 + 3
        assert event.duration_s == 2
        assert event.stimulus == f"deap/{trial + 1:02d}"
        assert event.label is None
    baselines = [(event.onset_s, event.duration_s) for event in recording.events if event.kind == "baseline"]
    assert baselines == [(0, 3), (5, 3), (10, 3), (15, 3)]


def test_channel_types(tree):
    raw = deap.DATASET.read(tree, deap.DATASET.discover(tree).entries[0]).raw
    assert raw.ch_names[:4] == ["Fp1", "AF3", "F3", "F7"]
    assert raw.get_channel_types() == ["eeg"] * 32 + ["eog"] * 2 + ["emg"] * 2 + ["misc"] * 4
    assert raw.ch_names[32:] == ["hEOG", "vEOG", "zEMG", "tEMG", "GSR", "Resp", "Plet", "Temp"]


def test_missing_extra_and_stray_files(tmp_path):
    folder = vendor_files.deap(tmp_path, subjects=2)
    (folder / "s01.dat").unlink()
    (folder / "s40.dat").write_bytes(b"")
    (folder / "thesis.txt").write_text("x")
    found = deap.DATASET.discover(tmp_path)
    assert [entry.id.subject for entry in found.entries] == ["02"]
    assert [problem.found for problem in found.problems] == ["no s01.dat", "also s40.dat"]
    assert "thesis.txt" in found.notes[0]


def test_real_counts_are_expected_without_the_marker(tmp_path):
    vendor_files.deap(tmp_path, subjects=2)
    (tmp_path / "eegpipe-simulated.json").unlink()
    found = deap.DATASET.discover(tmp_path)
    assert "s03.dat, s04.dat" in found.problems[0].found
    assert "20 more" in found.problems[0].found
    with pytest.raises(DataProblem) as caught:
        deap.DATASET.read(tmp_path, found.entries[0])
    assert caught.value.found == "shape (4, 40, 640)"
    assert caught.value.expected == "(40, 40, 8064)"


def test_what_is_refused(damaged):
    assert "the keys data" in damaged(labels=None).found
    assert "data_preprocessed_python/s01.dat: labels" in damaged(labels=np.zeros((4, 3))).where
    assert "shape (4, 32, 640)" in damaged(data=vendor_files.noise(4, 32, 640)).found
    assert "int64" in damaged(data=np.zeros((4, 40, 640), dtype=np.int64)).found

    labels = np.full((4, 4), 5.0)
    labels[2, 1] = 9.5
    problem = damaged(labels=labels)
    assert problem.where.endswith("labels, trial 3")
    assert problem.found == "arousal 9.5"
    labels[2, 1] = np.nan
    assert damaged(labels=labels).found == "arousal nan"

    data = vendor_files.noise(4, 40, 640)
    data[3, 33, 7] = np.nan
    problem = damaged(data=data)
    assert problem.where.endswith("data, trial 4")
    assert "channel vEOG" in problem.found
    assert "as if in volt" in damaged(data=vendor_files.noise(4, 40, 640) * 1e-6).found


def test_a_truncated_file_is_refused(tmp_path):
    file = vendor_files.deap(tmp_path, subjects=1) / "s01.dat"
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(DataProblem, match="damaged pickle"):
        deap.DATASET.read(tmp_path, deap.DATASET.discover(tmp_path).entries[0])

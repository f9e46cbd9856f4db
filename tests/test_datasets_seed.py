"""SEED: the traps of its names and keys, and what its reader refuses."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from eegpipe import datasets
from eegpipe.affect import AffectSource
from eegpipe.datasets import seed
from eegpipe.errors import DataProblem

import vendor_files


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("seed")
    vendor_files.seed(root, subjects=10, sessions=1)
    return root


@pytest.fixture
def one(tmp_path):
    """A tree of one subject with one session, for damage: (root, signal file)."""
    folder = vendor_files.seed(tmp_path, subjects=1, sessions=1)
    return tmp_path, next(folder.glob("1_*.mat"))


def read_one(root):
    found = seed.DATASET.discover(root)
    assert len(found.entries) == 1
    return seed.DATASET.read(root, found.entries[0])


def refusal(root) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read_one(root)
    return caught.value


def change(file, **variables):
    content = {key: value for key, value in loadmat(file).items() if not key.startswith("__")} | variables
    savemat(file, {key: value for key, value in content.items() if value is not None})


def test_subjects_are_numbers_not_texts(tree):
    found = seed.DATASET.discover(tree)
    assert not found.problems
    assert found.simulated
    assert [entry.id.subject for entry in found.entries] == [f"{number:02d}" for number in range(1, 11)]
    assert found.entries[1].files[0].startswith("Preprocessed_EEG/2_")
    assert found.entries[9].files[0].startswith("Preprocessed_EEG/10_")


def test_a_session_is_the_rank_of_its_date(tmp_path):
    folder = vendor_files.seed(tmp_path, subjects=1, sessions=3)
    found = seed.DATASET.discover(tmp_path)
    assert [(entry.id.session, entry.files[0].split("_")[-1]) for entry in found.entries] == [
        ("1", "20140420.mat"),
        ("2", "20140519.mat"),
        ("3", "20140618.mat"),
    ]
    (folder / "1_20140519.mat").unlink()
    found = seed.DATASET.discover(tmp_path)
    assert "2 files (20140420, 20140618), expected 3 sessions" in str(found.problems[0])
    assert len(found.entries) == 2
    for day in (19, 20):
        shutil.copy(folder / "1_20140420.mat", folder / f"1_201405{day}.mat")
    found = seed.DATASET.discover(tmp_path)
    assert "4 files" in str(found.problems[0])
    assert not found.entries, "which of four files are the three sessions cannot be known"


def test_trials_are_joined_by_number(one):
    root, file = one
    recording = read_one(root)
    written = loadmat(file)
    assert recording.id.stem == "sub-01_ses-1_task-emotion"
    assert recording.raw.info["sfreq"] == 200
    assert recording.raw.n_times == 15 * 201
    assert recording.boundaries == [201 * trial for trial in range(1, 15)]
    means = [recording.raw.get_data()[:, first:last].mean() * 1e6 for first, last in recording.blocks]
    np.testing.assert_allclose(means, range(1, 16), atol=0.5)  # trial 10 is not second
    for stimulus, (first, last) in zip(recording.stimuli, recording.blocks, strict=True):
        assert stimulus.stimulus == f"seed/{stimulus.trial:02d}"
        assert round(stimulus.onset_s * 200) == first
        assert stimulus.duration_s == pytest.approx(201 / 200)
        signal_uv = (recording.raw.get_data()[:, first:last] * 1e6).astype(np.float32)
        np.testing.assert_array_equal(signal_uv, written[f"ab_eeg{stimulus.trial}"].astype(np.float32))


def test_channels_labels_and_the_rest(one):
    recording = read_one(one[0])
    names = recording.raw.ch_names
    assert (len(names), names[0], names[1], names[57], names[61]) == (62, "Fp1", "Fpz", "CB1", "CB2")
    assert set(recording.raw.get_channel_types()) == {"eeg"}
    assert all(np.isfinite(channel["loc"][:3]).all() for channel in recording.raw.info["chs"])
    assert recording.raw.info["line_freq"] == 50
    assert recording.raw.info["meas_date"] is None
    assert len(recording.raw.annotations) == 0
    words = {1: "positive", 0: "neutral", -1: "negative"}
    assert [stimulus.label for stimulus in recording.stimuli] == [words[code] for code in vendor_files.SEED_LABELS]
    assert recording.stimuli[0].affect.source is AffectSource.WORD_NORM
    assert recording.stimuli[0].affect.valence > 1 > -1 > recording.stimuli[2].affect.valence
    assert recording.sex == "M"
    assert recording.history["Bandpass"]["high cutoff (Hz)"] == 75


@pytest.mark.parametrize("inside", ["", "Preprocessed_EEG"])
def test_either_folder_may_be_named(tree, inside):
    assert datasets.recognise(tree / inside).name == "seed"
    found = seed.DATASET.discover(tree / inside)
    assert len(found.entries) == 10
    assert not found.problems


def test_missing_and_unknown_subjects_are_problems(one):
    root, file = one
    vendor_files.mark(root, subjects=3, sessions=1, trials=15, trial_s=[1])
    shutil.copy(file, file.with_name("16_20140101.mat"))
    (file.parent / "notes.docx").write_text("x")
    found = seed.DATASET.discover(root)
    told = [str(problem) for problem in found.problems]
    assert len(told) == 3
    assert "subject 2: found 0 files, expected 1 sessions" in told[0]
    assert "subject 3: found 0 files, expected 1 sessions" in told[1]
    assert "subject 16: found an unknown subject, expected subjects 1 to 3" in told[2]
    assert found.notes == ["Not read: Preprocessed_EEG/notes.docx."]


def test_an_empty_folder_says_what_belongs_there(tmp_path):
    assert not seed.DATASET.recognise(tmp_path)
    assert "Preprocessed_EEG" in str(seed.DATASET.discover(tmp_path).problems[0])


def test_without_label_file_the_published_labels_are_used(one):
    root, file = one
    (file.parent / "label.mat").unlink()
    found = seed.DATASET.discover(root)
    assert [problem.where for problem in found.problems] == ["Preprocessed_EEG/label.mat"]
    assert read_one(root).stimuli[0].label == "positive"


def test_labels_in_another_order_are_refused(one):
    root, file = one
    savemat(file.parent / "label.mat", {"label": np.array([vendor_files.SEED_LABELS[::-1]])})
    problem = refusal(root)
    assert problem.where == "Preprocessed_EEG/label.mat: label"
    assert "SEED-IV" in problem.cure


def test_a_truncated_file_is_refused(one):
    root, file = one
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    problem = refusal(root)
    assert problem.where.startswith(f"Preprocessed_EEG/{file.name}")
    assert "cannot be read" in problem.found or "the variables" in problem.found


def test_a_missing_trial_is_refused(one):
    root, file = one
    change(file, ab_eeg7=None)
    problem = refusal(root)
    assert "ab_eeg6, ab_eeg8" in problem.found
    assert "_eeg15" in problem.expected


def test_trials_of_two_people_in_one_file_are_refused(one):
    root, file = one
    change(file, ab_eeg7=None, cd_eeg7=vendor_files.noise(62, 201))
    assert "one set of letters" in refusal(root).expected


def test_a_features_file_is_recognised(one):
    root, file = one
    savemat(file, {f"de_LDS{trial}": np.zeros((62, 10, 5)) for trial in range(1, 16)})
    assert "ExtractedFeatures" in refusal(root).cure


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (vendor_files.noise(62, 200), "shape (62, 200)"),
        (vendor_files.noise(201, 62), "shape (201, 62)"),
        (vendor_files.noise(66, 201), "shape (66, 201)"),
        (vendor_files.noise(62, 201).astype(np.int16), "int16"),
    ],
)
def test_a_wrong_array_is_refused(one, array, told):
    root, file = one
    change(file, ab_eeg10=array)
    problem = refusal(root)
    assert "trial 10 (ab_eeg10)" in problem.where
    assert told in problem.found


def test_nan_names_trial_and_channel(one):
    root, file = one
    array = vendor_files.noise(62, 201)
    array[27, 5] = np.nan  # Cz
    array[30, 6] = np.inf  # C6
    change(file, ab_eeg12=array)
    problem = refusal(root)
    assert "trial 12" in problem.where
    assert "2 values that are NaN or infinite, in channel Cz, C6" in problem.found


@pytest.mark.parametrize(
    ("factor", "unit"), [(1e-6, "volt"), (1e-3, "millivolt"), (1e3, "nanovolt"), (0.0, "the same value")]
)
def test_another_unit_is_refused(one, factor, unit):
    root, file = one
    change(file, ab_eeg2=vendor_files.noise(62, 201) * factor)
    problem = refusal(root)
    assert "trial 2" in problem.where
    assert unit in problem.found


def test_single_flat_channels_are_left_to_the_cleaning(one):
    root, file = one
    array = vendor_files.noise(62, 201)
    array[:40] = 0
    change(file, ab_eeg2=array)
    assert read_one(root).raw.n_times == 15 * 201

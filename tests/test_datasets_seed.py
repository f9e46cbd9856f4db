"""SEED: what its two readers give back, and what they refuse."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from eegpipe import datasets
from eegpipe.affect import AffectSource
from eegpipe.datasets.formats import bcmi
from eegpipe.errors import DataProblem
from eegpipe.simulate import SimulateSettings, neuroscan, simulate

import vendor_files

PREPROCESSED, RAW = datasets.get("seed").variants


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
    found = PREPROCESSED.discover(root)
    assert len(found.entries) == 1
    return PREPROCESSED.read(root, found.entries[0])


def refusal(root) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read_one(root)
    return caught.value


def change(file, **variables):
    content = {key: value for key, value in loadmat(file).items() if not key.startswith("__")} | variables
    savemat(file, {key: value for key, value in content.items() if value is not None})


def test_subjects_are_numbers_not_texts(tree):
    found = PREPROCESSED.discover(tree)
    assert not found.problems
    assert found.simulated
    assert [entry.id.subject for entry in found.entries] == [f"{number:02d}" for number in range(1, 11)]
    assert found.entries[1].files[0].startswith("Preprocessed_EEG/2_")
    assert found.entries[9].files[0].startswith("Preprocessed_EEG/10_")


def test_a_session_is_the_rank_of_its_date(tmp_path):
    folder = vendor_files.seed(tmp_path, subjects=1, sessions=3)
    found = PREPROCESSED.discover(tmp_path)
    assert [(entry.id.session, entry.files[0].split("_")[-1]) for entry in found.entries] == [
        ("1", "20140420.mat"),
        ("2", "20140519.mat"),
        ("3", "20140618.mat"),
    ]
    (folder / "1_20140519.mat").unlink()
    found = PREPROCESSED.discover(tmp_path)
    assert "2 files (20140420, 20140618), expected 3 sessions" in str(found.problems[0])
    assert len(found.entries) == 2
    for day in (19, 20):
        shutil.copy(folder / "1_20140420.mat", folder / f"1_201405{day}.mat")
    found = PREPROCESSED.discover(tmp_path)
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
    assert datasets.recognise(tree / inside) == (datasets.get("seed"), PREPROCESSED)
    found = PREPROCESSED.discover(tree / inside)
    assert len(found.entries) == 10
    assert not found.problems


def test_missing_and_unknown_subjects_are_problems(one):
    root, file = one
    vendor_files.mark(root, subjects=3, sessions=1, trials=15, trial_s=[1])
    shutil.copy(file, file.with_name("16_20140101.mat"))
    (file.parent / "notes.docx").write_text("x")
    found = PREPROCESSED.discover(root)
    told = [str(problem) for problem in found.problems]
    assert len(told) == 3
    assert "subject 2: found 0 files, expected 1 sessions" in told[0]
    assert "subject 3: found 0 files, expected 1 sessions" in told[1]
    assert "subject 16: found an unknown subject, expected subjects 1 to 3" in told[2]
    assert found.notes == ["Not read: Preprocessed_EEG/notes.docx."]


def test_an_empty_folder_says_what_belongs_there(tmp_path):
    assert not PREPROCESSED.recognise(tmp_path)
    assert "Preprocessed_EEG" in str(PREPROCESSED.discover(tmp_path).problems[0])


def test_without_label_file_the_published_labels_are_used(one):
    root, file = one
    (file.parent / "label.mat").unlink()
    found = PREPROCESSED.discover(root)
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
    assert problem.found == "no trial 7"
    assert "_eeg15" in problem.expected


def test_trials_of_two_people_in_one_file_are_refused(one):
    root, file = one
    change(file, ab_eeg7=None, cd_eeg7=vendor_files.noise(62, 201))
    assert refusal(root).found == "2 sets of letters"


def test_a_features_file_is_recognised(one):
    root, file = one
    savemat(file, {f"de_LDS{trial}": np.zeros((62, 10, 5)) for trial in range(1, 16)})
    problem = refusal(root)
    assert problem.found.startswith("features, the variables de_LDS1, de_LDS2,")
    assert "Preprocessed_EEG" in problem.cure


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
    assert problem.where.endswith("trial 10")
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


def test_files_of_the_other_sets_are_not_claimed(tmp_path):
    folder = tmp_path / "eeg_raw_data" / "1"
    folder.mkdir(parents=True)
    (folder / "1_20160518.mat").touch()
    assert datasets.recognise(folder) != (datasets.get("seed"), PREPROCESSED)
    other = tmp_path / "EEG_raw"
    other.mkdir()
    for name in ("1_1_20180804.cnt", "1_20221001_1.cnt"):
        (other / name).touch()
        assert not RAW.recognise(other)
        (other / name).unlink()


# --- SEED_RAW_EEG -----------------------------------------------------------------------------------------------------

STARTS = [2 * trial + 1 for trial in range(15)]  # every clip lasts one second


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return neuroscan.to_counts(np.random.default_rng(0).normal(0, 15, (66, 32_000)))


@pytest.fixture
def raw_tree(tmp_path, counts):
    """(root, folder) of one subject with one raw session."""
    times = {"sessions": 1, "trials": 15, "trial_s": [1] * 15, "sessions_start_s": [STARTS]}
    vendor_files.mark(tmp_path, subjects=1, **times)
    folder = tmp_path / "SEED_EEG" / "SEED_RAW_EEG"
    folder.mkdir(parents=True)
    neuroscan.write_cnt(folder / "1_1.cnt", bcmi.ORDER_66, 1000, counts)
    write_times(folder, STARTS)
    return tmp_path, folder


def write_times(folder, starts_s, length_s=1):
    starts, stops = [1000 * start for start in starts_s], [1000 * (start + length_s) for start in starts_s]
    (folder / "time.txt").write_text(f"start_point_list={starts}\nend_point_list={stops}\n")


def raw_refusal(root) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        RAW.read(root, RAW.discover(root).entries[0])
    return caught.value


def test_raw_recordings_stay_whole(raw_tree, counts):
    root, _ = raw_tree
    found = RAW.discover(root)
    assert not found.problems
    [entry] = found.entries
    recording = RAW.read(root, entry)
    assert recording.id.stem == "sub-01_ses-1_task-emotion"
    assert (recording.raw.n_times, recording.raw.info["sfreq"], recording.boundaries) == (32_000, 1000, [])
    assert [event.onset_s for event in recording.stimuli] == STARTS
    assert {event.duration_s for event in recording.stimuli} == {1.0}
    words = {1: "positive", 0: "neutral", -1: "negative"}
    assert [event.label for event in recording.stimuli] == [words[code] for code in vendor_files.SEED_LABELS]
    assert [event.stimulus for event in recording.stimuli] == [f"seed/{trial:02d}" for trial in range(1, 16)]
    signal_uv = (recording.raw.get_data() * 1e6).astype(np.float32)
    np.testing.assert_array_equal(signal_uv, neuroscan.to_microvolt(counts).astype(np.float32))
    assert (recording.sex, recording.history, recording.notes) == ("M", {}, ())
    assert all(np.isfinite(recording.raw.info["chs"][row]["loc"][:3]).all() for row in (0, 59, 63))


def test_either_end_of_the_raw_folders_may_be_named(raw_tree):
    root, folder = raw_tree
    for named in (root, root / "SEED_EEG", folder):
        assert datasets.recognise(named) == (datasets.get("seed"), RAW)
        assert [entry.id.stem for entry in RAW.discover(named).entries] == ["sub-01_ses-1_task-emotion"]
    folder.rename(root / "01-EEG-raw")
    (root / "Chinese").mkdir()
    (root / "01-EEG-raw").rename(root / "Chinese" / "01-EEG-raw")
    assert len(RAW.discover(root).entries) == 1


def test_in_the_whole_package_the_variant_decides(raw_tree):
    _, folder = raw_tree
    vendor_files.seed_session(folder.parent / "1_20131027.mat")
    assert datasets.recognise(folder.parent) == (datasets.get("seed"), PREPROCESSED)
    assert RAW.recognise(folder.parent)


def test_raw_files_missing_doubled_and_of_others(raw_tree):
    root, folder = raw_tree
    times = {"trials": 15, "trial_s": [1] * 15, "sessions_start_s": [STARTS, STARTS]}
    vendor_files.mark(root, subjects=2, sessions=2, **times)
    for name in ("01_1.cnt", "1_3.cnt", "16_1.cnt", "notes.docx"):
        (folder / name).touch()
    (folder / "time.txt").unlink()
    found = RAW.discover(root)
    assert found.entries == []
    told = [str(problem) for problem in found.problems]
    for part in (
        "subject 1: found no session 2",
        "1_1.cnt for session 1, expected one file",
        "subject 2: found no session 1, 2, expected sessions 1 to 2",
        "subject 16: found an unknown subject",
        "found 1_3.cnt, expected sessions 1 to 2",
    ):
        assert sum(part in one for one in told) == 1, part
    assert len(told) == 5
    assert found.notes == [
        "No time.txt: the published times of the clips are used.",
        "Not read: SEED_EEG/SEED_RAW_EEG/notes.docx.",
    ]


def test_raw_subjects_are_numbers_not_texts(tmp_path):
    for subject in range(1, 16):
        for session in (1, 2, 3):
            (tmp_path / f"{subject}_{session}.cnt").touch()
    write_times(tmp_path, STARTS)
    found = RAW.discover(tmp_path)
    assert not found.problems
    assert [entry.id.subject for entry in found.entries[::3]] == [f"{number:02d}" for number in range(1, 16)]
    assert [entry.files[0] for entry in found.entries[27:30]] == ["10_1.cnt", "10_2.cnt", "10_3.cnt"]


def test_other_times_are_refused(raw_tree):
    root, folder = raw_tree
    write_times(folder, [start + 1 for start in STARTS])
    problem = raw_refusal(root)
    assert problem.where == "SEED_EEG/SEED_RAW_EEG/time.txt: start_point_list"
    assert problem.found.startswith("the samples 2000, 4000")
    write_times(folder, STARTS, length_s=2)
    assert raw_refusal(root).where.endswith("end_point_list")
    (folder / "time.txt").write_bytes(b"\xff\x00 nothing")
    assert raw_refusal(root).found == "no such list"
    (folder / "time.txt").unlink()
    write_times(folder.parent, [start + 1 for start in STARTS])  # beside the folder
    assert raw_refusal(root).where == "SEED_EEG/time.txt: start_point_list"
    (folder.parent / "time.txt").unlink()
    entry = RAW.discover(root).entries[0]
    assert [event.onset_s for event in RAW.read(root, entry).stimuli] == STARTS


def test_what_raw_recordings_refuse(raw_tree, counts):
    root, folder = raw_tree
    file = folder / "1_1.cnt"
    where = "SEED_EEG/SEED_RAW_EEG/1_1.cnt"
    good = file.read_bytes()
    file.write_bytes(good[: len(good) * 9 // 10])
    assert (raw_refusal(root).where, raw_refusal(root).expected) == (where, "at least 30 s")
    neuroscan.write_cnt(file, bcmi.ORDER_66, 500, counts)
    assert (raw_refusal(root).found, raw_refusal(root).expected) == ("500 Hz", "1000 Hz")
    neuroscan.write_cnt(file, bcmi.ORDER_62, 1000, counts[:62])
    assert "without M1, M2, VEO, HEO" in raw_refusal(root).found
    file.write_bytes(b"")
    assert "no head of a NeuroScan file" in raw_refusal(root).found


def test_an_empty_raw_folder_says_what_belongs_there(tmp_path):
    assert not RAW.recognise(tmp_path)
    assert "SEED_RAW_EEG" in str(RAW.discover(tmp_path).problems[0])


# --- the two variants hold the same experiment ------------------------------------------------------------------------


def test_both_variants_give_the_same_trials(tmp_path):
    settings = SimulateSettings(subjects=1, sessions=1, trial_s=4, seed=8)
    shown, trials_uv = {}, {}
    for variant in (PREPROCESSED, RAW):
        tree = tmp_path / variant.name
        simulate("seed", tree, replace(settings, variant=variant.name), truth=tmp_path / f"{variant.name} truth")
        recording = variant.read(tree, variant.discover(tree).entries[0])
        rate = recording.raw.info["sfreq"]
        signal_uv = recording.raw.get_data(picks="eeg") * 1e6
        shown[variant.name] = [(one.trial, one.stimulus, one.label, one.affect) for one in recording.stimuli]
        trials_uv[variant.name] = [
            signal_uv[:, round(one.onset_s * rate) : round((one.onset_s + one.duration_s) * rate) : round(rate / 200)]
            for one in recording.stimuli
        ]
    assert shown["raw"] == shown["preprocessed"]
    for number, (cut, whole) in enumerate(zip(trials_uv["preprocessed"], trials_uv["raw"], strict=True)):
        assert cut.shape == (62, whole.shape[1] + 1)
        same = [np.corrcoef(one[:-1], other)[0, 1] for one, other in zip(cut, whole, strict=True)]
        assert np.median(same) > 0.95
        next_one = trials_uv["raw"][(number + 1) % 15]
        length = min(cut.shape[1] - 1, next_one.shape[1])
        other = [np.corrcoef(one[:length], two[:length])[0, 1] for one, two in zip(cut, next_one, strict=True)]
        assert np.median(np.abs(other)) < 0.6

"""SEED-VII's documented irregularities: a naive reading of the simulated files goes wrong, the readers do not.

Also: both forms of the data set, simulated from the same seed, are the same experiment.
"""

from __future__ import annotations

import csv
import re
import struct
from pathlib import Path

import mne
import numpy as np
import pytest
from scipy.io import loadmat
from scipy.signal import resample_poly

from eegpipe.datasets import seed_vii
from eegpipe.errors import DataProblem
from eegpipe.simulate import SimulateSettings, simulate

PREPROCESSED, RAW = seed_vii.DATASET.variants
NO_COUNT, OVERFLOW, STRAY = "9_20221104_2", "9_20221028_1", "14_20221022_2"
UNUSABLE = {"14_20221015_1": "14:25:34", "9_20221111_3": "14:01:27"}


def make(root, variant, sessions):
    settings = SimulateSettings(variant=variant, subjects=2, sessions=sessions, trial_s=4, traps=True, seed=3)
    simulate("seed_vii", root / "raw", settings, truth=root / "truth")
    return root


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    return make(tmp_path_factory.mktemp("cut"), "preprocessed", 2)


@pytest.fixture(scope="module")
def continuous(tmp_path_factory):
    return make(tmp_path_factory.mktemp("continuous"), "raw", 3)


@pytest.fixture(scope="module")
def cut_recordings(cut):
    return read_all(cut, PREPROCESSED)


@pytest.fixture(scope="module")
def raw_recordings(continuous):
    return read_all(continuous, RAW)


def read_all(root, variant):
    found = variant.discover(root / "raw")
    assert found.problems == []
    return {entry.id.stem[:12]: variant.read(found.root, entry) for entry in found.entries}


def truth_of(root, key):
    with (root / "truth/trials.tsv").open(encoding="utf-8", newline="") as lines:
        return [row for row in csv.DictReader(lines, delimiter="\t") if row["recording"].startswith(key)]


def header_fields(file):
    head = file.read_bytes()[:900]
    return {"samples": struct.unpack_from("<I", head, 864)[0], "table": struct.unpack_from("<i", head, 886)[0]}


def marks_in(file):
    """(sample, code) of every mark, read from the end of the file, where the table is."""
    content = file.read_bytes()
    for kind, width in ((1, 8), (3, 19)):
        for count in range(30, 50):
            at = len(content) - 9 - count * width
            if struct.unpack_from("<Bi", content, at) == (kind, count * width):
                rows = [struct.unpack_from("<HxxI", content, at + 9 + width * row) for row in range(count)]
                start, frame = 900 + 75 * 67, 4 * 67
                return [(place if kind == 3 else (place - start) // frame, code) for code, place in rows]
    raise AssertionError(f"no event table in {file.name}")


# --- cut trials -------------------------------------------------------------------------------------------------------


def test_t7a_and_t1b_variables_are_numbers_as_text(cut, cut_recordings):
    content = loadmat(cut / "raw/EEG_preprocessed/14.mat")
    names = [name for name in content if not name.startswith("__")]
    assert len(names) == 40
    assert not any(name.isidentifier() for name in names)  # naive: content.1, or MATLAB's x1
    assert names[:3] == ["1", "10", "11"]  # naive: the order of the file is the order of the clips
    lengths = [content[name].shape[1] for name in names[:20]]
    recording = cut_recordings["sub-14_ses-1"]
    ours = [last - first for first, last in recording.blocks]
    assert ours != lengths
    assert ours == [content[str(key)].shape[1] for key in range(1, 21)]


def test_t7b_lengths_differ_between_people(cut, cut_recordings):
    lengths = {
        subject: [loadmat(cut / f"raw/EEG_preprocessed/{subject}.mat")[str(key)].shape[1] for key in range(1, 21)]
        for subject in (9, 14)
    }
    assert lengths[9] != lengths[14]  # naive: the lengths of one person cut or pad the trials of another
    for subject, expected in lengths.items():
        recording = cut_recordings[f"sub-{subject:02d}_ses-1"]
        assert [last - first for first, last in recording.blocks] == expected


def test_t12_whole_seconds_and_whole_windows(cut, cut_recordings):
    labels = loadmat(cut / "raw/continuous_labels/9.mat")
    signal = loadmat(cut / "raw/EEG_preprocessed/9.mat")
    windows = [labels[str(key)].shape[1] for key in range(1, 21)]
    samples = [signal[str(key)].shape[1] for key in range(1, 21)]
    assert {length % 200 for length in samples} == {0}
    assert any(
        (length - 1) // 800 != count for length, count in zip(samples, windows, strict=True)
    )  # naive: SEED's + 1
    assert [int(event.duration_s // 4) for event in cut_recordings["sub-09_ses-1"].stimuli] == windows


def test_t1c_people_sorted_as_text(cut):
    assert sorted(file.stem for file in (cut / "raw/EEG_preprocessed").iterdir()) == ["14", "9"]
    found = PREPROCESSED.discover(cut / "raw")
    assert [(entry.id.subject, entry.files[0]) for entry in found.entries[::2]] == [
        ("09", "EEG_preprocessed/9.mat"),
        ("14", "EEG_preprocessed/14.mat"),
    ]


def test_t6_words_are_carried_because_codes_collide(cut_recordings):
    codes_of = {  # three public programs
        "one": ["sad", "disgust", "fear", "anger", "surprise", "happy", "neutral"],
        "two": ["disgust", "fear", "sad", "neutral", "happy", "anger", "surprise"],
        "three": ["happy", "neutral", "disgust", "sad", "anger", "surprise", "fear"],
    }
    words = [event.label for event in cut_recordings["sub-09_ses-1"].stimuli]
    codes = [codes_of["one"].index(word) for word in words]
    for naive in ("two", "three"):
        assert [codes_of[naive][code] for code in codes] != words
    assert words[:5] == ["happy", "neutral", "disgust", "sad", "anger"]
    assert words == words[::-1]  # each block is a palindrome, shown twice with other clips
    assert len({event.stimulus for event in cut_recordings["sub-09_ses-1"].stimuli}) == 20


def test_the_folder_of_continuous_labels_is_not_taken_for_signal(cut):
    assert {file.name for file in (cut / "raw/continuous_labels").iterdir()} == {"9.mat", "14.mat"}
    assert PREPROCESSED.recognise(cut / "raw")
    assert not PREPROCESSED.recognise(cut / "raw/continuous_labels")
    assert {entry.files[0].split("/")[0] for entry in PREPROCESSED.discover(cut / "raw").entries} == {
        "EEG_preprocessed"
    }


def test_what_the_cut_files_hold(cut):
    """Names, types, shapes and unit, with scipy alone; the tables with csv alone."""
    for subject in (9, 14):
        content = loadmat(cut / f"raw/EEG_preprocessed/{subject}.mat")
        arrays = {name: array for name, array in content.items() if not name.startswith("__")}
        assert set(arrays) == {str(key) for key in range(1, 41)}
        assert {(array.dtype, array.shape[0]) for array in arrays.values()} == {(np.dtype("<f8"), 62)}
        assert 3 < np.median([np.std(array) for array in arrays.values()]) < 100  # microvolt
    names = {file.name for file in (cut / "raw/save_info").iterdir()}
    assert "14_20221015_1_save_info.csv" in names
    assert all(re.fullmatch(r"\d{1,2}_\d{8}_[1-4]_(save|trigger)_info\.csv", name) for name in names)
    with (cut / "raw/save_info/14_20221015_1_save_info.csv").open(encoding="gbk", newline="") as lines:
        rows = list(csv.reader(lines))
    assert len(rows) == 20
    assert rows[0][0].split("\\")[2:4] == ["1", "happy"]
    assert all(0 <= float(row[1]) <= 1 for row in rows)
    with (cut / "raw/save_info/14_20221015_1_trigger_info.csv").open(encoding="ascii", newline="") as lines:
        codes = [row[0] for row in csv.reader(lines)]
    assert codes == ["1", "2"] * 20


# --- continuous recordings --------------------------------------------------------------------------------------------


def test_t5_the_session_is_the_third_field(continuous, raw_recordings):
    names = [file.stem.split("_") for file in (continuous / "raw/EEG_raw").iterdir()]
    assert all(len(name[1]) == 8 for name in names)  # naive: SEED-V's subject_session_date
    assert not any(re.fullmatch(r"\d{1,2}_[1-3]_\d{8}", "_".join(name)) for name in names)
    assert {f"sub-{int(subject):02d}_ses-{session}" for subject, _, session in names} == set(raw_recordings)
    assert raw_recordings["sub-09_ses-2"].stimuli[0].stimulus == "seed_vii/21"
    assert raw_recordings["sub-09_ses-2"].stimuli[0].label == "anger"


def test_plain_mne_reads_the_simulated_files(continuous, raw_recordings):
    """Session 2 of person 14, whose header is right: names, rate, values and marks."""
    raw = mne.io.read_raw_cnt(
        continuous / f"raw/EEG_raw/{STRAY}.cnt", data_format="int32", eog=["VEO", "HEO"], ecg=["ECG"], verbose="ERROR"
    )
    ours = raw_recordings["sub-14_ses-2"].raw
    assert raw.info["sfreq"] == ours.info["sfreq"] == 1000
    assert raw.n_times == ours.n_times
    assert sorted(name.upper() for name in ours.ch_names) == sorted(raw.ch_names)
    for name in ("FP1", "T8", "M1", "CB2", "VEO", "ECG"):
        ours_name = next(one for one in ours.ch_names if one.upper() == name)
        np.testing.assert_allclose(raw.get_data(name), ours.get_data(ours_name), rtol=1e-5, atol=1e-9)
    onsets = [round(onset * 1000) for onset in raw.annotations.onset]
    assert onsets == [sample - 1 for sample, _ in marks_in(continuous / f"raw/EEG_raw/{STRAY}.cnt")]
    assert len(onsets) == 41


def test_t3a_a_header_without_a_count(continuous, raw_recordings):
    file = continuous / f"raw/EEG_raw/{NO_COUNT}.cnt"
    assert header_fields(file)["samples"] == 0  # naive: a recording of no samples, or a guess of two bytes
    frames = (header_fields(file)["table"] - 900 - 75 * 67) // (4 * 67)
    recording = raw_recordings["sub-09_ses-2"]
    assert recording.raw.n_times == frames > 0
    assert "0 samples" in recording.notes[0]


def test_t3b_samples_of_four_bytes(continuous, raw_recordings):
    file = continuous / f"raw/EEG_raw/{NO_COUNT}.cnt"
    content = file.read_bytes()[900 + 75 * 67 : 900 + 75 * 67 + 4 * 67 * 5000]
    naive = np.frombuffer(content, "<i2").reshape(-1, 67).T  # every second number is the upper half of another channel
    right = np.frombuffer(content, "<i4").reshape(-1, 67).T
    recording = raw_recordings["sub-09_ses-2"]
    ours = recording.raw.get_data(picks=["Fp1"])[0, :5000]
    assert abs(np.corrcoef(naive[0, :5000], ours)[0, 1]) < 0.5
    assert np.corrcoef(right[0], ours)[0, 1] > 0.9999


def test_t3c_the_place_of_the_event_table_overflowed(continuous, raw_recordings):
    file = continuous / f"raw/EEG_raw/{OVERFLOW}.cnt"
    assert header_fields(file)["table"] < 0  # naive: no events, or a seek to a negative place
    recording = raw_recordings["sub-09_ses-1"]
    assert "wrong place for the event table" in " ".join(recording.notes)
    assert_onsets(recording, truth_of(continuous, "sub-09_ses-1"))


def test_t7c_unusable_marks(continuous, raw_recordings):
    for stem, began in UNUSABLE.items():
        subject, _, session = stem.split("_")
        key = f"sub-{int(subject):02d}_ses-{session}"
        truth = truth_of(continuous, key)
        naive = [sample for sample, _ in marks_in(continuous / f"raw/EEG_raw/{stem}.cnt")]
        assert len(naive) < 40
        right = [int(row["onset_sample"]) for row in truth]
        assert not set(naive[::2]) & set(right)
        recording = raw_recordings[key]
        assert_onsets(recording, truth)
        assert f"counted from {began}" in recording.notes[0]


def test_t7c_without_the_table_these_files_are_refused_and_known(continuous, tmp_path):
    for stem in UNUSABLE:
        folder = tmp_path / stem
        (folder / "EEG_raw").mkdir(parents=True)
        (folder / "eegpipe-simulated.json").write_bytes((continuous / "raw/eegpipe-simulated.json").read_bytes())
        (folder / f"EEG_raw/{stem}.cnt").symlink_to(continuous / f"raw/EEG_raw/{stem}.cnt")
        found = RAW.discover(folder)
        [entry] = found.entries
        with pytest.raises(DataProblem, match=f"no save_info/{stem}_trigger_info.csv") as caught:
            RAW.read(found.root, entry)
        known = seed_vii.DATASET.known(caught.value)
        assert known is not None
        assert known.name == "T7c"


def test_t7d_a_stray_mark_shifts_no_clip(continuous, raw_recordings):
    naive = [sample for sample, _ in marks_in(continuous / f"raw/EEG_raw/{STRAY}.cnt")][:40:2]  # the first 40, in pairs
    truth = truth_of(continuous, "sub-14_ses-2")
    right = [int(row["onset_sample"]) for row in truth]
    assert naive[:5] == right[:5]
    assert not set(naive[5:]) & set(right[5:])
    recording = raw_recordings["sub-14_ses-2"]
    assert_onsets(recording, truth)
    assert "1 marks that save_info does not know" in recording.notes[0]


def test_c1_eyes_and_heart_are_no_eeg(continuous, raw_recordings):
    file = continuous / f"raw/EEG_raw/{STRAY}.cnt"
    naive = mne.io.read_raw_cnt(file, data_format="int32", verbose="ERROR")
    assert {"VEO", "HEO", "ECG", "M1"} <= {naive.ch_names[index] for index in mne.pick_types(naive.info, eeg=True)}
    raw = raw_recordings["sub-14_ses-2"].raw
    eeg = {raw.ch_names[index] for index in mne.pick_types(raw.info, eeg=True)}
    assert len(eeg) == 62
    assert not eeg & {"VEO", "HEO", "ECG", "M1", "M2"}
    picked = [naive.ch_names[index] for index in mne.pick_types(naive.info, eeg=True)]
    difference = naive.get_data(picks=picked).mean(axis=0) - raw.get_data(picks="eeg").mean(axis=0)
    assert np.ptp(difference) > 5e-6  # naive: the heart beats in the average reference


def test_c6_the_persons_name_stays_in_the_file(continuous, raw_recordings):
    naive = mne.io.read_raw_cnt(continuous / f"raw/EEG_raw/{STRAY}.cnt", data_format="int32", verbose="ERROR")
    assert "Jane" in str(dict(naive.info["subject_info"]))  # naive: this goes on into BIDS
    recording = raw_recordings["sub-14_ses-2"]
    assert recording.raw.info["subject_info"] is None
    assert recording.raw.info["meas_date"] is None
    assert recording.sex == "F"  # from the published list, where subject 14 is a woman


def assert_onsets(recording, truth):
    assert [round(event.onset_s * 1000) for event in recording.stimuli] == [int(row["onset_sample"]) for row in truth]
    assert [round(event.duration_s * 1000) for event in recording.stimuli] == [int(row["n_samples"]) for row in truth]


# --- both forms -------------------------------------------------------------------------------------------------------


def test_both_forms_are_the_same_experiment(cut_recordings, raw_recordings):
    assert set(cut_recordings) < set(raw_recordings)
    for key, short in cut_recordings.items():
        long = raw_recordings[key]
        names = mne.pick_info(short.raw.info, mne.pick_types(short.raw.info, eeg=True)).ch_names
        for one, other, (first, last) in zip(short.stimuli, long.stimuli, short.blocks, strict=True):
            assert (one.trial, one.stimulus, one.label, one.ratings, one.affect) == (
                other.trial, other.stimulus, other.label, other.ratings, other.affect,
            )  # fmt: skip
            assert 0 <= other.duration_s - one.duration_s < 1.01  # cut to whole seconds
            if one.trial % 5 == 0:
                start = round(other.onset_s * 1000)
                at_1000 = long.raw.get_data(picks=names, start=start, stop=start + 5 * (last - first))
                at_200 = short.raw.get_data(picks=names)[:, first:last]
                lowered = resample_poly(at_1000, 1, 5, axis=1, padtype="line")
                alike = [np.corrcoef(one_row, row)[0, 1] for one_row, row in zip(at_200, lowered, strict=True)]
                assert np.median(alike) > 0.95
        assert [Path(one.stimulus).parent.name for one in short.stimuli] == ["seed_vii"] * 20

"""SEED-IV's documented irregularities: a naive reading of the simulated files goes wrong, the reader does not."""

from __future__ import annotations

import csv
import re
from collections import Counter

import mne
import numpy as np
import pytest
from scipy.io import loadmat

from eegpipe.datasets import seed_iv
from eegpipe.simulate import SimulateSettings, simulate

[VARIANT] = seed_iv.DATASET.variants


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("iv")
    simulate(
        "seed_iv",
        root / "raw",
        SimulateSettings(subjects=2, sessions=2, trial_s=4, traps=True, seed=3),
        truth=root / "truth",
    )
    return root


@pytest.fixture(scope="module")
def recordings(made):
    found = VARIANT.discover(made / "raw")
    assert found.problems == []
    return {(entry.id.subject, entry.id.session): VARIANT.read(found.root, entry) for entry in found.entries}


@pytest.fixture(scope="module")
def truth(made):
    with (made / "truth/trials.tsv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def arrays_of(file):
    return {key: value for key, value in loadmat(file).items() if not key.startswith("__")}


def test_t1a_letters_differ_per_person(made, recordings):
    files = sorted((made / "raw/eeg_raw_data/1").iterdir())
    letters = {re.match("[a-z]+", key)[0] for file in files for key in arrays_of(file)}
    assert len(letters) == 2
    fixed = sorted(letters)[0]  # naive: the letters of one file are written into the code
    assert [sum(key.startswith(f"{fixed}_eeg") for key in arrays_of(file)) for file in files] in ([24, 0], [0, 24])
    assert {len(recording.stimuli) for recording in recordings.values()} == {24}


def test_t1b_variables_in_the_order_of_their_names(made, recordings, truth):
    arrays = arrays_of(made / "raw/eeg_raw_data/1/2_20150915.mat")
    assert list(arrays)[1].endswith("_eeg10")  # naive: file order is trial order
    right = [int(row["n_samples"]) for row in truth if row["recording"].startswith("sub-02_ses-1")]
    assert [array.shape[1] for array in arrays.values()] != right
    assert [last - first for first, last in recordings["02", "1"].blocks] == right


def test_t1c_people_sorted_as_text(made):
    names = sorted(file.name for file in (made / "raw/eeg_raw_data/1").iterdir())
    assert [name.split("_")[0] for name in names] == ["10", "2"]  # naive: the place in this list is the person
    found = VARIANT.discover(made / "raw")
    assert [entry.id.subject for entry in found.entries] == ["02", "02", "10", "10"]
    assert all(f"/{int(entry.id.subject)}_" in entry.files[0] for entry in found.entries)


def test_t2a_and_t12_raw_is_200_hz(made, recordings):
    """The windows of 4 s in the vendor's features say which rate is right."""
    signal = arrays_of(made / "raw/eeg_raw_data/1/10_20151014.mat")
    features = arrays_of(made / "raw/eeg_feature_smooth/1/10_20151014.mat")
    letters = next(iter(signal)).split("_")[0]
    shapes = {
        trial: (signal[f"{letters}_eeg{trial}"].shape[1], features[f"de_LDS{trial}"].shape[1]) for trial in range(1, 25)
    }
    assert all(windows == samples // (200 * 4) for samples, windows in shapes.values())
    assert any(windows != samples // (1000 * 4) for samples, windows in shapes.values())  # naive: raw means 1000 Hz
    rounded = {trial: round(samples / 800) for trial, (samples, _) in shapes.items()}
    assert any(rounded[trial] != windows for trial, (_, windows) in shapes.items())  # naive: the nearest number
    recording = recordings["10", "1"]
    assert recording.raw.info["sfreq"] == 200
    assert {event.trial: int(event.duration_s // 4) for event in recording.stimuli} == {
        trial: windows for trial, (_, windows) in shapes.items()
    }


def test_t2c_one_sample_more_than_seconds(made, recordings, truth):
    lengths = [array.shape[1] for array in arrays_of(made / "raw/eeg_raw_data/2/2_20150920.mat").values()]
    assert {length % 200 for length in lengths} == {1}  # naive: reshape(62, -1, 200) fails or drops a sample
    recording = recordings["02", "2"]
    assert recording.raw.n_times == sum(lengths)
    mine = [row for row in truth if row["recording"] == recording.id.stem]
    assert [round(event.onset_s * 200) for event in recording.stimuli] == [int(row["onset_sample"]) for row in mine]


def test_t5_the_session_is_the_folder(made, recordings, truth):
    """Naive: SEED's rule, the rank of the date among a person's files of one folder, makes every file session 1."""
    for session in ("1", "2"):
        files = list((made / f"raw/eeg_raw_data/{session}").glob("2_*.mat"))
        assert len(files) == 1
        labels = [row["label"] for row in truth if row["recording"].startswith(f"sub-02_ses-{session}")]
        assert [event.label for event in recordings["02", session].stimuli] == labels
        stimuli = [event.stimulus for event in recordings["02", session].stimuli]
        assert stimuli[0] == ("seed_iv/01" if session == "1" else "seed_iv/25")
    assert recordings["02", "1"].stimuli[0].label != recordings["02", "2"].stimuli[0].label


def test_t6_codes_mean_other_words_than_in_seed(made, recordings):
    text = (made / "raw/ReadMe.txt").read_text(encoding="ascii")
    codes = [int(code) for code in re.search(r"session1_label = \[(.*)\]", text)[1].split(",")]
    seed = {-1: "negative", 0: "neutral", 1: "positive"}  # naive: SEED's codes
    naive = [seed.get(code) for code in codes]
    ours = [event.label for event in recordings["02", "1"].stimuli]
    assert naive.count("positive") == 6
    assert {ours[place] for place, word in enumerate(naive) if word == "positive"} == {"sad"}
    assert Counter(ours) == dict.fromkeys(("neutral", "sad", "fear", "happy"), 6)


def test_t6_features_of_the_same_name_are_no_signal(made):
    features = arrays_of(made / "raw/eeg_feature_smooth/2/10_20151021.mat")
    assert len(features) == 96
    assert all(array.shape[0] == 62 and array.shape[2] == 5 for array in features.values())
    found = VARIANT.discover(made / "raw")
    assert all(entry.files[0].startswith("eeg_raw_data/") for entry in found.entries)


def test_c2_the_cerebellar_channels_have_a_place(recordings):
    montage = mne.channels.make_standard_montage("colin27_1005")
    assert not {"CB1", "CB2"} & set(montage.ch_names)  # naive: such channels are dropped
    raw = recordings["02", "1"].raw
    places = {channel["ch_name"]: channel["loc"][:3] for channel in raw.info["chs"]}
    assert np.linalg.norm(places["CB1"] - places["O1"]) < 0.03


def test_what_the_files_hold(made):
    """Names, keys, shapes, types and unit of the simulated files, with scipy alone."""
    for session, names in ((1, {"2_20150915", "10_20151014"}), (2, {"2_20150920", "10_20151021"})):
        files = list((made / f"raw/eeg_raw_data/{session}").iterdir())
        assert {file.stem for file in files} == names
        for file in files:
            assert file.read_bytes()[:10] == b"MATLAB 5.0"
            arrays = arrays_of(file)
            assert sorted(int(re.fullmatch(r"[a-z]{2,3}_eeg(\d+)", key)[1]) for key in arrays) == list(range(1, 25))
            assert {(array.dtype, array.shape[0]) for array in arrays.values()} == {(np.dtype("<f8"), 62)}
            spread = np.median([np.std(array) for array in arrays.values()])
            assert 3 < spread < 100  # microvolt

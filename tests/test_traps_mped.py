"""The documented irregularities of MPED: how a plain reading goes wrong, and what eegpipe reads."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from scipy.io import loadmat, whosmat

from eegpipe.bids import convert
from eegpipe.datasets.mped import DATASET
from eegpipe.datasets.mped.simulate import FOLDERS
from eegpipe.simulate import SimulateSettings, simulate

VARIANT = DATASET.variants[0]
LABELS = [0, 2, 1, 4, 3, 5, 6, 7, 8, 1, 2, 3, 8, 6, 7, 4, 5, 0, 1, 5, 6, 2, 2, 1, 8, 7, 6, 4, 4, 3, 5, 3, 7, 8]
OFFICIAL = [0, 2, 1, 4, 3, 5, 6, 7, 1, 2, 3, 6, 7, 4, 5, 0, 1, 5, 6, 2, 2, 1, 7, 6, 4, 4, 3, 5, 3, 7]
WORDS = {1: "neutral", 2: "joy", 3: "funny", 4: "angry", 5: "fear", 6: "disgust", 7: "sadness"}
_SEED = (
    "FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8 "
    "TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2 CB2"
)
SEED_62 = _SEED.split()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("mped")
    settings = SimulateSettings(subjects=2, trial_s=4, traps=True, seed=2)
    simulate("mped", root / "raw", settings, truth=root / "truth")
    return root


@pytest.fixture(scope="module")
def trials(root):
    """Number -> (row, sample) of person 1 and 2, read with scipy."""
    both = []
    for name in FOLDERS[:2]:
        content = {}
        for ending in ("d", "dd"):
            content |= loadmat(root / f"raw/raw_EEG_signals/{name}/{name}_{ending}.mat")
        both.append({int(key[7:]): array for key, array in content.items() if key.startswith("raw_eeg")})
    return both


@pytest.fixture(scope="module")
def recordings(root):
    found = VARIANT.discover(root / "raw")
    assert found.problems == []
    return [VARIANT.read(found.root, entry) for entry in found.entries]


def blocks_uv(recording):
    signal = (recording.raw.get_data() * 1e6).astype(np.float32)
    return [signal[:, first:last] for first, last in recording.blocks]


def test_files_are_the_vendors(root, trials):
    folder = root / "raw" / "raw_EEG_signals"
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FOLDERS[:2], "raw_EEG_Label.mat"])
    assert loadmat(folder / "raw_EEG_Label.mat")["eeg_label"].tolist() == [LABELS]
    for person, rows in zip(trials, (66, 64), strict=True):
        assert sorted(person) == list(range(1, 35))
        assert {(len(array), array.dtype.name) for array in person.values()} == {(rows, "float64")}
    for name in FOLDERS[:2]:
        for ending, numbers in (("d", range(1, 18)), ("dd", range(18, 35))):
            variables = whosmat(folder / name / f"{name}_{ending}.mat")
            assert {key for key, *_ in variables} == {f"raw_eeg{number}" for number in numbers}


def test_p1_folders_sorted_by_name_give_other_numbers_and_tell_who_is_who(root, recordings, tmp_path):
    folders = sorted(path.name for path in (root / "raw" / "raw_EEG_signals").iterdir() if path.is_dir())
    naive = dict(enumerate(folders, start=1))  # and with them written into logs and sidecars
    assert naive != dict(enumerate(FOLDERS[:2], start=1))
    assert len(set(FOLDERS)) == 23
    assert [recording.id.subject for recording in recordings] == ["01", "02"]
    outcomes = convert(DATASET, root / "raw", tmp_path / "bids", workers=1)
    assert {outcome.status for outcome in outcomes} == {"done"}
    files = [file for file in (tmp_path / "bids").rglob("*") if file.is_file()]
    text = "".join(file.read_bytes().decode("latin1") + str(file.relative_to(tmp_path)) for file in files).lower()
    assert not [name for name in FOLDERS if name in text]


def test_p2_the_first_62_rows_hold_two_references_and_lack_two_electrodes(trials, recordings):
    array = trials[1][2]
    naive = dict(zip(SEED_62, array[:62].astype(np.float32), strict=True))
    recording = recordings[1]
    ours = dict(zip([name.upper() for name in recording.raw.ch_names], blocks_uv(recording)[0], strict=True))
    right = [name for name in SEED_62 if np.array_equal(naive[name], ours[name])]
    assert right == SEED_62[:32]  # all after T8 are other electrodes than their names say
    np.testing.assert_array_equal(naive["TP7"], ours["M1"])
    np.testing.assert_array_equal(ours["CB2"], array[63].astype(np.float32))
    kinds = dict(zip(recording.raw.ch_names, recording.raw.get_channel_types(), strict=True))
    assert [name for name, kind in kinds.items() if kind != "eeg"] == ["M1", "M2"]
    assert [name.upper() for name, kind in kinds.items() if kind == "eeg"] == SEED_62


def test_p2_rows_beyond_the_cap_are_not_taken_for_electrodes(trials, recordings):
    assert len(trials[0][2]) == 66
    assert len(recordings[0].raw.ch_names) == 64
    assert "The last 2 of 66 rows" in recordings[0].notes[0]
    assert recordings[1].notes == ()


def test_p3_the_numbering_of_the_30_labels_shifts_the_trials(trials, recordings):
    # As public code does: the 28 clips of the list of 30, counted into the 34 trials.
    naive = {number + 1: OFFICIAL[number] for number in range(30) if OFFICIAL[number] != 0}
    right = {number: label for number, label in enumerate(LABELS, start=1) if label in WORDS}
    assert len(naive) == len(right) == 28
    assert sum(LABELS[number - 1] == label for number, label in naive.items()) < 14
    for recording, person in zip(recordings, trials, strict=True):
        assert {event.trial: event.label for event in recording.stimuli} == {n: WORDS[k] for n, k in right.items()}
        for block, event in zip(blocks_uv(recording), recording.stimuli, strict=True):
            np.testing.assert_array_equal(block, person[event.trial][:64].astype(np.float32))


def test_p4_one_length_for_all_trials_cuts_or_pads(root, trials, recordings):
    lengths = [event.duration_s for event in recordings[0].stimuli]
    assert len(set(lengths)) > 3
    assert lengths == [trials[0][event.trial].shape[1] / 1000 for event in recordings[0].stimuli]
    marker = json.loads((root / "raw" / "eegpipe-simulated.json").read_text(encoding="utf-8"))
    assert lengths == marker["facts"]["trial_s"]


def test_x1_the_order_of_the_file_is_not_the_order_of_the_trials(root, recordings):
    name = FOLDERS[1]
    path = root / f"raw/raw_EEG_signals/{name}/{name}_d.mat"
    naive = [int(key[7:]) for key, *_ in whosmat(path)]
    assert naive[:3] == [1, 10, 11]
    assert sum(LABELS[number - 1] == label for number, label in zip(naive, LABELS, strict=False)) < 10
    numbers = [event.trial for event in recordings[1].stimuli]
    assert numbers == sorted(numbers)
    with (root / "truth/trials.tsv").open(encoding="utf-8", newline="") as lines:
        planted = [row for row in csv.DictReader(lines, delimiter="\t") if row["subject"] == "02"]
    assert [row["label"] for row in planted] == [event.label for event in recordings[1].stimuli]


def test_a_person_does_not_depend_on_the_others(root, tmp_path):
    settings = SimulateSettings(subjects=1, trial_s=4, traps=True, seed=2)
    simulate("mped", tmp_path / "raw", settings, truth=tmp_path / "truth")
    for ending in ("d", "dd"):
        file = f"raw_EEG_signals/{FOLDERS[0]}/{FOLDERS[0]}_{ending}.mat"
        assert (tmp_path / "raw" / file).read_bytes() == (root / "raw" / file).read_bytes()

"""DREAMER's irregularities in simulated files, opened with scipy: where a naive reading goes wrong."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy.io import loadmat

from eegpipe.datasets import dreamer
from eegpipe.simulate import SimulateSettings, simulate

VARIANT = dreamer.DATASET.variants[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(struct as scipy gives it, recordings by subject, rows of the truth)."""
    root = tmp_path_factory.mktemp("dreamer")
    settings = SimulateSettings(subjects=2, trial_s=8, traps=True, seed=3)
    simulate("dreamer", root / "raw", settings, truth=root / "truth")
    content = loadmat(root / "raw/DREAMER.mat")["DREAMER"][0, 0]
    found = VARIANT.discover(root / "raw")
    recordings = {entry.id.subject: one for entry, one in VARIANT.read_together(found.root, found.entries)}
    with (root / "truth/trials.tsv").open(encoding="utf-8", newline="") as lines:
        return content, recordings, list(csv.DictReader(lines, delimiter="\t"))


def person(content, subject: int):
    return content["Data"][0, subject - 1][0, 0]


def test_the_file_is_the_vendors_by_another_reader(made):
    content, _, _ = made
    assert list(content.dtype.names) == [
        "Data", "EEG_SamplingRate", "ECG_SamplingRate", "EEG_Electrodes", "noOfSubjects", "noOfVideoSequences",
        "Disclaimer", "Provider", "Version", "Acknowledgement",
    ]  # fmt: skip
    assert content["Data"].shape == (1, 2)
    assert (content["EEG_SamplingRate"].item(), content["ECG_SamplingRate"].item()) == (128, 256)
    assert [str(cell[0]) for cell in content["EEG_Electrodes"][0]] == list(VARIANT.facts.channels)
    assert list(person(content, 1).dtype.names) == [
        "Age", "Gender", "EEG", "ECG", "ScoreValence", "ScoreArousal", "ScoreDominance",
    ]  # fmt: skip
    eeg, ecg = (person(content, 1)[name][0, 0] for name in ("EEG", "ECG"))
    assert list(eeg.dtype.names) == list(ecg.dtype.names) == ["baseline", "stimuli"]
    assert eeg["stimuli"].shape == ecg["baseline"].shape == (18, 1)
    assert eeg["stimuli"][0, 0].dtype == np.float64
    assert len(ecg["stimuli"][3, 0]) == 2 * len(eeg["stimuli"][3, 0])


def test_r1_scores_are_small_integers_that_wrap(made):
    content, recordings, truth = made
    scores = person(content, 1)["ScoreValence"]
    assert scores.dtype == np.uint8
    naive = (scores - np.uint8(3)) * 2  # in the type of the file
    assert naive.max() > 100
    ours = [event.affect.valence for event in recordings["01"].stimuli]
    assert ours == [float(row["valence"]) for row in truth if row["subject"] == "01"]
    assert min(ours) < 0
    assert max(map(abs, ours)) <= 4


def test_r2_time_comes_before_channel(made):
    content, recordings, _ = made
    array = person(content, 1)["EEG"][0, 0]["stimuli"][2, 0]
    naive_channel = array[0]  # the first "channel" of what is taken as channel x time: one sample of all channels
    assert array.shape[1] == len(naive_channel) == 14
    first, last = recordings["01"].blocks[5]
    ours = recordings["01"].raw.get_data(picks="F7")[0, first:last] * 1e6
    np.testing.assert_array_equal(ours.astype(np.float32), array[:, 1].astype(np.float32))


def test_r3_signals_lie_far_from_zero(made):
    content, recordings, _ = made
    array = person(content, 1)["EEG"][0, 0]["stimuli"][0, 0]
    naive_uv = np.sqrt((array**2).mean())  # taken as the size of the EEG it would be no EEG
    assert naive_uv > 3000
    ours_uv = recordings["01"].raw.get_data() * 1e6
    assert (np.median(ours_uv, axis=1) > 3000).all()  # kept: a raw recording is as it was recorded
    spread = 1.4826 * np.median(np.abs(ours_uv - np.median(ours_uv, axis=1, keepdims=True)), axis=1)
    assert 1 < np.median(spread) < 200


def test_r4_clips_differ_in_length(made):
    content, recordings, truth = made
    arrays = person(content, 2)["EEG"][0, 0]["stimuli"][:, 0]
    lengths = [len(array) for array in arrays]
    with pytest.raises(ValueError, match="same shape"):
        np.stack(list(arrays))  # one array for all clips
    rows = [row for row in truth if row["subject"] == "02"]
    naive_onsets = [(2 * clip + 1) * lengths[0] for clip in range(18)]  # every clip as long as the first
    events = recordings["02"].stimuli
    ours = [round(event.onset_s * 128) for event in events]
    assert ours == [int(row["onset_sample"]) for row in rows] != naive_onsets
    assert [round(event.duration_s * 128) for event in events] == lengths


def test_age_is_read_as_number_and_as_text(made):
    content, recordings, _ = made
    stored = [person(content, subject)["Age"] for subject in (1, 2)]
    assert {array.dtype.kind for array in stored} == {"U", "u"}
    assert [recordings[f"0{subject}"].age for subject in (1, 2)] == [int(array.item()) for array in stored]

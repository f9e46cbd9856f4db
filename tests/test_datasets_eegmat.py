"""EEGMAT: real recordings where they are at hand, and the same format written by hand."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from eegpipe import datasets
from eegpipe.datasets import eegmat
from eegpipe.errors import DataProblem

import vendor_files

[EDF] = eegmat.DATASET.variants


def read(root, index=0):
    return EDF.read(root, EDF.discover(root).entries[index])


def refusal(root) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read(root)
    return caught.value


def test_a_real_subset_is_accepted(realdata):
    root = realdata / "physionet_eegmat"
    assert datasets.recognise(root) == (eegmat.DATASET, EDF)
    found = EDF.discover(root)
    assert not found.problems
    assert not found.simulated
    stems = [entry.id.stem for entry in found.entries]
    assert stems[:2] == ["sub-00_task-rest", "sub-00_task-arithmetic"]
    assert "Subject31_1.edf lasts 80 s; most last 182 s." in found.notes
    assert len(stems) == 16
    assert any("8 of 36 subjects" in note for note in found.notes)


def test_a_real_recording(realdata):
    root = realdata / "physionet_eegmat"
    recording = read(root, 8)
    assert recording.id.stem == "sub-04_task-rest"
    assert (recording.sex, recording.age) == ("F", 17)
    assert recording.raw.get_channel_types() == ["eeg"] * 19 + ["misc", "ecg"]
    assert recording.raw.ch_names[6:8] == ["T7", "T8"]
    (event,) = recording.events
    assert (event.onset_s, event.duration_s, event.stimulus, event.label) == (0, 170, "eegmat/rest", "rest")
    assert np.isnan(event.affect.valence)
    original = mne.io.read_raw_edf(root / "Subject04_1.edf", preload=True, verbose="error").get_data()
    np.testing.assert_allclose(recording.raw.get_data(), original, rtol=1e-6, atol=1e-15)
    assert recording.raw.info["meas_date"] is None


def test_the_format_by_hand(tmp_path):
    vendor_files.eegmat(tmp_path)
    found = EDF.discover(tmp_path)
    assert not found.problems
    assert [entry.files[0] for entry in found.entries] == [
        f"Subject{subject}_{number}.edf" for subject in ("02", "10") for number in (1, 2)
    ]
    recording = read(tmp_path, 1)
    assert recording.id.stem == "sub-02_task-arithmetic"
    assert (recording.sex, recording.age) == ("F", 19)
    assert read(tmp_path, 2).sex is None
    digital = vendor_files.eegmat_file(tmp_path / "Subject02_2.edf")
    np.testing.assert_allclose(recording.raw.get_data()[:20] * 1e6, digital[:20] * 0.01, atol=1e-4)
    np.testing.assert_allclose(recording.raw.get_data()[20] * 1e3, digital[20] * 0.01, atol=1e-4)
    assert recording.stimuli[0].trial == 2


def test_half_a_subject_and_a_missing_table_are_problems(tmp_path):
    vendor_files.eegmat(tmp_path)
    (tmp_path / "Subject10_2.edf").unlink()
    (tmp_path / "subject-info.csv").unlink()
    (tmp_path / "Subject40_1.edf").write_bytes(b"")
    found = EDF.discover(tmp_path)
    assert [problem.where for problem in found.problems] == ["subject-info.csv", ".", "Subject10_2.edf"]
    assert len(found.entries) == 3
    assert read(tmp_path).age is None


def test_physionets_own_folders_are_entered(tmp_path):
    vendor_files.eegmat(tmp_path / "physionet.org" / "files" / "eegmat" / "1.0.0")
    assert eegmat.DATASET.recognise(tmp_path)
    assert len(EDF.discover(tmp_path).entries) == 4


@pytest.mark.parametrize(
    ("written", "where", "told"),
    [
        ({"units": "mV"}, "units", "'mV'"),
        ({"rate": 250}, "rate", "250.0 Hz"),
        ({"seconds": 20}, "duration", "20 s"),
        ({"seconds": 300}, "duration", "300 s"),
        ({"scale": 1e-7}, "", "a typical spread"),
    ],
)
def test_what_is_refused(tmp_path, written, where, told):
    vendor_files.eegmat(tmp_path)
    vendor_files.eegmat_file(tmp_path / "Subject02_1.edf", **written)
    problem = refusal(tmp_path)
    assert problem.where == "Subject02_1.edf" + (f": {where}" if where else "")
    assert told in problem.found


def test_other_channels_and_cut_files_are_refused(tmp_path):
    vendor_files.eegmat(tmp_path)
    file = tmp_path / "Subject02_1.edf"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"EEG T3", b"EEG T9"))
    assert "EEG T9" in refusal(tmp_path).found
    file.write_bytes(content[:-4000])
    assert "by the file's own header" in refusal(tmp_path).expected

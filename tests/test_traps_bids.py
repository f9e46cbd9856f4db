"""Irregularities of open BIDS sets (DENS, EmoEEG-MC): how a plain reading goes wrong, and what eegpipe reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import mne
import numpy as np
import pytest

from eegpipe import datasets
from eegpipe.errors import DataProblem
from eegpipe.simulate import SimulateSettings, simulate

CLIP_S = 6
SETTINGS = {"trial_s": CLIP_S, "seed": 7}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The four people whose folders have all irregularities."""
    root = tmp_path_factory.mktemp("bids_traps")
    simulate("bids", root / "raw", SimulateSettings(subjects=4, traps=True, **SETTINGS), truth=root / "truth")
    return root


@pytest.fixture(scope="module")
def recordings(made) -> dict:
    raw = made / "raw"
    [variant] = datasets.at("bids", raw).variants
    found = variant.discover(raw)
    assert not found.problems
    return {entry.id.subject: variant.read(found.root, entry) for entry in found.entries}


def plain_table(file: Path) -> list[dict[str, str]]:
    """As a script of a few lines reads a table."""
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def truth(made: Path, subject: str) -> list[dict[str, str]]:
    return [row for row in plain_table(made / "truth/trials.tsv") if row["subject"] == subject]


def with_mapping(made: Path, tmp_path: Path, old: str, new: str):
    """The variant of the same folder under a changed mapping."""
    text = (made / "raw/eegpipe.yaml").read_text(encoding="utf-8")
    assert old in text
    text = text.replace("name: bids", f"name: bids\nfolder: {made / 'raw'}").replace(old, new)
    (tmp_path / "eegpipe.yaml").write_text(text, encoding="utf-8")
    [variant] = datasets.at("bids", tmp_path).variants
    found = variant.discover(tmp_path)
    return variant, found


def refusal(variant, found, key: int) -> str:
    with pytest.raises(DataProblem) as caught:
        variant.read(found.root, found.entries[key])
    return str(caught.value)


def test_the_files_are_what_public_readers_expect(made):
    """Not through eegpipe's readers: MNE opens the signal, json and csv the rest."""
    eeg = made / "raw/sub-03/eeg"
    raw = mne.io.read_raw_eeglab(eeg / "sub-03_task-Emotion_eeg.set", verbose="ERROR")
    assert (raw.info["sfreq"], len(raw.ch_names)) == (250, 35)
    assert raw.ch_names[-3:] == ["ECG", "EMG1", "EMG2"]
    with np.load(made / "truth/sub-03_task-emotion.npz") as exact:
        assert raw.n_times == exact["signal_samples"]
        read_uv = (raw.get_data(stop=1000)[:32] * 1e6).astype("<f4")
        np.testing.assert_array_equal(read_uv, exact["signal_first_uv"])
    events = plain_table(eeg / "sub-03_task-emotion_events.tsv")
    assert [row["trial_type"] for row in events[:5]] == ["base", "stm", "vlnc", "arsl", "dmns"]
    assert len([row for row in events if row["trial_type"] == "stm"]) == 11
    shown = [one["onset"] for one in raw.annotations if one["description"] == "stm"]
    assert shown == pytest.approx([float(row["onset"]) / 1000 for row in events if row["trial_type"] == "stm"])
    assert json.loads((made / "raw/task-emotion_eeg.json").read_text("utf-8"))["SamplingFrequency"] == 250


def test_a_person_does_not_depend_on_the_others(made, tmp_path):
    simulate("bids", tmp_path / "raw", SimulateSettings(subjects=2, traps=True, **SETTINGS), truth=tmp_path / "truth")
    for file in (tmp_path / "raw/sub-02").rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (made / "raw/sub-02" / file.relative_to(tmp_path / "raw/sub-02")).read_bytes()


def test_n1_onsets_in_milliseconds(made, recordings, tmp_path):
    raw, rows = recordings["03"].raw, truth(made, "03")
    events = plain_table(made / "raw/sub-03/eeg/sub-03_task-emotion_events.tsv")
    naive_s = [float(row["onset"]) for row in events if row["trial_type"] == "stm"]
    assert min(naive_s) > raw.n_times / 250  # every stimulus lies behind the end of the recording
    assert [round(event.onset_s * 250) for event in recordings["03"].stimuli] == [
        int(row["onset_sample"]) for row in rows
    ]
    variant, found = with_mapping(made, tmp_path, "  onset_unit: ms\n", "")
    assert "'onset_unit: ms' under 'stimuli'" in refusal(variant, found, 2)


def test_n1_seconds_that_are_taken_for_milliseconds(made, tmp_path):
    """The opposite mistake leaves every stimulus inside the recording, a thousandth as long: it must not pass."""
    source = made / "raw/sub-03"
    for file in source.rglob("*"):
        if file.is_file() and "events" not in file.name:
            target = tmp_path / "sub-03" / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file)
    rows = plain_table(source / "eeg/sub-03_task-emotion_events.tsv")
    lines = [[f"{float(row['onset']) / 1000}", f"{float(row['duration']) / 1000}", row["trial_type"], row["label"]]
             for row in rows]  # fmt: skip
    text = "\n".join("\t".join(row) for row in [list(rows[0]), *lines])
    (tmp_path / "sub-03/eeg/sub-03_task-emotion_events.tsv").write_text(text, encoding="utf-8")
    naive = [(float(row[0]) / 1000, float(row[1]) / 1000) for row in lines if row[2] == "stm"]
    assert max(onset_s + duration_s for onset_s, duration_s in naive) < 1
    mapping = (made / "raw/eegpipe.yaml").read_text("utf-8") + "line_hz: 50\n"
    (tmp_path / "eegpipe.yaml").write_text(mapping, encoding="utf-8")
    [variant] = datasets.at("bids", tmp_path).variants
    assert "take 'onset_unit: ms' out" in refusal(variant, variant.discover(tmp_path), 0)


def test_n2_names_that_differ_in_case(made, recordings):
    eeg = made / "raw/sub-03/eeg"
    [signal] = eeg.glob("*.set")
    naive = signal.with_name(signal.name.replace("_eeg.set", "_events.tsv"))
    assert not naive.exists()
    assert len(recordings["03"].stimuli) == 11
    assert {recording.id.task for recording in recordings.values()} == {"emotion"}
    assert any("paired without regard to case" in note for note in recordings["03"].notes)


def test_n3_a_channels_table_without_names(made, recordings):
    rows = plain_table(made / "raw/sub-02/sub-02_channels.tsv")
    with pytest.raises(KeyError):
        [row["name"] for row in rows]
    # Without the table every channel would be EEG, heart and muscles among them.
    raw = recordings["02"].raw
    assert raw.get_channel_types(["ECG", "EMG1", "EMG2", "Fp1"]) == ["ecg", "emg", "emg", "eeg"]
    assert any("has no column 'name'" in note for note in recordings["02"].notes)


def test_n4_events_out_of_order(made, recordings):
    with (made / "raw/sub-01/eeg/sub-01_task-emotion_events.tsv").open(encoding="utf-8-sig", newline="") as lines:
        rows = [row for row in csv.DictReader(lines, delimiter="\t") if row["trial_type"] == "stm"]
    beh = plain_table(made / "raw/sub-01/beh/sub-01_task-Emotion_beh.tsv")
    planted = {int(row["onset_sample"]): row["stimulus"] for row in truth(made, "01")}
    naive = {round(float(row["onset"]) / 4): f"bids/{clip['stimuliName']}" for row, clip in zip(rows, beh, strict=True)}
    assert sum(naive[sample] != stimulus for sample, stimulus in planted.items()) >= 10
    assert {round(event.onset_s * 250): event.stimulus for event in recordings["01"].stimuli} == planted
    assert any("not in order of time" in note for note in recordings["01"].notes)


def test_n5_stimuli_without_duration(made, recordings, tmp_path):
    with (made / "raw/sub-01/eeg/sub-01_task-emotion_events.tsv").open(encoding="utf-8-sig", newline="") as lines:
        rows = [row for row in csv.DictReader(lines, delimiter="\t") if row["trial_type"] == "stm"]
    assert {float(row["duration"]) for row in rows} == {0.0}  # nothing to cut windows from
    assert {event.duration_s for event in recordings["01"].stimuli} == {float(CLIP_S)}
    assert any("the next row with 'vlnc'" in note for note in recordings["01"].notes)
    end = "  end:\n    column: trial_type\n    values: [vlnc]\n"
    variant, found = with_mapping(made, tmp_path, end, "")
    assert "'stimuli.duration_s'" in refusal(variant, found, 0)
    assert len(variant.read(found.root, found.entries[2]).stimuli) == 11  # who has durations needs neither


def test_n6_tables_above_the_eeg_folder(made, recordings):
    assert not list((made / "raw/sub-02/eeg").glob("*.tsv"))  # all that a plain reading would look at
    assert [event.stimulus for event in recordings["02"].stimuli] == [row["stimulus"] for row in truth(made, "02")]
    # The recording that has no text of its own inherits the one at the root.
    assert not list((made / "raw/sub-04/eeg").glob("*.json"))
    assert (recordings["04"].line_hz, recordings["04"].reference) == (50, "Cz")


def test_n7_byte_order_mark_and_line_ends(made):
    file = made / "raw/sub-01/eeg/sub-01_task-emotion_events.tsv"
    assert file.read_bytes().count(b"\r\n") > 11
    assert "onset" not in plain_table(file)[0]  # the first column is called \ufeffonset


def test_n7_numbers_and_gaps_in_ratings(made, recordings):
    rows = plain_table(made / "raw/sub-03/beh/sub-03_task-Emotion_beh.tsv")
    with pytest.raises(ValueError, match="invalid literal"):
        [int(row["trial_number"]) for row in rows]
    with pytest.raises(ValueError, match="could not convert"):
        [float(row["valence"]) for row in rows]
    planted = truth(made, "03")
    # By order, as if the rows stood in the order of presentation:
    naive = [row["arousal"] for row in rows]
    assert sum(float(one) != float(row["rating_arousal"]) for one, row in zip(naive, planted, strict=True)) >= 8
    read = [event.ratings for event in recordings["03"].stimuli]
    assert [one["arousal"] for one in read] == pytest.approx([float(row["rating_arousal"]) for row in planted])
    assert [event.trial for event in recordings["03"].stimuli if "valence" not in event.ratings] == [2]
    assert [event.affect.source.text for event in recordings["03"].stimuli].count("word-norm") == 1


def test_events_of_a_recording_that_is_not_there_are_said(made):
    [variant] = datasets.at("bids", made / "raw").variants
    notes = variant.discover(made / "raw").notes
    assert any("sub-01_task-rest_events.tsv" in note for note in notes)

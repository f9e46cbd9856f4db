"""EmoEEG-MC's known irregularities: each leads a naive reading astray, and ours gives the truth."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import mne
import numpy as np
import pytest

from eegpipe.datasets.emoeeg_mc import DATASET, facts
from eegpipe.errors import DataProblem
from eegpipe.simulate import SimulateSettings, simulate

RAW, DERIVATIVE = DATASET.variants


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("traps")
    settings = SimulateSettings(subjects=5, trial_s=8, traps=True, seed=8)
    simulate("emoeeg_mc", root / "raw", settings, truth=root / "truth")
    return root


@pytest.fixture(scope="module")
def recordings(made) -> dict[int, object]:
    found = RAW.discover(made / "raw")
    assert not found.problems
    entries = [entry for entry in found.entries if entry.id.subject != "08"]
    return {int(entry.id.subject): RAW.read(made / "raw", entry) for entry in entries}


def truth(made: Path, subject: int) -> list[dict[str, str]]:
    with (made / "truth/trials.tsv").open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines, delimiter="\t") if int(row["subject"]) == subject]
    return sorted(rows, key=lambda row: int(row["onset_sample"]))


def edf(made: Path, subject: int, run: str = "") -> mne.io.BaseRaw:
    name = f"sub-{subject:02d}_task-emotion{run}_eeg.edf"
    return mne.io.read_raw_edf(made / f"raw/sub-{subject:02d}/eeg" / name, verbose="error")


def rows(made: Path, subject: int) -> list[dict[str, str]]:
    path = made / f"raw/sub-{subject:02d}/beh/sub-{subject:02d}_task-emotion_beh.tsv"
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def test_e1_the_second_run_and_the_subject_without_any(made, recordings):
    naive = [one["description"] for one in edf(made, 16, "_run-01").annotations]
    assert naive.count("23") + naive.count("24") == 24  # of 42: the second run is ignored
    assert len(recordings[16].stimuli) == 42
    assert len(recordings[16].boundaries) == 1
    assert recordings[16].boundaries == [edf(made, 16, "_run-01").n_times]
    assert "01" not in [entry.id.subject for entry in RAW.discover(made / "raw").entries]
    assert "sub-01 has no EDF file in the release." in RAW.discover(made / "raw").notes


def test_e2_two_rates(made, recordings):
    rates = {subject: recording.raw.info["sfreq"] for subject, recording in recordings.items()}
    assert rates == {2: 1200, 16: 600, 20: 600, 57: 600}
    naive_s = edf(made, 2).n_times / 600  # one rate for everybody
    assert naive_s == pytest.approx(2 * recordings[2].raw.n_times / 1200)


def test_e3_codes_differ_and_one_is_misspelt(made, recordings):
    for subject, own in ((2, "33"), (16, "24"), (20, "6"), (57, "6")):
        run = "" if subject == 2 else "_run-01"
        codes = [one["description"] for one in edf(made, subject, run).annotations]
        assert own in codes
        if subject in (2, 16):
            assert "6" not in codes  # naive: the code of most subjects finds nothing
        assert recordings[subject].stimuli
    line = re.search("sub-16: .*", (made / "raw/README.md").read_text())[0]
    assert "fade" not in line
    scenes = [event for event in recordings[16].stimuli if "/ima-" in event.stimulus]
    later = [event for event in truth(made, 16) if "/ima-" in event["stimulus"]]
    assert [round(event.duration_s * 600) for event in scenes] == [int(row["n_samples"]) for row in later]


def test_e4_the_name_of_the_video_is_no_stimulus(made, recordings):
    assert len({row["video_name"] for row in rows(made, 2)}) == 1
    for subject, recording in recordings.items():
        assert [event.stimulus for event in recording.stimuli] == [row["stimulus"] for row in truth(made, subject)]
    assert len({event.stimulus for event in recordings[2].stimuli}) == 42


def test_e5_numbers_that_are_no_whole_numbers(made, recordings):
    with pytest.raises(ValueError, match="invalid literal"):
        int(rows(made, 57)[0]["trial_number"])
    with pytest.raises(ValueError, match="could not convert"):
        float(rows(made, 16)[4]["score_1"])
    fifth = recordings[16].stimuli[4]
    assert fifth.ratings == {}
    assert fifth.affect.source.text == "word-norm"
    assert all(event.ratings for event in recordings[16].stimuli if event is not fifth)


def test_e7_triggers_are_no_channels(made, recordings):
    raw = edf(made, 2)
    assert raw.get_channel_types() == ["eeg"] * 68  # naive: all that the file holds
    assert tuple(recordings[2].raw.ch_names) == facts.CHANNELS


def test_e8_sidecars_that_are_not_there(made):
    text = (made / "raw/README.md").read_text()
    assert "_channels.tsv" in text
    assert not list((made / "raw").rglob("*_channels.tsv"))
    assert not list((made / "raw").rglob("*_events.tsv"))


def test_e9_neutral_films_listed_the_wrong_way_round(made, recordings):
    [line] = re.findall(r"(?m)^20\. `\[(.*)\]`", (made / "raw/README.md").read_text())
    naive = re.findall(r"\w+", line)
    ours = [
        event.stimulus.removeprefix("emoeeg_mc/vid-") for event in recordings[20].stimuli if "vid-" in event.stimulus
    ]
    assert naive != ours
    assert sorted(naive) == sorted(ours)
    # The same film is equally long in everybody.
    lengths = {}
    for recording in recordings.values():
        for event in recording.stimuli:
            if "/vid-neu" in event.stimulus:
                lengths.setdefault(event.stimulus, set()).add(round(event.duration_s))
    assert all(len(one) == 1 for one in lengths.values())
    assert len(lengths) == 3
    assert any("wrong way round" in note for note in recordings[20].notes)
    assert not any("wrong way round" in note for note in recordings[16].notes)


def test_e10_a_loose_trigger(made, recordings):
    naive = [one["description"] for run in ("_run-01", "_run-02") for one in edf(made, 20, run).annotations]
    assert (naive.count("5"), naive.count("6")) == (22, 22)
    assert len(recordings[20].stimuli) == 42
    assert any("loose trigger" in note for note in recordings[20].notes)


def contrast(pairs) -> float:
    """How far the rating of the trial's own emotion lies above the mean of the six."""
    names = facts.RATINGS[:6]
    return float(np.mean([own[word] - np.mean([own[name] for name in names]) for word, own in pairs if word in names]))


def test_e11_ratings_in_another_order(made, recordings):
    names = facts.RATINGS
    table = [{name: float(row[f"score_{k}"]) for k, name in enumerate(names, 1)} for row in rows(made, 57)]
    labels = {int(row["trial"]): row["label"] for row in truth(made, 57)}
    order = [event.trial for event in recordings[57].stimuli]
    naive = contrast((labels[trial], own) for trial, own in zip(order, table, strict=False))
    good = contrast((event.label, event.ratings) for event in recordings[2].stimuli)
    assert good > 1 > naive
    assert not any(event.ratings for event in recordings[57].stimuli)
    assert any("order of the trials" in note for note in recordings[57].notes)


def test_e12_times_that_are_twice_too_long(made):
    [entry] = [entry for entry in RAW.discover(made / "raw").entries if entry.id.subject == "08"]
    assert edf(made, 8, "_run-01").info["sfreq"] == 600  # naive: believed
    with pytest.raises(DataProblem, match="between its marks") as caught:
        RAW.read(made / "raw", entry)
    assert DATASET.known(caught.value).name == "E12"


def test_e13_trials_without_a_stimulus(made, recordings):
    codes = [one["description"] for run in ("_run-01", "_run-02") for one in edf(made, 57, run).annotations]
    assert codes.count("5") == codes.count("6") == 21
    [line] = re.findall(
        r"(?s)\*\*sub57\*\*:  \n.*?Imagery sequence:  \n    `\[(.*?)\]`", (made / "raw/README.md").read_text()
    )
    listed = re.findall(r"\w+", line)
    assert len(listed) == 17
    ours = {event.trial: event.stimulus for event in recordings[57].stimuli if "/ima-" in event.stimulus}
    assert sorted(ours) == [place for place in range(1, 22) if place not in (6, 8, 13, 21)]
    naive = dict(enumerate((f"emoeeg_mc/ima-{name}" for name in listed), start=1))
    assert naive[7] != ours[7] == naive[6]


def test_x1_subjects_in_order_of_their_numbers(made):
    assert [entry.id.subject for entry in RAW.discover(made / "raw").entries] == ["02", "08", "16", "20", "57"]


def test_e6_the_level_that_is_missing_and_odd_arrays(tmp_path):
    settings = SimulateSettings(variant="derivative", subjects=2, trial_s=4, traps=True, seed=8)
    simulate("emoeeg_mc", tmp_path / "raw", settings, truth=tmp_path / "truth")
    base = tmp_path / "raw/derivatives/sub-57"
    assert not (base / "ses-ima/eeg").exists()  # naive: a fixed path
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load(base / "sub-57_task-emotion_filtered.npy")
    found = DERIVATIVE.discover(tmp_path / "raw")
    assert [entry.id.subject for entry in found.entries] == ["01", "57"]
    recording = DERIVATIVE.read(tmp_path / "raw", found.entries[1])
    assert len(recording.stimuli) == 17 + 15
    assert [event.stimulus for event in recording.stimuli] == [row["stimulus"] for row in truth(tmp_path, 57)]
    # Naive: the 17 trials are the first 17 of the published order.
    naive = [f"emoeeg_mc/ima-{name}" for name in facts.STIMULI[:17]]
    assert [event.stimulus for event in recording.stimuli[:17]] != naive

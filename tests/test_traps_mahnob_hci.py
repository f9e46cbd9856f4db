"""MAHNOB-HCI's known irregularities: each leads a naive reading astray, and ours gives the truth."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree

import mne
import numpy as np
import pytest

from eegpipe.datasets.mahnob_hci import DATASET, reader
from eegpipe.simulate import SimulateSettings, simulate

[VARIANT] = DATASET.variants


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("traps")
    settings = SimulateSettings(subjects=3, trial_s=4, traps=True, seed=8)
    simulate("mahnob_hci", root / "raw", settings, truth=root / "truth")
    return root


@pytest.fixture(scope="module")
def recordings(made) -> dict[int, object]:
    found = VARIANT.discover(made / "raw")
    assert not found.problems
    return {int(entry.id.subject): VARIANT.read(made / "raw", entry) for entry in found.entries}


def truth(made: Path, subject: int) -> list[dict[str, str]]:
    with (made / "truth/trials.tsv").open(encoding="utf-8", newline="") as lines:
        return [row for row in csv.DictReader(lines, delimiter="\t") if int(row["subject"]) == subject]


def session(subject: int, trial: int) -> int:
    return (subject - 1) * 130 + 2 * trial


def bdf(made: Path, subject: int, trial: int) -> mne.io.BaseRaw:
    name = f"Part_{subject}_S_Trial{trial}_emotion.bdf"
    return mne.io.read_raw_bdf(made / f"raw/Sessions/{session(subject, trial)}" / name, verbose="error")


def description(made: Path, number: int) -> dict[str, str]:
    return ElementTree.parse(made / f"raw/Sessions/{number}/session.xml").getroot().attrib


def test_h1_the_rate_is_256(made, recordings):
    raw = bdf(made, 3, 1)
    naive_s = raw.n_times / 512
    said_s = float(description(made, session(3, 1))["cutLenSec"])
    assert naive_s == pytest.approx(said_s / 2)
    first = recordings[3].blocks[0]
    assert (first[1] - first[0]) / recordings[3].raw.info["sfreq"] == pytest.approx(said_s)


def test_h2_the_clip_is_not_the_whole_file(made, recordings):
    for row, event in zip(truth(made, 9), recordings[9].stimuli, strict=True):
        raw = bdf(made, 9, int(row["trial"]))
        assert raw.n_times > int(row["n_samples"]) + 2 * 256  # naive: the file is the clip
        assert event.duration_s * 256 == int(row["n_samples"])
        assert event.onset_s * 256 == int(row["onset_sample"])


def test_h3_offsets_are_kept_and_do_not_look_like_a_unit(made, recordings):
    uv = recordings[3].raw.get_data(picks="eeg", stop=1024) * 1e6
    assert np.abs(uv).mean() > 1000  # naive: millivolts, so the unit must be wrong
    assert np.median(np.abs(uv - np.median(uv, axis=1, keepdims=True))) < 200
    np.testing.assert_allclose(uv.mean(axis=1), bdf(made, 3, 1).get_data(stop=1024)[:32].mean(axis=1) * 1e6, rtol=1e-4)


def test_h4_a_session_without_a_clip_and_clips_without_a_label(made, recordings):
    assert session(16, 17) == 1984
    with pytest.raises(KeyError):  # naive
        description(made, 1984)["mediaFile"]
    with pytest.raises(KeyError):
        description(made, session(16, 1) - 1)["feltEmo"]
    assert len(recordings[16].stimuli) == 16
    assert any("1984" in note for note in recordings[16].notes)
    assert any("3 sessions of neutral clips" in note for note in VARIANT.discover(made / "raw").notes)


def test_h5_people_have_fewer_trials_or_none(made, recordings):
    naive = 20 * len(recordings)
    counts = {subject: len(recording.stimuli) for subject, recording in recordings.items()}
    assert counts == {3: 17, 9: 14, 16: 16}
    assert sum(counts.values()) != naive
    # A person who is in the archive, but not in the emotion part.
    assert description(made, 1432)["cutNr"] == "1"
    assert 12 not in counts
    assert any("2 sessions without" in note for note in VARIANT.discover(made / "raw").notes)


def test_h6_the_value_of_the_pulse_is_anything(made, recordings):
    found = {}
    for subject in recordings:
        (words,) = bdf(made, subject, 1).get_data(picks=["Status"])
        low = words.astype(np.int64) & 0xFF
        found[subject] = int((np.diff((low == 16).astype(int)) > 0).sum())  # naive: pulses of code 16
    assert min(found.values()) == 0
    for subject, recording in recordings.items():
        assert len(recording.stimuli) == len(truth(made, subject))


def test_x1_trial_10_is_not_the_second(made, recordings):
    files = [path.name for path in (made / "raw/Sessions").rglob("Part_3_S_*.bdf")]
    naive = [int(name.split("Trial")[1].split("_")[0]) for name in sorted(files)]
    assert naive[:3] == [10, 11, 12]
    shown = [event.stimulus for event in recordings[3].stimuli]
    assert shown == [row["stimulus"] for row in truth(made, 3)]
    order = [description(made, session(3, trial))["mediaFile"] for trial in range(1, 18)]
    assert shown == ["mahnob_hci/" + name.removesuffix(".avi") for name in order]
    assert {name.split("/")[1] for name in shown} <= set(reader.CLIPS)

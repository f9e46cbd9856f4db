"""The stage clean: every recording has a row, only what changed is made again, workers change no byte."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from eegpipe import bids, datasets
from eegpipe.clean.settings import CleanSettings, FilterSettings
from eegpipe.clean.stage import COLUMNS, clean_dataset
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, RecordingId

from clean_synthetic import MONTAGE_14, planted

SETTINGS = CleanSettings()
DREAMER = datasets.get("dreamer")


def write_source(root: Path, subjects: tuple[str, ...], dead: str = "") -> Path:
    for subject in subjects:
        recording = planted(MONTAGE_14, rate_hz=128.0, duration_s=15.0, seed=int(subject)).recording
        recording.id = RecordingId(subject)
        recording.events = [Event(1.0, 12.0, "stimulus", trial=1, stimulus="dreamer/01", label="calmness")]
        if subject == dead:
            recording.raw._data[:8] = 0
        bids.write_recording(recording, root)
    bids.write_root(root, about=DREAMER.about(simulated=True))
    return root


def snapshot(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def table(out: Path) -> list[dict[str, str]]:
    with (out / "quality.tsv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def statuses(outcomes) -> dict[str, str]:
    return {outcome.key[4:6]: outcome.status for outcome in outcomes}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "bids", ("02", "09", "10"))


def test_what_could_not_be_converted_is_listed_too(tmp_path: Path):
    source = write_source(tmp_path / "bids", ("02",))
    lines = ["recording\tstatus\tproblem", "sub-02_task-emotion\tok\tn/a", "sub-03_task-emotion\tfailed\ts03.mat: cut"]
    (source / "quality.tsv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    outcomes = clean_dataset(source, tmp_path / "clean", SETTINGS, workers=1)
    assert statuses(outcomes) == {"02": "done"}
    rows = table(tmp_path / "clean")
    assert [(row["recording"], row["status"]) for row in rows] == [
        ("sub-02_task-emotion", "ok"),
        ("sub-03_task-emotion", "failed"),
    ]
    assert rows[1]["problem"] == "not converted: s03.mat: cut"


def test_cleans_once_and_keeps(source: Path, tmp_path: Path):
    out = tmp_path / "clean"
    first = clean_dataset(source, out, SETTINGS, workers=1)
    assert statuses(first) == {"02": "done", "09": "done", "10": "done"}
    rows = table(out)
    assert [row["subject"] for row in rows] == ["02", "09", "10"]
    assert tuple(rows[0]) == COLUMNS
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["iclabel_valid"] for row in rows} == {"false"}
    assert [float(row["bad_share"]) for row in rows] == [0, 0, 0]
    sidecar = bids.read_sidecar(out, RecordingId("09"), description="clean")
    assert len(sidecar["Cleaning"]["components"]) == int(rows[1]["components"]) == 13
    assert sidecar["EEGReference"] == "average"
    assert bids.about(out).name == "dreamer"
    assert bids.about(out).simulated
    read = bids.read_recording(out, RecordingId("09"), description="clean")
    assert np.abs(read.raw.get_data().mean(axis=0)).max() < 1e-9

    before = snapshot(out)
    second = clean_dataset(source, out, SETTINGS, workers=1)
    assert statuses(second) == {"02": "kept", "09": "kept", "10": "kept"}
    assert [outcome.row for outcome in second] == [outcome.row for outcome in first]
    assert snapshot(out) == before
    assert [finding for finding in bids.validate(out) if finding.severity == "error"] == []


def test_any_number_of_workers_writes_the_same_bytes(source: Path, tmp_path: Path):
    clean_dataset(source, tmp_path / "one", SETTINGS, workers=1)
    clean_dataset(source, tmp_path / "two", SETTINGS, workers=2)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_a_failed_recording_has_a_row_and_no_output(source: Path, tmp_path: Path, caplog):
    out = tmp_path / "clean"
    clean_dataset(source, out, SETTINGS, workers=1)
    write_source(source, ("09",), dead="09")
    outcomes = clean_dataset(source, out, SETTINGS, workers=1, allow_partial=True)
    assert statuses(outcomes) == {"02": "kept", "09": "failed", "10": "kept"}
    row = table(out)[1]
    assert row["status"] == "failed"
    assert row["problem"].startswith("sub-09_task-emotion: found 8 bad of 14 EEG channels")
    assert row["variance_kept"] == "n/a"
    assert [one.subject for one in bids.list_recordings(out, description="clean")] == ["02", "10"]
    assert not (out / "sub-09").exists()
    assert "8 bad of 14" in caplog.text


def test_only_what_changed_is_made_again(source: Path, tmp_path: Path):
    out = tmp_path / "clean"
    clean_dataset(source, out, SETTINGS, workers=1)
    bids.remove_recording(source, RecordingId("02"))
    (out / "sub-10" / "eeg" / "sub-10_task-emotion_desc-clean_eeg.eeg").write_bytes(b"cut short")
    assert statuses(clean_dataset(source, out, SETTINGS, workers=1)) == {"09": "kept", "10": "done"}
    assert not (out / "sub-02").exists()
    assert [row["subject"] for row in table(out)] == ["09", "10"]

    other = dataclasses.replace(SETTINGS, filters=FilterSettings(band_hz=(1.0, 40.0)))
    assert statuses(clean_dataset(source, out, other, workers=1)) == {"09": "done", "10": "done"}
    assert table(out)[0]["band_hz"] == "1-40"


def test_refuses_a_folder_that_is_not_there_or_empty(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataProblem, match="no such file"):
        clean_dataset(tmp_path / "empty", tmp_path / "out", SETTINGS)
    bids.write_root(tmp_path / "empty", about=DREAMER.about(simulated=True))
    with pytest.raises(DataProblem, match="no recordings"):
        clean_dataset(tmp_path / "empty", tmp_path / "out", SETTINGS)

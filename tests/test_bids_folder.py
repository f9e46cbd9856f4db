"""What is written as BIDS comes back: to eegpipe in full, to MNE-BIDS as far as MNE knows the words."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pytest

from eegpipe.bids import (
    list_recordings,
    read_recording,
    read_sidecar,
    recording_digest,
    recording_files,
    remove_leftovers,
    remove_recording,
    write_recording,
    write_root,
)
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.recording import Event, RecordingId

from made_recordings import DATASET, OTHERS, SCALP, make_recording

ID = RecordingId("01", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished folder with one recording, raw and cleaned."""
    root = tmp_path_factory.mktemp("bids")
    recording = make_recording(ID)
    write_recording(recording, root, sidecar={"Fingerprint": "abc"})
    recording.raw.info["bads"] = ["Cz"]
    write_recording(recording, root, description="clean")
    write_root(root, about=DATASET.about(simulated=False))
    return root


def snapshot(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_everything_comes_back(folder: Path):
    written, read = make_recording(ID), read_recording(folder, ID)
    np.testing.assert_array_equal(read.raw.get_data(), written.raw.get_data())
    assert read.raw.ch_names == written.raw.ch_names
    assert read.raw.get_channel_types() == written.raw.get_channel_types()
    for one, other in zip(read.raw.info["chs"], written.raw.info["chs"], strict=True):
        assert one["unit"] == other["unit"], one["ch_name"]
        if one["ch_name"] in SCALP:
            np.testing.assert_array_equal(one["loc"][:3], other["loc"][:3])
    assert read.raw.info["line_freq"] == 50.0
    assert read.raw.info["meas_date"] is None
    assert len(read.raw.annotations) == 0
    assert replace(read, raw=None) == replace(written, raw=None)


def test_times_come_back_to_the_sample_at_any_rate(tmp_path: Path):
    for rate_hz in (128.0, 250.0, 512.0, 1000.0, 333.0):
        written = make_recording(RecordingId("01"), rate_hz=rate_hz)
        samples = np.random.default_rng(0).integers(0, written.raw.n_times, 300)
        written.events = [Event(float(sample) / rate_hz, 0.0, "stimulus", 1, "made/01") for sample in sorted(samples)]
        write_recording(written, tmp_path)
        read = read_recording(tmp_path, written.id)
        assert read.events == written.events
        assert read.raw.info["sfreq"] == rate_hz
        assert [round(event.onset_s * rate_hz) for event in read.events] == sorted(samples)


def test_bad_channels_come_back(folder: Path):
    assert read_recording(folder, ID, description="clean").raw.info["bads"] == ["Cz"]
    assert read_recording(folder, ID).raw.info["bads"] == []


@pytest.mark.parametrize("description", [None, "clean"])
def test_mne_bids_reads_it_without_a_warning(folder: Path, description: str | None):
    path = mne_bids.BIDSPath(
        root=folder,
        subject="01",
        session="2",
        task="emotion",
        description=description,
        datatype="eeg",
        extension=".vhdr",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw = mne_bids.read_raw_bids(path.update(suffix="eeg"), verbose="ERROR")
    written = make_recording(ID)
    np.testing.assert_array_equal(raw.get_data(), written.raw.get_data())
    assert raw.get_channel_types() == written.raw.get_channel_types()
    assert raw.info["line_freq"] == 50.0
    np.testing.assert_array_equal(raw.info["chs"][0]["loc"][:3], written.raw.info["chs"][0]["loc"][:3])
    assert list(raw.annotations.description) == ["baseline", "stimulus", "EDGE boundary"] + ["stimulus"] * 3
    np.testing.assert_array_equal(raw.annotations.onset, [event.onset_s for event in written.events])
    first = raw.annotations.extras[1]
    assert (first["trial"], first["stimulus"], first["label"]) == ("1", "made/01", "joy")
    assert float(first["rating_valence"]) == 6.77
    assert float(first["valence"]) == written.events[1].affect.valence
    assert raw.annotations.extras[5]["valence"] == "n/a"


def test_a_filter_of_mne_stops_at_a_boundary(folder: Path):
    """One block changes; the filtered signal of the other must not."""
    path = mne_bids.BIDSPath(root=folder, subject="01", session="2", task="emotion", datatype="eeg", suffix="eeg")
    filtered = []
    for offset_v in (0.0, 1e-3):
        raw = mne_bids.read_raw_bids(path.update(extension=".vhdr"), verbose="ERROR").pick("eeg").load_data()
        raw._data[:, 1000:] += offset_v
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # five seconds are short for this filter
            filtered.append(raw.filter(1.0, None, verbose="ERROR").get_data()[:, :1000])
    np.testing.assert_array_equal(*filtered)


def test_the_facts_of_a_recording(folder: Path):
    facts = read_sidecar(folder, ID)
    assert facts["Fingerprint"] == "abc"
    assert facts["RecordingType"] == "discontinuous"
    assert facts["RecordingDuration"] == 10.0
    assert facts["SoftwareFilters"] == make_recording().history
    assert (facts["EEGChannelCount"], facts["EOGChannelCount"], facts["MISCChannelCount"]) == (8, 1, 2)
    table = (folder / ID.folder / "sub-01_ses-2_task-emotion_channels.tsv").read_text(encoding="utf-8")
    units = dict(line.split("\t")[::2][:2] for line in table.splitlines())
    assert {name: units[name] for name in OTHERS} == {
        "A1": "µV",
        "hEOG": "µV",
        "EMG1": "µV",
        "GSR": "S",
        "Resp": "n/a",
        "Temp": "oC",
    }


def test_writing_twice_gives_the_same_bytes_and_leaves_nothing(folder: Path, tmp_path: Path):
    for _ in range(2):
        write_recording(make_recording(ID), tmp_path, sidecar={"Fingerprint": "abc"})
        files = snapshot(tmp_path)
        assert files == {name: text for name, text in snapshot(folder).items() if name in files}
        assert len(files) == 8
        assert not list(tmp_path.glob(".*"))


def test_no_date_host_or_path_in_the_files(folder: Path):
    for name, content in snapshot(folder).items():
        assert str(folder.parent).encode() not in content, name
    assert mne.io.read_raw_brainvision(next(folder.rglob("*_eeg.vhdr")), verbose="ERROR").info["meas_date"] is None


def test_listing_sorts_by_number_and_tells_descriptions_apart(tmp_path: Path):
    recording = make_recording(others=False)
    ids = [RecordingId("2"), RecordingId("10"), RecordingId("10", None, "rest"), RecordingId("s9"), RecordingId("s10")]
    for name in reversed(ids):
        write_recording(replace(recording, id=name), tmp_path)
    write_recording(replace(recording, id=RecordingId("3")), tmp_path, description="clean")
    assert list_recordings(tmp_path) == ids
    assert list_recordings(tmp_path, description="clean") == [RecordingId("3")]
    with pytest.raises(UsageProblem, match="no folder"):
        list_recordings(tmp_path / "absent")


def test_positions_stay_while_another_recording_needs_them(tmp_path: Path):
    recording = make_recording(others=False)
    for task in ("rest", "arithmetic"):
        write_recording(replace(recording, id=RecordingId("01", None, task)), tmp_path)
    remove_recording(tmp_path, RecordingId("01", None, "rest"))
    assert read_recording(tmp_path, RecordingId("01", None, "arithmetic")).raw.get_montage() is not None
    remove_recording(tmp_path, RecordingId("01", None, "arithmetic"))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whenever the process ends, the recording is the old one, the new one or none; the next run tidies up."""
    rename = Path.replace
    for survived in range(9):
        write_recording(make_recording(seed=1), tmp_path)
        moves = iter(range(survived))

        def replace_until_killed(self: Path, target: Path, moves=moves) -> Path:
            if next(moves, None) is None:
                raise KeyboardInterrupt
            return rename(self, target)

        monkeypatch.setattr(Path, "replace", replace_until_killed)
        try:
            write_recording(make_recording(seed=2), tmp_path)
            interrupted = False
        except KeyboardInterrupt:
            interrupted = True
        monkeypatch.setattr(Path, "replace", rename)
        assert interrupted == (survived < 8)
        assert list_recordings(tmp_path) == ([] if interrupted else [RecordingId("01")])
        (tmp_path / ".eegpipe-sub-01_task-emotion_eeg").mkdir()  # what kill -9 leaves
        remove_leftovers(tmp_path)
        assert bool(list(tmp_path.iterdir())) == (not interrupted)
    np.testing.assert_array_equal(
        read_recording(tmp_path, RecordingId("01")).raw.get_data(), make_recording(seed=2).raw.get_data()
    )


def test_leftovers_are_only_eegpipes_own(tmp_path: Path):
    write_recording(make_recording(), tmp_path)
    kept = tmp_path / "sub-01" / "eeg" / "sub-01_task-emotion_desc-ica_components.json"
    kept.write_text("{}")
    orphan = tmp_path / "sub-02" / "eeg" / "sub-02_task-emotion_events.tsv"
    orphan.parent.mkdir(parents=True)
    orphan.write_text("onset\n")
    remove_leftovers(tmp_path)
    assert kept.exists()
    assert not (tmp_path / "sub-02").exists()
    assert len(recording_files(tmp_path, RecordingId("01"))) == 8


def test_the_digest_changes_with_the_content_only(tmp_path: Path):
    recording = make_recording()

    def written(sidecar: dict, **changes) -> str:
        write_recording(replace(recording, **changes), tmp_path, sidecar=sidecar)
        return recording_digest(tmp_path, recording.id)

    first = written({"Fingerprint": "a"})
    assert written({"Fingerprint": "b"}) == first
    assert written({}, reference="Cz") != first
    assert written({}, events=recording.events[:-1]) != first
    assert written({}, raw=make_recording(seed=5).raw) != first
    assert written({}) == first


def damage_signal(files: dict[str, Path]) -> None:
    files["eeg.eeg"].write_bytes(files["eeg.eeg"].read_bytes()[:-4])


def damage_events(files: dict[str, Path]) -> None:
    files["events.tsv"].write_text(files["events.tsv"].read_text().replace("made/01\t0\t", "made/01\tzero\t", 1))


def damage_channels(files: dict[str, Path]) -> None:
    files["channels.tsv"].write_text(
        files["channels.tsv"].read_text(encoding="utf-8").replace("Cz", "C9"), encoding="utf-8"
    )


def damage_facts(files: dict[str, Path]) -> None:
    facts = json.loads(files["eeg.json"].read_text())
    del facts["EEGReference"]
    files["eeg.json"].write_text(json.dumps(facts))


def remove_header(files: dict[str, Path]) -> None:
    files["eeg.vhdr"].unlink()


@pytest.mark.parametrize(
    ("damage", "where", "found"),
    [
        (damage_signal, "_eeg.eeg", "111996 bytes"),
        (damage_events, "_events.tsv", "zero"),
        (damage_channels, "_channels.tsv", "other channels"),
        (damage_facts, "_eeg.json", "EEGReference"),
        (remove_header, "_channels.tsv", "_eeg.vhdr"),
    ],
)
def test_a_damaged_recording_is_one_clear_problem(tmp_path: Path, damage, where: str, found: str):
    write_recording(make_recording(), tmp_path)
    stem = "sub-01_task-emotion_"
    damage({path.name.removeprefix(stem): path for path in recording_files(tmp_path, RecordingId("01"))})
    with pytest.raises(DataProblem) as problem:
        read_recording(tmp_path, RecordingId("01"))
    assert problem.value.where.endswith(where)
    assert found in problem.value.found
    assert str(tmp_path) not in problem.value.where


def test_a_recording_that_is_not_there(tmp_path: Path):
    with pytest.raises(DataProblem, match="no readable JSON"):
        read_recording(tmp_path, RecordingId("01"))
    assert read_sidecar(tmp_path, RecordingId("01")) == {}
    assert recording_files(tmp_path, RecordingId("01")) == []


def test_a_signal_that_float32_cannot_hold_is_refused(tmp_path: Path):
    for value in (np.nan, np.inf, 1e39):
        recording = make_recording()
        recording.raw._data[2, 7] = value
        with pytest.raises(DataProblem, match="channel Cz"):
            write_recording(recording, tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_a_recording_without_events(tmp_path: Path):
    write_recording(replace(make_recording(), events=[], history={}, sex=None, age=None), tmp_path)
    read = read_recording(tmp_path, RecordingId("01"))
    assert (read.events, read.history, read.sex, read.age) == ([], {}, None, None)
    assert read_sidecar(tmp_path, RecordingId("01"))["RecordingType"] == "continuous"

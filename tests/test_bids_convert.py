"""The stage bids: only what changed is made again, and a bad file costs its own recording only."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eegpipe.bids import (
    about,
    conversion,
    convert,
    list_recordings,
    read_recording,
    read_sidecar,
    write_recording,
    write_root,
)
from eegpipe.datasets.base import Irregularity
from eegpipe.errors import DataProblem
from eegpipe.parallel import Outcome
from eegpipe.recording import RecordingId

from made_recordings import CONTENT, DATASET, make_recording, make_vendor_folder, with_variant


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.key.removesuffix("_task-emotion"): outcome.status for outcome in outcomes}


def snapshot(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return make_vendor_folder(tmp_path / "raw", 3)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "bids"


def participants(out: Path) -> list[str]:
    return [line.split("\t")[0] for line in (out / "participants.tsv").read_text().splitlines()[1:]]


def test_a_second_run_keeps_everything(raw: Path, out: Path):
    first = convert(DATASET, raw, out, workers=1)
    assert statuses(first) == {"sub-01": "done", "sub-02": "done", "sub-03": "done"}
    files = snapshot(out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    second = convert(DATASET, raw, out, workers=1)
    assert statuses(second) == {"sub-01": "kept", "sub-02": "kept", "sub-03": "kept"}
    assert [outcome.row for outcome in second] == [outcome.row for outcome in first]
    assert snapshot(out) == files
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times
    read = read_recording(out, RecordingId("02"))
    np.testing.assert_array_equal(read.raw.get_data(), make_recording(seed=2).raw.get_data())


def test_only_what_changed_is_made_again(raw: Path, out: Path):
    convert(DATASET, raw, out, workers=1)
    (raw / "s02.txt").write_text(CONTENT.format(20))
    (raw / "s01.txt").unlink()
    (raw / "s04.txt").write_text(CONTENT.format(4))
    outcomes = convert(DATASET, raw, out, workers=1)
    assert statuses(outcomes) == {"sub-02": "done", "sub-03": "kept", "sub-04": "done"}
    assert participants(out) == ["sub-02", "sub-03", "sub-04"]
    assert not (out / "sub-01").exists()
    fresh = out.with_name("fresh")
    convert(DATASET, raw, fresh, workers=1)
    assert snapshot(fresh) == snapshot(out)


def test_a_changed_fact_or_a_damaged_file_makes_it_again(raw: Path, out: Path):
    convert(DATASET, raw, out, workers=1)
    signal = out / "sub-03" / "eeg" / "sub-03_task-emotion_eeg.eeg"
    signal.write_bytes(signal.read_bytes()[:-4])
    assert statuses(convert(DATASET, raw, out, workers=1)) == {"sub-01": "kept", "sub-02": "kept", "sub-03": "done"}
    more_subjects = with_variant(facts=replace(DATASET.facts, subjects=40))
    assert set(statuses(convert(more_subjects, raw, out, workers=1)).values()) == {"kept"}
    other_rate = with_variant(facts=replace(DATASET.facts, rate_hz=128.0))
    assert set(statuses(convert(other_rate, raw, out, workers=1)).values()) == {"done"}


def test_changed_code_makes_it_again(raw: Path, out: Path, monkeypatch: pytest.MonkeyPatch):
    convert(DATASET, raw, out, workers=1)
    monkeypatch.setattr(conversion, "code_digest", lambda *_, **__: "other code")
    assert set(statuses(convert(DATASET, raw, out, workers=1)).values()) == {"done"}


@pytest.mark.parametrize("content", ["something else", "seed 2 NaN"])
def test_a_bad_file_costs_its_own_recording_and_leaves_nothing(raw: Path, out: Path, content: str):
    convert(DATASET, raw, out, workers=1)
    (raw / "s02.txt").write_text(content)
    outcomes = convert(DATASET, raw, out, workers=1)
    assert statuses(outcomes) == {"sub-01": "kept", "sub-02": "failed", "sub-03": "kept"}
    assert "Traceback" not in outcomes[1].problem
    assert str(raw) not in outcomes[1].problem
    assert re.search(r"(archive|read from)\. New: no listed irregularity of made\.$", outcomes[1].problem)
    assert not (out / "sub-02").exists()
    assert participants(out) == ["sub-01", "sub-03"]
    assert not list(out.glob(".eegpipe*"))
    (raw / "s02.txt").write_text(CONTENT.format(2))
    assert statuses(convert(DATASET, raw, out, workers=1))["sub-02"] == "done"


def test_two_workers_write_the_same_bytes(raw: Path, out: Path):
    (raw / "s02.txt").write_text("something else")
    one = convert(DATASET, raw, out, workers=1)
    two = convert(DATASET, raw, out.with_name("two"), workers=2)
    assert one == two
    assert snapshot(out) == snapshot(out.with_name("two"))


def test_killed_in_the_middle_of_a_write_the_next_run_ends_in_the_same_bytes(raw: Path, out: Path):
    convert(DATASET, raw, out, workers=1)
    program = (
        "import sys, time; from pathlib import Path\n"
        "from made_recordings import DATASET; from eegpipe.bids import convert\n"
        "rename, moves = Path.replace, iter(range(int(sys.argv[3])))\n"
        "def replace(self, target):\n"
        "    if next(moves, None) is None: print('now', flush=True); time.sleep(60)\n"
        "    return rename(self, target)\n"
        "Path.replace = replace\n"
        "convert(DATASET, Path(sys.argv[1]), Path(sys.argv[2]), workers=1)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    killed = out.with_name("killed")
    for moves in (4, 13):  # in the first recording that is left to do, then in the one after it
        command = [sys.executable, "-c", program, str(raw), str(killed), str(moves)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.kill()
        process.communicate()
        assert list(killed.glob(".eegpipe-*"))
    assert list_recordings(killed) == [RecordingId("01")]
    assert statuses(convert(DATASET, raw, killed, workers=1)) == {"sub-01": "kept", "sub-02": "done", "sub-03": "done"}
    assert snapshot(killed) == snapshot(out)


def test_missing_files_fail_unless_partial_is_allowed(tmp_path: Path, out: Path, caplog: pytest.LogCaptureFixture):
    raw = make_vendor_folder(tmp_path / "one", 1)
    outcomes = convert(DATASET, raw, out, workers=1)
    assert statuses(outcomes) == {"sub-01": "done", "s02.txt": "failed"}
    assert "2 subjects" in outcomes[1].problem
    assert statuses(convert(DATASET, raw, out, workers=1, allow_partial=True)) == {"sub-01": "kept"}
    assert "s02.txt: found no file" in caplog.text


def test_a_folder_of_something_else(tmp_path: Path, out: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataProblem, match=r"(?s)empty: found no recordings.*s01.txt, s02.txt"):
        convert(DATASET, tmp_path / "empty", out, workers=1)
    assert not out.exists()


def test_a_vendor_file_is_hashed_once(raw: Path, out: Path, monkeypatch: pytest.MonkeyPatch):
    """DREAMER keeps all subjects in one file of 450 MB."""
    discovery = DATASET.variants[0].discover(raw)
    entries = [replace(entry, files=("s01.txt",)) for entry in discovery.entries]
    shared = with_variant(discover=lambda root: replace(discovery, root=root, entries=entries))
    hashed = []
    monkeypatch.setattr(conversion, "file_digest", lambda path: hashed.append(path) or "digest")
    convert(shared, raw, out, workers=1)
    assert hashed == [raw / "s01.txt"]
    assert len({read_sidecar(out, recording)["Fingerprint"] for recording in list_recordings(out)}) == 3


def test_the_bytes_of_another_recording_are_refused(raw: Path, out: Path, monkeypatch: pytest.MonkeyPatch):
    (raw / "s03.txt").write_bytes((raw / "s01.txt").read_bytes())
    assert set(statuses(convert(DATASET, raw, out, workers=1)).values()) == {"done"}  # small files may be alike
    monkeypatch.setattr(conversion, "_TWIN_BYTES", 1)
    outcomes = convert(DATASET, raw, out, workers=1)
    assert statuses(outcomes) == {"sub-01": "failed", "sub-02": "kept", "sub-03": "failed"}
    assert "found the same bytes as in sub-03_task-emotion" in outcomes[0].problem
    assert participants(out) == ["sub-02"]


def test_quality_names_every_recording_and_the_reason(raw: Path, out: Path):
    (raw / "s02.txt").write_text("something else")
    listed = replace(DATASET, irregularities=(Irregularity("X1", "s02", "It is known to be broken."),))
    outcomes = convert(listed, raw, out, workers=1)
    assert "Known (X1): It is known to be broken." in outcomes[1].problem
    lines = (out / "quality.tsv").read_text().splitlines()
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"), strict=True)) for line in lines[1:]]
    assert [(row["recording"], row["status"], row["known"]) for row in rows] == [
        ("sub-01_task-emotion", "ok", "n/a"),
        ("sub-02_task-emotion", "failed", "X1"),
        ("sub-03_task-emotion", "ok", "n/a"),
    ]
    assert rows[1]["problem"].startswith("s02.txt: found another text")
    assert rows[0]["trials"] == "4"
    assert "quality.tsv" in (out / ".bidsignore").read_text()


def test_root_files_say_what_it_is(raw: Path, out: Path):
    convert(DATASET, raw, out, workers=1)
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "raw"
    assert description["Name"] == "Made-up recordings"
    assert description["Authors"] == ["Ann Author", "Bob Author"]
    assert (about(out).name, about(out).simulated) == ("made", False)
    assert (out / "participants.tsv").read_text() == "participant_id\tage\tsex\n" + "".join(
        f"sub-0{number}\t23\tF\n" for number in (1, 2, 3)
    )
    columns = json.loads((out / "task-emotion_events.json").read_text())
    used = (out / "sub-01" / "eeg" / "sub-01_task-emotion_events.tsv").read_text().splitlines()[0].split("\t")
    assert set(used) == set(columns)
    assert list(columns["label"]["Levels"]) == ["fear", "joy"]
    assert "from 1 to 9" in columns["rating_valence"]["Description"]


def test_simulated_says_so_everywhere(raw: Path, out: Path):
    (raw / "simulated").touch()
    convert(DATASET, raw, out, workers=1)
    assert about(out).simulated
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["Name"].startswith("Simulated")
    assert "Ann Author" not in json.dumps(description)
    assert "SIMULATED" in (out / "README").read_text()
    (raw / "simulated").unlink()
    assert set(statuses(convert(DATASET, raw, out, workers=1)).values()) == {"done"}
    assert not about(out).simulated


def test_already_processed_and_cleaned_are_derivatives(raw: Path, out: Path, tmp_path: Path):
    convert(with_variant(already_processed=True), raw, out, workers=1)
    assert json.loads((out / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    clean = tmp_path / "clean"
    write_recording(make_recording(), clean, description="clean")
    write_recording(make_recording(RecordingId("02")), clean)
    generated = {"Name": "eegpipe-clean", "Version": "1", "Description": "Cleaned"}
    write_root(
        clean,
        about=DATASET.about(simulated=False),
        description="clean",
        derivative=generated,
        ignore=["quality/"],
    )
    description = json.loads((clean / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert [step["Name"] for step in description["GeneratedBy"]] == ["eegpipe-clean", "eegpipe"]
    assert participants(clean) == ["sub-01"]
    assert (clean / ".bidsignore").read_text() == "quality/\n"


def test_an_unfinished_folder_has_no_name(out: Path):
    write_recording(make_recording(), out)
    with pytest.raises(DataProblem, match=r"bids/dataset_description\.json: found no such file"):
        about(out)
    (out / "dataset_description.json").write_text('{"Name": "someone else\'s"}')
    with pytest.raises(DataProblem, match="no readable 'Eegpipe'"):
        about(out)
